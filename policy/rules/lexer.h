/*
 * lexer.h - cuts one rule line into words, quoted texts and regexes.
 *
 * Grammar: words are divided by blanks; "…" with the escapes \" and \\ (any other backslash stays
 * as it is, so that "/\bword\b/" needs no doubling); a regex from / to the next unescaped /, with
 * an optional i behind it; `#` at a word's start ends the line; `!` before any of them negates.
 * Pure; unescaped text is put into the arena, everything else points into the line.
 */
#ifndef RULES_LEXER_H
#define RULES_LEXER_H
#include "relay/base/err.h"
#include "relay/base/mem.h"

enum token_kind { TOKEN_WORD, TOKEN_QUOTED, TOKEN_REGEX };

struct token {
	enum token_kind kind;
	bool is_negated;
	bool is_caseless;    /* TOKEN_REGEX: the flag i */
	struct span text;    /* without quotes, escapes, slashes and the negation */
	struct span written; /* as it stands in the line */
};

struct lexer {
	struct span rest;
	struct arena *memory;
};

/* 1 and a token; 0 at the line's end or a comment; -E_SYNTAX with what would be right. */
int rule_lexer_next(struct lexer *l, struct token *out, struct err *err);
/*
 * Whether a quoted value is a regex: it starts with / and ends with / or /i.  1 yes (pattern and
 * is_caseless set), 0 no, -E_SYNTAX when it ends with flags that PCRE2 has and we do not.
 */
int lexer_quoted_regex(struct span text, struct span *pattern, bool *is_caseless, struct err *err);

#endif
