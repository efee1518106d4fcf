/*
 * compiler.h - what the files that turn a policy text into a snapshot share.
 */
#ifndef RULES_COMPILER_H
#define RULES_COMPILER_H
#include "policy/rules/rule.h"
#include "relay/base/map.h"

enum { ERRORS_TEXT_MAX = 256 * 1024 }; /* beyond it errors are counted, not written */

struct compiler {
	struct snapshot *s;
	list_reader *reader;
	void *reader_arg;
	struct map *values; /* "KIND/NAME" -> the list file's struct valuelist */
	struct policy_errors *errors;
	const char *file;
	uint32_t line;
	uint32_t rule; /* id of the rule on this line */
};

/* One rule line, token by token. */
struct line {
	struct compiler *c;
	struct lexer lexer;
	struct token now;
	bool has;       /* `now` is a token; false: the line's end, or broken */
	bool is_broken; /* an error that leaves nothing more to read */
};

void rule_complain(struct compiler *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_advance(struct line *l);
/* Complains and gives the line up. */
void line_break(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A plain word, neither quoted nor a regex nor negated, equal to `word`. */
bool line_at(const struct line *l, const char *word);
bool line_at_word(const struct line *l);

/* A whole rule line; complains about everything wrong in it. */
void compile_line(struct compiler *c, struct span text);
/* `dnsbl ZONE …` and `dnswl ZONE …`, from the zone to before the options. */
void compile_list_line(struct line *l, struct rule *r, bool is_white);
/* The verb of a rule with its name or number; false: complained. */
bool compile_verb(struct line *l, struct rule *r);
/* Adds the rule with its stage's order. */
void compile_add(struct compiler *c, const struct rule *r);
/* The values of `list:NAME`; NULL: complained. */
const struct valuelist *compile_values(struct compiler *c, struct span name, enum value_kind kind);

/* Words of the grammar.  `known` ends with NULL. */
extern const char *const words_verbs[], *const words_facets[], *const words_options[],
								   *const words_list_verbs[],
								       *const words_subjects[];
bool words_facet(struct span word, enum facet *out);
bool words_have(const char *const *words, struct span word);
/* "; did you mean `x`?" or "; use one of a b c". */
void words_hint(struct span word, const char *const *words, char *to, size_t size);

#endif
