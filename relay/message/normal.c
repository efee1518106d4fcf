#include "relay/message/normal.h"
#include "relay/base/err.h"
#include "relay/message/boundary.h"
#include "relay/message/normal_tree.h"
#include "relay/message/strip.h"

enum {
	LINE_MAX_BYTES = 76, /* of base64 */
	BOUNDARY_TRIES = 8,
	/* Form about which all readers agree. */
	ANOMALIES_FINE = MIME_BAD_CHARSET | MIME_INLINE_FILE | MIME_BAD_HEADER
};

/* --- whether a reading is the only one --------------------------------------------------------- */

/* A file in a text, or what is in a message in a file; not a file in front of or behind the parts of a
 * multipart. */
static bool
is_file_in_text(const struct mime_message *m, const struct mime_part *p)
{
	while (p != m->parts) {
		const struct mime_part *up = &m->parts[p->parent];

		if (p->is_reading && p->depth == up->depth + 1 && !up->is_multipart &&
		    !up->is_message)
			return true;
		p = up;
	}
	return false;
}

bool
normal_is_plain(const struct mime_message *m)
{
	if ((m->anomalies & ~(unsigned)ANOMALIES_FINE) != 0)
		return false;
	for (size_t i = 0; i < m->n_parts; i++)
		if (m->parts[i].is_reading && !is_file_in_text(m, &m->parts[i]))
			return false;
	return true;
}

/* --- a trial ----------------------------------------------------------------------------------- */

/* One message against what was meant. */
struct comparison {
	const struct normal_tree *tree;
	const struct mime_message *again;
	size_t at; /* in it */
};

static bool
is_notice(const struct mime_part *p)
{
	const struct scan_part none = {0};
	const struct strip_notice notice = {.hostname = SPAN("postern"), .part = &none};
	struct buf text = BUF_INIT(STRIP_TEXT_MAX);
	bool is_same = strip_text(&notice, &text) == 0 && span_eq(p->raw, buf_span(&text));

	buf_free(&text);
	return is_same && span_eq(p->type, SPAN("text/plain")) && p->n_names == 0;
}

/* All of its bytes were seen; as UTF-8 its beginning only. */
static bool
is_long_text(const struct mime_part *p)
{
	return p->is_truncated && span_starts(p->type, SPAN("text/"));
}

static bool
is_as_meant(const struct normal_tree *t, uint32_t index, const struct mime_part *p)
{
	const struct normal_choice *c = &t->choices[index];
	const struct mime_part *own = &t->m->parts[index];

	if (p->is_malformed || (p->is_truncated && !is_long_text(own) && c->type.p == own->type.p))
		return false;
	if (c->mode == NORMAL_NOTICE)
		return is_notice(p);
	if (!span_eq(p->type, c->type) || (c->mode == NORMAL_KEEP && p->n_names > 1))
		return false;
	if (normal_tree_child(t, index, UINT32_MAX) != UINT32_MAX)
		return true; /* its parts are compared one by one */
	if (c->mode == NORMAL_TEXT)
		return span_eq(p->text, own->text);
	return span_eq(p->decoded, normal_tree_decoded(t, index)) &&
	       (c->type.p != own->type.p || c->decoded > 0 || span_eq(p->text, own->text));
}

static bool
has_content(const struct mime_message *m, struct span decoded)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (span_eq(m->parts[i].decoded, decoded))
			return true;
	return false;
}

/* Files in texts: a text that has become UTF-8 may have others, which nobody has seen. */
static bool
skip_files(struct comparison *c)
{
	for (; c->at < c->again->n_parts; c->at++) {
		const struct mime_part *p = &c->again->parts[c->at];

		if (!is_file_in_text(c->again, p))
			break;
		if (!has_content(c->tree->m, p->decoded))
			return false;
	}
	return true;
}

static bool
is_meant(struct comparison *c, uint32_t index, uint32_t depth)
{
	const struct mime_part *p;

	if (!skip_files(c) || c->at == c->again->n_parts)
		return false;
	p = &c->again->parts[c->at++];
	if (p->depth != depth || !is_as_meant(c->tree, index, p))
		return false;
	if (c->tree->choices[index].mode == NORMAL_NOTICE)
		return true;
	for (uint32_t i = normal_tree_child(c->tree, index, UINT32_MAX); i != UINT32_MAX;
	     i = normal_tree_child(c->tree, index, i))
		if (!is_meant(c, i, depth + 1))
			return false;
	return true;
}

