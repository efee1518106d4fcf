#include "relay/command/table.h"
#include "relay/base/buf.h"

#include <jansson.h>
#include <stdio.h>

enum { CELL_MAX = 4096, INDENT = 2 };

static void
add_value(struct buf *to, json_t *value)
{
	const char *key;
	size_t i;
	json_t *item;
	bool is_first = true;

	if (json_is_string(value)) {
		(void)buf_add(
		    to, json_string_value(value), json_string_length(value)); /* cut at max */
	} else if (json_is_integer(value)) {
		(void)buf_addf(to, "%lld", (long long)json_integer_value(value));
	} else if (json_is_real(value)) {
		(void)buf_addf(to, "%g", json_real_value(value));
	} else if (json_is_boolean(value)) {
		(void)buf_add_str(to, json_is_true(value) ? "yes" : "no");
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, item)
		{
			if (i > 0)
				(void)buf_add_char(to, ' ');
			add_value(to, item);
		}
	} else if (json_is_object(value)) {
		json_object_foreach(value, key, item)
		{
			if (!is_first)
				(void)buf_add_char(to, '/');
			add_value(to, item);
			is_first = false;
		}
	} else {
		(void)buf_add_char(to, '-');
	}
}

static void
print_cell(json_t *value, int width)
{
	struct buf b = BUF_INIT(CELL_MAX);

	add_value(&b, value);
	/* What came from outside must not steer the terminal. */
	for (size_t i = 0; i < b.n; i++)
		if ((unsigned char)b.p[i] < ' ' || b.p[i] == 0x7f)
			b.p[i] = ' ';
	if (width > 0)
		printf("%-*.*s ", width, (int)b.n, b.n ? b.p : "");
	else
		printf("%.*s", (int)b.n, b.n ? b.p : "");
	buf_free(&b);
}

static json_t *
load(struct span text)
{
	json_error_t error;

	return json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
}

void
table_print(struct span json_lines, const struct table_column *columns)
{
	for (const struct table_column *c = columns; c->key != NULL; c++)
		printf(c->width > 0 ? "%-*s " : "%.*s",
		    c->width > 0 ? c->width : (int)strlen(c->title), c->title);
	printf("\n");
	table_print_rows(json_lines, columns);
}

void
table_print_rows(struct span json_lines, const struct table_column *columns)
{
	while (json_lines.n > 0) {
		json_t *object = load(span_cut(&json_lines, '\n'));

		if (object == NULL)
			continue;
		for (const struct table_column *c = columns; c->key != NULL; c++)
			print_cell(json_object_get(object, c->key), c->width);
		printf("\n");
		json_decref(object);
	}
}

static bool
is_flat(const json_t *value)
{
	size_t i;
	json_t *item;

	if (json_is_object(value))
		return false;
	json_array_foreach(value, i, item) if (json_is_object(item)) return false;
	return true;
}

static void
print_members(json_t *object, int indent)
{
	const char *key;
	json_t *value, *item;
	size_t i;

	json_object_foreach(object, key, value)
	{
		printf("%*s%s: ", indent, "", key);
		if (is_flat(value)) {
			print_cell(value, 0);
			printf("\n");
		} else if (json_is_object(value)) {
			printf("\n");
			print_members(value, indent + INDENT);
		} else {
			printf("\n");
			json_array_foreach(value, i, item)
			{
				printf("%*s-\n", indent + INDENT, "");
				print_members(item, indent + 2 * INDENT);
			}
		}
	}
}

void
table_print_object(struct span json)
{
	json_t *object = load(json);

	if (object != NULL)
		print_members(object, 0);
	json_decref(object);
}
