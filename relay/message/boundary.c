#include "relay/message/boundary.h"
#include "relay/base/mem.h"
#include "relay/message/claims.h"
#include "relay/message/header.h"

enum delimiter
delimiter_of(struct span line, struct span boundary, bool is_lax)
{
	enum delimiter kind = DELIMITER_NEXT;

	line = span_skip(line, 2); /* the dashes */
	if (!span_starts(line, boundary))
		return DELIMITER_NONE;
	line = span_skip(line, boundary.n);
	if (span_starts(line, SPAN("--"))) {
		kind = DELIMITER_CLOSE;
		line = span_skip(line, 2);
	}
	if (span_trim(line).n == 0)
		return kind;
	return is_lax ? kind : DELIMITER_NONE;
}

struct span
boundary_line(struct span body, size_t at)
{
	struct span rest = span_skip(body, at);

	return span_take(rest, span_find(rest, '\n') + 1);
}

size_t
boundary_dashes(struct span body, size_t at)
{
	while (at < body.n) {
		at += span_find(span_skip(body, at), '-');
		if (at + 1 < body.n && body.p[at + 1] == '-' && (at == 0 || body.p[at - 1] == '\n'))
			return at;
		while (at < body.n && body.p[at] == '-')
			at++;
	}
	return body.n;
}

size_t
boundary_anywhere(struct span body, size_t at, struct span boundary)
{
	struct span rest = span_skip(body, at);
	const char *found;
	char *needle;

	if (rest.n < boundary.n + 2)
		return body.n;
	/* One needle, dashes and all: memmem is linear in what it passes, and each hit is passed. */
	needle = mem_alloc(boundary.n + 2);
	memcpy(needle, "--", 2);
	memcpy(needle + 2, boundary.p, boundary.n);
	found = memmem(rest.p, rest.n, needle, boundary.n + 2);
	mem_free(needle);
	return found != NULL ? (size_t)(found - body.p) : body.n;
}

bool
boundary_is_astray(struct span body, struct span boundary)
{
	size_t at = 0;

	while (boundary.n > 0 && (at = boundary_anywhere(body, at, boundary)) < body.n) {
		if (at > 0 && body.p[at - 1] != '\n')
			return true;
		at += 2 + boundary.n;
	}
	return false;
}

enum delimiter
boundary_lax(struct span line, struct span behind, struct span boundary, size_t *looks)
{
	enum delimiter kind = delimiter_of(line, boundary, true);

	if (kind != DELIMITER_CLOSE || ++*looks > BOUNDARY_LOOKS_MAX)
		return kind;
	return claims_has_any(span_take(behind, HEADER_FIELD_LOOK)) ? DELIMITER_NEXT : kind;
}

struct boundary_map
boundary_scan(struct span body, struct span boundary, size_t *looks)
{
	struct boundary_map map = {.hash = 14695981039346656037ull}; /* FNV-1a, for places */
	enum delimiter kind;
	struct span line;

	for (size_t at = boundary_dashes(body, 0); at < body.n;
	     at = boundary_dashes(body, at + line.n)) {
		line = boundary_line(body, at);
		kind = delimiter_of(line, boundary, false);
		map.lax_n += kind != DELIMITER_NEXT &&
			     boundary_lax(line, span_skip(body, at + line.n), boundary, looks) ==
				 DELIMITER_NEXT;
		if (kind == DELIMITER_NONE)
			continue;
		map.n += kind == DELIMITER_NEXT;
		map.hash = (map.hash ^ at) * 1099511628211ull;
	}
	map.lax_n += boundary_is_astray(body, boundary);
	return map;
}

struct span
boundary_guess(struct span body, size_t *at)
{
	struct header_field field;

	for (*at = boundary_dashes(body, *at); *at < body.n; *at = boundary_dashes(body, *at)) {
		struct span line = boundary_line(body, *at), rest;

		*at += line.n;
		rest = span_take(span_skip(body, *at), HEADER_FIELD_LOOK);
		line = span_trim(line);
		if (line.n > 2 && line.n <= BOUNDARY_WORD_MAX && header_next(&rest, &field) &&
		    !field.is_malformed)
			return span_skip(line, 2);
	}
	return span_take(body, 0);
}