static bool
is_all_meant(const struct normal_tree *t, uint32_t index, const struct mime_message *again)
{
	struct comparison c = {.tree = t, .again = again};

	return is_meant(&c, index, 0) && skip_files(&c) && c.at == again->n_parts;
}

/* The part as it would stand there, alone, parsed. */
static bool
is_tried(struct normal_tree *t, uint32_t index)
{
	struct buf bytes = BUF_INIT(2 * NORMAL_MESSAGE_MAX);
	struct mime_message again;
	struct arena memory;
	bool is_fine = false;

	if (t->work > t->work_max)
		return false;
	if (normal_tree_write(t, index, &bytes) == 0) {
		t->work += bytes.n;
		arena_init(&memory, NORMAL_MEMORY);
		mime_parse(buf_span(&bytes), NULL, &memory, &again);
		is_fine = normal_is_plain(&again) && is_all_meant(t, index, &again);
		arena_free(&memory);
	}
	buf_free(&bytes);
	return is_fine;
}

/* --- bodies that need no new encoding ---------------------------------------------------------- */

/* Digits and line ends, pads at the end only; lines of whole groups are the parser's to tell. */
static bool
is_strict_base64(struct span s)
{
	size_t digits = 0, pads = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = char_lower(s.p[i]);

		if (c == '\r' || c == '\n')
			continue;
		if (c == '=')
			pads++;
		else if (pads == 0 &&
			 ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
			digits++;
		else
			return false;
	}
	return pads <= 2 && (digits + pads) % 4 == 0;
}

/* Escapes of two digits, soft breaks at the end of their line, no blanks at that of others. */
static bool
is_strict_quoted(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		struct span next = span_take(span_skip(s, i + 1), 2);

		if (c == '=' && span_eq(next, SPAN("\r\n")))
			continue;
		if (c == '=' && (next.n < 2 || char_hex(next.p[0]) < 0 || char_hex(next.p[1]) < 0))
			return false;
		if ((c == ' ' || c == '\t') &&
		    (next.n == 0 || next.p[0] == '\r' || next.p[0] == '\n'))
			return false;
		if (c >= 0x7f || (c < ' ' && c != '\t' && c != '\r' && c != '\n'))
			return false;
	}
	return true;
}

/* Whether the body can stay as it is: encoded as the standards have it, or not at all.  Those have messages
 * and multiparts in no encoding. */
static bool
is_strict_body(const struct normal_tree *t, uint32_t index, bool is_container)
{
	const struct mime_part *p = &t->m->parts[index];

	switch (p->encoding) {
	case CLAIMS_PLAIN:
		return t->choices[index].decoded == 0;
	case CLAIMS_BASE64:
		return !is_container && is_strict_base64(p->raw);
	case CLAIMS_QUOTED:
		return !is_container && is_strict_quoted(p->raw);
	default:
		return false;
	}
}

/* --- what may be tried ------------------------------------------------------------------------- */

static struct span
encoding_of(const struct mime_part *p, enum normal_mode mode)
{
	if (mode == NORMAL_CODED || mode == NORMAL_TEXT || p->encoding == CLAIMS_BASE64)
		return SPAN("base64");
	return p->encoding == CLAIMS_QUOTED ? SPAN("quoted-printable")
					    : normal_plain_encoding(p->raw);
}

/* That of parts as they have become; what was binary before may be in base64 now.  The trial that follows counts
 * these bytes. */
static bool
encoding_of_parts(struct normal_tree *t, uint32_t index, struct span *to)
{
	struct buf body = BUF_INIT(2 * NORMAL_MESSAGE_MAX);
	bool is_fine = t->work <= t->work_max && normal_tree_body(t, index, &body) == 0;

	*to = normal_plain_encoding(buf_span(&body));
	buf_free(&body);
	return is_fine;
}

