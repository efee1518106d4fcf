#include "relay/message/normal_tree.h"
#include "relay/base/err.h"
#include "relay/message/inline_file.h"
#include "relay/message/strip.h"

enum { ROUNDING = 64 };

/* Where bytes go: into one text, or into cuts. */
struct sink {
	const struct normal_tree *t;
	struct buf *bytes;  /* NULL: cuts */
	struct normal *out; /* of cuts */
	struct buf text;    /* of the next cut */
	uint64_t from;      /* where the next cut begins */
	int error;
};

/* --- the tree ---------------------------------------------------------------------------------- */

static bool
is_inside(struct span inner, struct span outer)
{
	return inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n;
}

void
normal_tree_start(struct normal_tree *t)
{
	t->header = header_section_length(t->message);
	for (size_t i = 0; i < t->message.n && !t->is_8bit; i++)
		t->is_8bit = (unsigned char)t->message.p[i] >= 0x80;
}

bool
normal_tree_room(const struct normal_tree *t, size_t n)
{
	return n <= NORMAL_TEXT_MAX && arena_left(t->memory) > NORMAL_TEXT_MAX + n + ROUNDING;
}

uint32_t
normal_tree_child(const struct normal_tree *t, uint32_t index, uint32_t after)
{
	uint32_t guess = t->choices[index].guess, parent = guess > 0 ? guess : index;

	if (after != UINT32_MAX && t->m->parts[index].is_message)
		return UINT32_MAX; /* the same with other line ends */
	for (size_t i = after == UINT32_MAX ? parent + 1 : (size_t)after + 1; i < t->m->n_parts;
	     i++)
		if (t->m->parts[i].parent == parent && !t->m->parts[i].is_reading)
			return (uint32_t)i;
	return UINT32_MAX;
}

void
normal_tree_guess(struct normal_tree *t, uint32_t index)
{
	const struct mime_part *own = &t->m->parts[index];

	for (size_t i = index + 1; i < t->m->n_parts; i++) {
		const struct mime_part *p = &t->m->parts[i];

		if (!p->is_reading || p->parent != own->parent || p->depth != own->depth ||
		    p->raw.p != own->raw.p || !span_eq(p->type, own->type))
			continue;
		t->choices[index].guess = (uint32_t)i;
		if (normal_tree_child(t, index, UINT32_MAX) != UINT32_MAX)
			return;
	}
	t->choices[index].guess = 0;
}

void
normal_tree_file(struct normal_tree *t, uint32_t index)
{
	const struct mime_part *own = &t->m->parts[index];
	struct inline_file file;
	size_t at = 0;

	if (own->encoding != CLAIMS_PLAIN || !inline_file_next(own->raw, &at, &file))
		return;
	for (size_t i = index + 1; i < t->m->n_parts; i++) {
		const struct mime_part *p = &t->m->parts[i];

		if (p->is_reading && p->raw.p == own->raw.p && p->raw.n == own->raw.n &&
		    p->encoding == (file.kind == INLINE_YENC ? CLAIMS_YENC : CLAIMS_UU)) {
			t->choices[index].decoded = (uint32_t)i;
			return;
		}
	}
}

struct span
normal_tree_decoded(const struct normal_tree *t, uint32_t index)
{
	uint32_t reading = t->choices[index].decoded;

	return t->m->parts[reading > 0 ? reading : index].decoded;
}

struct span
normal_tree_section(const struct normal_tree *t, uint32_t index)
{
	const struct mime_part *p = &t->m->parts[index];
	struct span head;

	if (!is_inside(p->raw, p->whole))
		return span_take(p->whole, 0);
	head = span_take(p->whole, (size_t)(p->raw.p - p->whole.p));
	return index == 0 ? span_take(head, t->header) : head;
}

/* --- bytes ------------------------------------------------------------------------------------- */

static void
fail(struct sink *s, int error)
{
	if (s->error == 0)
		s->error = error;
}

static void
add_text(struct sink *s, struct span text)
{
	if (!normal_text_is_fine(text, s->t->is_8bit))
		fail(s, -E_CORRUPT);
	else if (buf_add_span(s->bytes != NULL ? s->bytes : &s->text, text) < 0)
		fail(s, -E_LIMIT);
}

