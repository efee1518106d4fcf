/* table.h - JSON lines from the relay as lines for people. */
#ifndef COMMAND_TABLE_H
#define COMMAND_TABLE_H
#include "relay/base/span.h"

struct table_column {
	const char *key, *title;
	int width; /* 0: the rest of the line */
};

/* One line an object, columns in this order; ends with a NULL key.  Prints to standard output. */
void table_print(struct span json_lines, const struct table_column *columns);
/* The same without the titles. */
void table_print_rows(struct span json_lines, const struct table_column *columns);
/* All members of one object, "name: value", nested ones indented. */
void table_print_object(struct span json);

#endif