static bool
write_fields(struct normal_tree *t, uint32_t index, enum normal_mode mode)
{
	const struct mime_part *p = &t->m->parts[index];
	struct normal_choice *c = &t->choices[index];
	bool is_container = normal_tree_child(t, index, UINT32_MAX) != UINT32_MAX;
	struct buf fields = BUF_INIT(NORMAL_HEAD_MAX);
	struct normal_about about = {.type = c->type,
	    .charset = mode == NORMAL_TEXT ? SPAN("utf-8") : p->charset,
	    .name = p->filename,
	    .boundary = c->boundary,
	    .encoding = encoding_of(p, mode),
	    .section = normal_tree_section(t, index),
	    .has_version = index == 0 || t->m->parts[p->parent].is_message};
	bool is_fine = !is_container || encoding_of_parts(t, index, &about.encoding);

	is_fine =
	    is_fine && normal_head_fields(&about, &fields) == 0 && normal_tree_room(t, fields.n);
	if (is_fine)
		c->fields = arena_copy(t->memory, buf_span(&fields));
	buf_free(&fields);
	return is_fine;
}

/* In base64, which every reader undoes alike. */
static bool
write_body(struct normal_tree *t, uint32_t index, struct span bytes)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = (bytes.n + 2) / 3 * 4, column = 0;
	char *to, *start;

	n += 2 * (n / LINE_MAX_BYTES + 1);
	if (!normal_tree_room(t, n))
		return false;
	start = to = arena_alloc(t->memory, n);
	for (size_t i = 0; i < bytes.n; i += 3) {
		struct span three = span_take(span_skip(bytes, i), 3);
		unsigned char b[3] = {0};
		uint32_t all;

		memcpy(b, three.p, three.n);
		all = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
		for (size_t k = 0; k < 4; k++)
			*to++ = k <= three.n ? digits[all >> (18 - 6 * k) & 63] : '=';
		column += 4;
		if (column == LINE_MAX_BYTES || i + 3 >= bytes.n) {
			*to++ = '\r';
			*to++ = '\n';
			column = 0;
		}
	}
	t->choices[index].body = span_of(start, (size_t)(to - start));
	return true;
}

static bool
is_boundary(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] > 0x7e || strchr("\"\\%'*", s.p[i]) != NULL)
			return false;
	return s.n > 0 && s.n <= BOUNDARY_MAX && memmem(s.p, s.n, "=?", 2) == NULL;
}

/* One that is nowhere in the message; what was decoded out of it is tried. */
static bool
new_boundary(struct normal_tree *t, uint32_t index)
{
	struct buf word = BUF_INIT(BOUNDARY_MAX);

	for (unsigned i = 0; i < BOUNDARY_TRIES; i++) {
		buf_clear(&word);
		(void)buf_addf(&word, "=_normal_%u_%u", (unsigned)index, i); /* fits */
		if (memmem(t->message.p, t->message.n, word.p, word.n) != NULL ||
		    !normal_tree_room(t, word.n))
			continue;
		t->choices[index].boundary = arena_copy(t->memory, buf_span(&word));
		buf_free(&word);
		return true;
	}
	buf_free(&word);
	return false;
}

static bool
write_notice(struct normal_tree *t, uint32_t index)
{
	const struct mime_part *p = &t->m->parts[index];
	struct buf fields = BUF_INIT(NORMAL_HEAD_MAX);
	bool needs_version = index == 0 || t->m->parts[p->parent].is_message;
	bool is_fine =
	    strip_section(SPAN(""), needs_version, &fields) == 0 && normal_tree_room(t, fields.n);

	if (is_fine)
		t->choices[index].fields = arena_copy(t->memory, buf_span(&fields));
	buf_free(&fields);
	return is_fine;
}

/* All readers find the end of the header section: it is an empty line. */
static bool
has_clear_head(const struct normal_tree *t, uint32_t index)
{
	const struct mime_part *p = &t->m->parts[index];
	struct span head = span_take(p->whole, (size_t)(p->raw.p - p->whole.p));

	if (index == 0 && head.n < t->header)
		return false;
	return p->whole.n == 0 || span_eq(head, SPAN("\r\n")) ||
	       span_ends_nocase(head, SPAN("\r\n\r\n"));
}