/* The cut up to `at`: what was written since the last one stands there. */
static void
add_cut(struct sink *s, uint64_t at, uint32_t notice)
{
	struct normal *out = s->out;

	if (at == s->from && s->text.n == 0 && notice == NORMAL_NO_NOTICE)
		return;
	if (out->n_cuts == NORMAL_CUTS_MAX || arena_left(s->t->memory) < s->text.n + ROUNDING) {
		fail(s, -E_LIMIT);
		return;
	}
	out->cuts[out->n_cuts++] = (struct normal_cut){.at = s->from,
	    .n = at - s->from,
	    .text = arena_copy(s->t->memory, buf_span(&s->text)),
	    .notice = notice};
	buf_clear(&s->text);
	s->from = at;
}

/* Bytes of the message stay where they are; others, and those that have come to stand behind the header section
 * that front knows, are written. */
static void
add_original(struct sink *s, struct span bytes)
{
	uint64_t at = (uint64_t)(bytes.p - s->t->message.p);

	if (bytes.n == 0)
		return;
	if (!is_inside(bytes, s->t->message) || at < s->t->header) {
		add_text(s, bytes);
	} else if (s->bytes != NULL) {
		if (buf_add_span(s->bytes, bytes) < 0)
			fail(s, -E_LIMIT);
	} else if (at < s->from) {
		fail(s, -E_CORRUPT);
	} else {
		add_cut(s, at, NORMAL_NO_NOTICE);
		s->from = at + bytes.n;
	}
}

static void
add_notice(struct sink *s, uint32_t index)
{
	const struct scan_part none = {0};
	const struct strip_notice notice = {.hostname = SPAN("postern"), .part = &none};

	if (s->bytes == NULL)
		add_cut(s, s->from, index);
	else if (strip_text(&notice, s->bytes) < 0)
		fail(s, -E_LIMIT);
}

/* --- parts ------------------------------------------------------------------------------------- */

static void add_part(struct sink *s, uint32_t index);

static bool
is_kept(const struct normal_tree *t, uint32_t index)
{
	if (t->choices[index].mode != NORMAL_KEEP)
		return false;
	for (uint32_t i = normal_tree_child(t, index, UINT32_MAX); i != UINT32_MAX;
	     i = normal_tree_child(t, index, i))
		if (!is_kept(t, i))
			return false;
	return true;
}

/* What stands between and around the parts stays. */
static void
add_parts_in_place(struct sink *s, uint32_t index)
{
	const struct normal_tree *t = s->t;
	struct span rest = t->m->parts[index].raw;

	for (uint32_t i = normal_tree_child(t, index, UINT32_MAX); i != UINT32_MAX;
	     i = normal_tree_child(t, index, i)) {
		struct span whole = t->m->parts[i].whole;

		if (is_inside(whole, rest)) {
			add_original(s, span_take(rest, (size_t)(whole.p - rest.p)));
			rest = span_skip(rest, (size_t)(whole.p - rest.p) + whole.n);
		} else if (t->m->parts[index].is_message && t->choices[index].mode == NORMAL_HEAD) {
			rest = span_take(rest, 0); /* decoded: instead of all of it */
		} else {
			fail(s, -E_CORRUPT);
		}
		add_part(s, i);
	}
	add_original(s, rest);
}

static void
add_divided(struct sink *s, uint32_t index)
{
	const struct normal_tree *t = s->t;
	struct span boundary = t->choices[index].boundary;

	for (uint32_t i = normal_tree_child(t, index, UINT32_MAX); i != UINT32_MAX;
	     i = normal_tree_child(t, index, i)) {
		add_text(s, SPAN("--"));
		add_text(s, boundary);
		add_text(s, SPAN("\r\n"));
		add_part(s, i);
		add_text(s, SPAN("\r\n"));
	}
	add_text(s, SPAN("--"));
	add_text(s, boundary);
	add_text(s, SPAN("--\r\n"));
}

static void
add_body(struct sink *s, uint32_t index)
{
	const struct normal_choice *c = &s->t->choices[index];

	switch (c->mode) {
	case NORMAL_KEEP:
	case NORMAL_HEAD:
		add_parts_in_place(s, index);
		break;
	case NORMAL_CODED:
	case NORMAL_TEXT:
		add_text(s, c->body);
		break;
	case NORMAL_DIVIDED:
		add_divided(s, index);
		break;
	case NORMAL_NOTICE:
		add_notice(s, index);
		break;
	}
}

