/*
 * lexer.h - postern.conf's text to tokens, each with its line.
 *
 * Pure.  Errors go to `complaints` and lexing goes on behind them.  The tokens' texts live in the
 * source text or in the arena.
 */
#ifndef CONFIG_LEXER_H
#define CONFIG_LEXER_H
#include "policy/config/complain.h"

enum token_kind {
	TOKEN_END,
	TOKEN_WORD, /* bare: 10M, inbound, true */
	TOKEN_TEXT, /* "in quotes", escapes undone */
	TOKEN_EQUALS,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA
};

struct token {
	enum token_kind kind;
	unsigned line;
	struct span text;
};

struct lexer {
	struct span rest;
	unsigned line; /* of rest's first byte, from 1 */
	struct arena *memory;
	struct complaints *complaints;
};

/* TOKEN_END at the end, however often it is asked. */
struct token config_lexer_next(struct lexer *l);
/* Complains of every line with bytes that no text has: NUL, controls, broken UTF-8. */
void config_lexer_check_bytes(struct span text, struct complaints *complaints);

#endif
