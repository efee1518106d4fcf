#include "relay/command/explain_marks.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"
#include "relay/ipc/rewrite.h"

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

/* Leaves the object open. */
static void
open_part(struct json *j, const struct scan_part *p)
{
	char hash[2 * SCAN_HASH_BYTES + 1];

	for (size_t k = 0; k < SCAN_HASH_BYTES; k++)
		(void)snprintf(hash + 2 * k, 3, "%02x", p->hash[k]); /* two digits */
	json_open(j, NULL, '{');
	json_text(j, "name", p->name);
	json_text(j, "type", type_of(p));
	json_int(j, "size", (int64_t)p->size);
	json_str(j, "sha256", hash);
}

void
explain_strip(struct json *j, const struct verdict *v, const struct scan_result *result)
{
	if (v->action != ACTION_STRIP || result == NULL)
		return;
	json_open(j, "strip", '[');
	for (size_t i = 0; i < result->n_parts; i++) {
		const struct scan_part *p = &result->parts[i];
		const struct scan_mark *mark = mark_of(v, result, i);

		if (mark == NULL)
			continue;
		open_part(j, p);
		json_text(j, "why", mark->why);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* What the worker has made of the message; NULL: the verdict does not want it.  mem_free. */
static struct rewrite *
rewrite_of(const struct verdict *v, const struct scan_result *result)
{
	struct rewrite *r;

	if (v->action != ACTION_NORMALISE || result == NULL)
		return NULL;
	r = mem_alloc(sizeof(*r));
	if (rewrite_get(result->rewrite, r) == 0)
		return r;
	mem_free(r);
	return NULL;
}

/* The first reason for it. */
static struct span
why_of(const struct verdict *v, const struct scan_result *result)
{
	for (size_t i = 0; i < result->n_outcomes; i++)
		if (verdict_normalises(v, i))
			return result->outcomes[i].why;
	return (struct span){0};
}

void
explain_normalise(struct json *j, const struct verdict *v, const struct scan_result *result)
{
	struct rewrite *r = rewrite_of(v, result);

	if (r == NULL)
		return;
	json_open(j, "normalise", '{');
	json_int(j, "places", (int64_t)r->n_cuts);
	json_text(j, "why", why_of(v, result));
	json_open(j, "removed", '[');
	for (size_t i = 0; i < r->n_parts; i++) {
		open_part(j, &r->parts[i]);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
	mem_free(r);
}

static void
print_normalise(const struct verdict *v, const struct scan_result *result)
{
	struct rewrite *r = rewrite_of(v, result);
	struct span why;

	if (r == NULL)
		return;
	why = why_of(v, result);
	printf("  normalise, %zu places: %.*s\n", r->n_cuts, SPAN_ARG(why));
	for (size_t i = 0; i < r->n_parts; i++)
		printf("  removed %.*s, %.*s, %" PRIu64 " bytes\n",
		    SPAN_ARG(
			r->parts[i].name.n > 0 ? r->parts[i].name : SPAN("a part without a name")),
		    SPAN_ARG(type_of(&r->parts[i])), r->parts[i].size);
	mem_free(r);
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
	print_normalise(v, result);
}

/* Name of the field at this index; empty: there is none. */
static struct span
field_name(struct span section, uint32_t index)
{
	struct header_field field;

	for (uint32_t i = 0; header_next(&section, &field); i++)
		if (i == index)
			return field.name;
	return (struct span){0};
}

bool
explain_edit(const struct header_edit *e, struct span section, struct buf *to)
{
	struct span name = e->kind == EDIT_ADD ? e->name : field_name(section, e->index);
	struct span value = span_trim(e->value);

	if (!edit_is_fine(e) || name.n == 0)
		return false;
	(void)buf_addf(to, "%s %.*s", /* sticky: a cut line says enough */
	    e->kind == EDIT_ADD      ? "add"
	    : e->kind == EDIT_CHANGE ? "change"
				     : "remove",
	    SPAN_ARG(name));
	if (e->kind != EDIT_REMOVE)
		(void)buf_add_str(to, ": ");
	for (size_t i = 0; e->kind != EDIT_REMOVE && i < value.n; i++)
		(void)buf_add_char(to, (unsigned char)value.p[i] < ' ' ? ' ' : value.p[i]);
	return true;
}