/* Section and empty line; of a notice nothing of what was there. */
static void
write_head(const struct normal_tree *t, uint32_t index, struct buf *to)
{
	const struct normal_choice *c = &t->choices[index];
	struct span section = normal_tree_section(t, index);

	if (c->mode == NORMAL_NOTICE && index > 0)
		section = span_take(section, 0);
	(void)normal_head_section(section, c->fields, to); /* sticky: who calls tests */
	(void)buf_add_str(to, "\r\n");
}

static void
add_part(struct sink *s, uint32_t index)
{
	const struct normal_tree *t = s->t;
	const struct mime_part *p = &t->m->parts[index];
	struct buf head = BUF_INIT(HEADER_SECTION_MAX + NORMAL_HEAD_MAX);

	if (is_kept(t, index)) {
		add_original(s, p->whole);
		return;
	}
	if (t->choices[index].mode == NORMAL_KEEP) {
		add_original(s, span_take(p->whole, (size_t)(p->raw.p - p->whole.p)));
	} else {
		write_head(t, index, &head);
		if (head.failed)
			fail(s, -E_LIMIT);
		add_text(s, buf_span(&head));
	}
	buf_free(&head);
	add_body(s, index);
}

int
normal_tree_body(const struct normal_tree *t, uint32_t index, struct buf *to)
{
	struct sink s = {.t = t, .bytes = to};

	add_body(&s, index);
	return s.error;
}

int
normal_tree_write(const struct normal_tree *t, uint32_t index, struct buf *to)
{
	struct sink s = {.t = t, .bytes = to};

	if (index > 0) {
		add_part(&s, index);
		return s.error;
	}
	/* Of the message itself front writes the head: whatever stands in it. */
	if (t->choices[0].mode == NORMAL_KEEP)
		(void)buf_add_span(to, /* sticky */
		    span_take(t->message, (size_t)(t->m->parts[0].raw.p - t->message.p)));
	else
		write_head(t, 0, to);
	add_body(&s, 0);
	return to->failed ? -E_LIMIT : s.error;
}

/* --- cuts -------------------------------------------------------------------------------------- */

static void
cut_head(struct sink *s)
{
	const struct normal_tree *t = s->t;
	size_t body = (size_t)(t->m->parts[0].raw.p - t->message.p);
	struct span line = span_take(span_skip(t->message, t->header), 2);

	s->out->has_head = t->choices[0].mode != NORMAL_KEEP;
	if (!s->out->has_head) {
		if (body < t->header)
			fail(s, -E_CORRUPT);
		else
			add_original(
			    s, span_take(span_skip(t->message, t->header), body - t->header));
		return;
	}
	s->out->section = normal_tree_section(t, 0).n;
	s->out->head = t->choices[0].fields;
	if (body >= t->header + 2 && span_eq(line, SPAN("\r\n")))
		add_original(s, line);
	else
		add_text(s, SPAN("\r\n"));
}

int
normal_tree_cut(const struct normal_tree *t, struct normal *out)
{
	struct sink s = {.t = t, .out = out, .text = BUF_INIT(NORMAL_TEXT_MAX), .from = t->header};
	uint64_t bytes = 0;
	size_t notices = 0;

	out->n_cuts = 0;
	cut_head(&s);
	add_body(&s, 0);
	add_cut(&s, t->message.n, NORMAL_NO_NOTICE);
	if (out->n_cuts == 0) /* the spool tells such a copy by having one */
		out->cuts[out->n_cuts++] =
		    (struct normal_cut){.at = t->header, .notice = NORMAL_NO_NOTICE};
	buf_free(&s.text);
	for (size_t i = 0; i < out->n_cuts; i++) {
		bytes += out->cuts[i].text.n;
		notices += out->cuts[i].notice != NORMAL_NO_NOTICE;
	}
	if (s.error == 0 && (bytes > NORMAL_TEXT_MAX || notices > NORMAL_NOTICES_MAX))
		return -E_LIMIT;
	return s.error;
}