/* Whether this way can be thought of; all that it needs is written then. */
static bool
prepare(struct normal_tree *t, uint32_t index, enum normal_mode mode)
{
	const struct mime_part *p = &t->m->parts[index];
	struct normal_choice *c = &t->choices[index];
	bool is_container = normal_tree_child(t, index, UINT32_MAX) != UINT32_MAX;
	bool is_multi = is_container && !p->is_message;

	c->mode = mode;
	c->fields = c->body = span_take(p->raw, 0);
	c->boundary = p->boundary;
	switch (mode) {
	case NORMAL_KEEP:
		return has_clear_head(t, index) && span_eq(c->type, p->type) &&
		       is_strict_body(t, index, is_container) &&
		       normal_head_is_plain(normal_tree_section(t, index));
	case NORMAL_HEAD:
		if (is_multi &&
		    (c->guess > 0 || p->encoding != CLAIMS_PLAIN || !is_boundary(p->boundary)))
			return false;
		if (!is_container && !is_strict_body(t, index, false))
			return false;
		return write_fields(t, index, mode);
	case NORMAL_DIVIDED:
		return is_multi && new_boundary(t, index) && write_fields(t, index, mode);
	case NORMAL_CODED:
		return !is_container && write_fields(t, index, mode) &&
		       write_body(t, index, normal_tree_decoded(t, index));
	case NORMAL_TEXT:
		return !is_container && c->decoded == 0 && span_starts(p->type, SPAN("text/")) &&
		       !p->is_truncated && write_fields(t, index, mode) &&
		       write_body(t, index, p->text);
	case NORMAL_NOTICE:
		break;
	}
	return write_notice(t, index);
}

/* The type of its one reading: what a multipart holds that nothing divides is text. */
static void
choose_type(struct normal_tree *t, uint32_t index)
{
	const struct mime_part *p = &t->m->parts[index];
	struct normal_choice *c = &t->choices[index];

	c->type = p->type;
	if (!p->is_multipart && !p->is_message)
		normal_tree_file(t, index);
	if (!span_starts(p->type, SPAN("multipart/")) ||
	    normal_tree_child(t, index, UINT32_MAX) != UINT32_MAX)
		return;
	normal_tree_guess(t, index);
	if (normal_tree_child(t, index, UINT32_MAX) == UINT32_MAX)
		c->type = SPAN("text/plain");
}

/* The mildest way in which the part, with all that is in it, is read in one way. */
static void
settle(struct normal_tree *t, uint32_t index)
{
	const struct mime_part *p = &t->m->parts[index];
	bool is_lost =
	    (p->is_truncated && !is_long_text(p)) || span_eq(p->type, SPAN("message/partial"));

	choose_type(t, index);
	for (uint32_t i = normal_tree_child(t, index, UINT32_MAX); i != UINT32_MAX && !is_lost;
	     i = normal_tree_child(t, index, i)) {
		settle(t, i);
		/* A message without anything of what it was is none: the notice is about all of it. */
		is_lost = p->is_message && t->choices[i].mode == NORMAL_NOTICE;
	}
	for (enum normal_mode mode = NORMAL_KEEP; mode < NORMAL_NOTICE && !is_lost; mode++)
		if (prepare(t, index, mode) && is_tried(t, index))
			return;
	(void)prepare(t, index, NORMAL_NOTICE); /* there is always one */
}

int
normal_make(
    struct span message, const struct mime_message *m, struct arena *memory, struct normal *out)
{
	struct normal_tree tree = {.message = message,
	    .m = m,
	    .memory = memory,
	    .work_max = (uint64_t)message.n * MIME_WORK_TIMES + MIME_WORK_MORE};
	int r;

	*out = (struct normal){.why_not = "it is too large"};
	if (message.n > NORMAL_MESSAGE_MAX)
		return -E_LIMIT;
	out->why_not = "not all of it was seen";
	if (mime_is_truncated(m))
		return -E_LIMIT;
	tree.choices = mem_array(m->n_parts, sizeof(*tree.choices));
	normal_tree_start(&tree);
	settle(&tree, 0);
	r = is_tried(&tree, 0) ? normal_tree_cut(&tree, out) : -E_CORRUPT;
	if (r < 0 && prepare(&tree, 0, NORMAL_NOTICE) && is_tried(&tree, 0))
		r = normal_tree_cut(&tree, out); /* too many places: nothing but the notice */
	if (r < 0)
		out->why_not = "no way to write it is read in one way";
	mem_free(tree.choices);
	return r;
}
