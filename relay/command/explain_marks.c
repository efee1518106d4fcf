#include "relay/command/explain_marks.h"

#include <inttypes.h>
#include <stdio.h>

void
explain_tags(struct json *j, const struct verdict *v)
{
	json_open(j, "tags", '[');
	for (size_t i = 0; i < v->n_tags; i++)
		json_text(j, NULL, v->tags[i].name);
	json_close(j, ']');
}

/* The first reason for which the part goes; NULL: it stays. */
static const struct scan_mark *
mark_of(const struct verdict *v, const struct scan_result *result, size_t part)
{
	for (size_t i = 0; i < result->n_marks; i++)
		if (result->marks[i].part == part && verdict_strips(v, result->marks[i].outcome))
			return &result->marks[i];
	return NULL;
}

static struct span
type_of(const struct scan_part *p)
{
	return p->type.n > 0 ? p->type : p->declared;
}

void
explain_strip(struct json *j, const struct verdict *v, const struct scan_result *result)
{
	char hash[2 * SCAN_HASH_BYTES + 1];

	if (v->action != ACTION_STRIP || result == NULL)
		return;
	json_open(j, "strip", '[');
	for (size_t i = 0; i < result->n_parts; i++) {
		const struct scan_part *p = &result->parts[i];
		const struct scan_mark *mark = mark_of(v, result, i);

		if (mark == NULL)
			continue;
		for (size_t k = 0; k < SCAN_HASH_BYTES; k++)
			(void)snprintf(hash + 2 * k, 3, "%02x", p->hash[k]); /* two digits */
		json_open(j, NULL, '{');
		json_text(j, "name", p->name);
		json_text(j, "type", type_of(p));
		json_int(j, "size", (int64_t)p->size);
		json_str(j, "sha256", hash);
		json_text(j, "why", mark->why);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
explain_print_marks(const struct verdict *v, const struct scan_result *result)
{
	for (size_t i = 0; i < v->n_tags; i++)
		printf("  tag %.*s by %.*s\n", SPAN_ARG(v->tags[i].name), SPAN_ARG(v->tags[i].by));
	for (size_t i = 0; result != NULL && i < result->n_parts; i++) {
		const struct scan_part *p = &result->parts[i];
		const struct scan_mark *mark = mark_of(v, result, i);

		if (mark != NULL)
			printf("  strip %.*s, %.*s, %" PRIu64 " bytes: %.*s\n",
			    SPAN_ARG(p->name.n > 0 ? p->name : SPAN("a part without a name")),
			    SPAN_ARG(type_of(p)), p->size, SPAN_ARG(mark->why));
	}
}
