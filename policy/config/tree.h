/*
 * tree.h - the block grammar of postern.conf: words with values, words with lists, sections, each
 * with its line.  What the words mean is not known here.
 *
 *     word = value     word = {a, b}     word { ... }     word "title" { ... }
 *
 * Pure.  The parser complains and goes on, so that one run finds every error.  A word, or a
 * section of one word and title, that stands twice in one place is complained of, and only the
 * first stays in the tree.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H
#include "policy/config/complain.h"

enum { TREE_DEPTH_MAX = 8 };

enum node_kind { NODE_VALUE, NODE_LIST, NODE_SECTION };

struct value {
	struct value *next;
	struct span text;
	unsigned line;
};

struct node {
	struct node *next; /* in its section */
	enum node_kind kind;
	struct span word;
	unsigned line;
	/* of values and lists */
	struct value *first_value, *last_value;
	size_t n_values;
	/* of sections */
	bool has_title;
	struct span title;
	struct node *first, *last;
};

/* The root: a section without word whose children are the text's.  The tree points into `text`
 * and into `memory`, and is dropped with them. */
struct node *config_tree_parse(
    struct span text, struct arena *memory, struct complaints *complaints);
/* The section's next child that is a section of this word with a title; NULL as `after` begins. */
const struct node *config_tree_section(
    const struct node *parent, const struct node *after, const char *word);
size_t config_tree_count_sections(const struct node *parent, const char *word);

#endif
