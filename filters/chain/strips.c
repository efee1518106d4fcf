/*
 * strips.c - which parts of the message outcomes are about, and whether each can be taken out of it
 * so that the rest reads as before.
 *
 * Nothing is guessed: what can be read in two ways, what is signed as a whole, and what lies in
 * something encoded is left for quarantine.  Then the edit is tried: the message without all of its
 * marked parts is parsed again, and every part that is left must be what it was.
 */
#include "filters/chain/run.h"
#include "filters/unpack/kind.h"
#include "relay/message/strip.h"

#include <openssl/evp.h>

enum {
	STRIP_MESSAGE_MAX = 128 * 1024 * 1024, /* of a message that is tried without its parts */
	ROUNDING = 64,
	/* Bad form about which all readers agree: docs/mime.md. */
	ANOMALIES_FINE = MIME_BAD_ENCODING | MIME_BAD_CHARSET | MIME_BAD_HEADER |
			 MIME_DUPLICATE_HEADER | MIME_INLINE_FILE
};

void
strips_give_up(struct pnf_msg *m, size_t i, struct span why)
{
	struct span text, brief = SPAN("not possible");

	if (i >= m->result.n_outcomes || m->result.outcomes[i].uncut.n > 0)
		return;
	text = run_line(m, why, SCAN_UNCUT_MAX);
	if (text.n == 0 || m->uncut_bytes + text.n > SCAN_UNCUT_BYTES - SCAN_OUTCOMES_MAX * brief.n)
		text = brief; /* there is room for one of each outcome */
	m->uncut_bytes += text.n;
	m->result.outcomes[i].uncut = text;
}

/* A text of a part or a mark; empty when there are too many of them. */
static struct span
line(struct pnf_msg *m, struct span s, size_t max)
{
	struct span kept = run_line(m, s, max);

	if (kept.n > SCAN_PARTS_BYTES - m->part_bytes)
		return SPAN("");
	m->part_bytes += kept.n;
	return kept;
}

void
strips_mark(struct pnf_msg *m, size_t i, uint32_t part, struct span why)
{
	struct scan_result *r = &m->result;

	if (i >= r->n_outcomes)
		return; /* crowded out: a failure stands there */
	for (size_t k = 0; k < r->n_marks; k++)
		if (r->marks[k].outcome == i && r->marks[k].part == part)
			return;
	if (r->n_marks == SCAN_MARKS_MAX) {
		strips_give_up(m, i, SPAN("it is about too many parts"));
		return;
	}
	r->marks[r->n_marks++] = (struct scan_mark){
	    .outcome = (uint16_t)i, .part = (uint16_t)part, .why = line(m, why, SCAN_WHY_MAX)};
}
_Static_assert(MIME_PARTS <= UINT16_MAX, "a mark holds the index of any part");

/* --- where a part is --------------------------------------------------------------------------- */

static bool
is_inside(struct span inner, struct span outer)
{
	return inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n;
}

/* The part that has its place in the message: of a further reading, the one it is a reading of. */
static const struct mime_part *
placed_part(const struct pnf_msg *m, uint32_t index)
{
	const struct mime_part *own = &m->mime.parts[index];

	if (!own->is_reading)
		return own;
	for (uint32_t i = index; i-- > 0;) {
		const struct mime_part *part = &m->mime.parts[i];

		if (!part->is_reading && part->raw.p == own->raw.p && part->raw.n == own->raw.n)
			return part;
	}
	return NULL;
}

static bool
is_sealed(const struct pnf_msg *m, const struct mime_part *part)
{
	const struct mime_part *up = part;

	while (up != m->mime.parts) {
		up = &m->mime.parts[up->parent];
		if (span_eq(up->type, SPAN("multipart/signed")) ||
		    span_eq(up->type, SPAN("multipart/encrypted")))
			return true;
	}
	return false;
}

/* Why it cannot be taken out, as a text of ours; NULL: it can. */
static const char *
why_not(const struct pnf_msg *m, const struct mime_part *part)
{
	struct span before, behind, head;

	if (part == NULL)
		return "it is a file inside a text";
	if (part->is_multipart)
		return "it is a multipart of its own";
	if (is_sealed(m, part))
		return "it is inside a signed or encrypted part";
	if (!is_inside(part->whole, m->body) || !is_inside(part->raw, part->whole))
		return "it is inside an encoded message";
	before = span_take(m->body, (size_t)(part->whole.p - m->body.p));
	behind = span_skip(m->body, before.n + part->whole.n);
	if (part->whole.n == 0 || !strip_is_whole(before, behind))
		return "it does not end where a line does";
	head = span_take(part->whole, (size_t)(part->raw.p - part->whole.p));
	if (before.n == 0) /* the message itself: front knows its section, up to an empty line */
		return header_section_length(head) + 2 == head.n ? NULL
								 : "its header section has no end";
	return head.n > SCAN_PART_HEAD_MAX ? "its header section is too long" : NULL;
}

/* --- what is said of it ------------------------------------------------------------------------ */

void
strips_describe(struct pnf_msg *m, const struct mime_part *part, struct scan_part *to)
{
	char type[KIND_NAME_MAX] = "";

	*to = (struct scan_part){.name = line(m, part->filename, SCAN_PART_NAME_MAX),
	    .declared = line(m, part->type, SCAN_PART_TYPE_MAX),
	    .size = part->decoded.n};
	kind_of(part->decoded, type);
	to->type = line(m, span_str(type), SCAN_PART_TYPE_MAX);
	/* Zeros when it cannot be had: it is shown, nothing hangs on it. */
	(void)EVP_Digest(part->decoded.p, part->decoded.n, to->hash, NULL, EVP_sha256(), NULL);
}

static void
describe(struct pnf_msg *m, const struct mime_part *part, struct scan_part *to)
{
	strips_describe(m, part, to);
	to->at = (uint64_t)(part->whole.p - m->body.p);
	to->n = part->whole.n;
	to->head = (uint32_t)(part->raw.p - part->whole.p);
	if (to->at == 0)
		to->head = 0; /* the message's own section is known to all */
}

/* The index of this part in the result, where parts stand as they begin; SIZE_MAX: no more fit. */
static size_t
add_part(struct pnf_msg *m, const struct mime_part *part)
{
	struct scan_result *r = &m->result;
	uint64_t at = (uint64_t)(part->whole.p - m->body.p);
	size_t i = 0;

	while (i < r->n_parts && r->parts[i].at < at)
		i++;
	if (i < r->n_parts && r->parts[i].at == at && r->parts[i].n == part->whole.n)
		return i;
	if (r->n_parts == SCAN_PARTS_MAX)
		return SIZE_MAX;
	memmove(&r->parts[i + 1], &r->parts[i], (r->n_parts - i) * sizeof(r->parts[0]));
	r->n_parts++;
	describe(m, part, &r->parts[i]);
	return i;
}

/* --- the edit, tried --------------------------------------------------------------------------- */

/* Every message that lacks the text that will stand there has one of the same form. */
static int
add_notice(const struct scan_part *p, struct span head, struct buf *to)
{
	const struct strip_notice notice = {.hostname = SPAN("postern"), .part = p};

	return strip_part(head, p->at == 0, &notice, to);
}

/* Bytes before the body of the message itself. */
static size_t
root_head(const struct pnf_msg *m)
{
	return (size_t)(m->mime.parts[0].raw.p - m->body.p);
}

/* The message without its marked parts. */
static int
build(const struct pnf_msg *m, struct buf *to)
{
	const struct scan_result *r = &m->result;
	size_t from = 0;

	for (size_t i = 0; i < r->n_parts; i++) {
		const struct scan_part *p = &r->parts[i];
		struct span whole = span_take(span_skip(m->body, (size_t)p->at), (size_t)p->n);

		if (p->at < from)
			continue; /* it went with the part it is in */
		(void)buf_add_span(
		    to, span_of(m->body.p + from, (size_t)p->at - from)); /* sticky */
		if (add_notice(p, span_take(whole, p->at == 0 ? root_head(m) : p->head), to) < 0)
			return -E_LIMIT;
		from = (size_t)(p->at + p->n);
	}
	return buf_add_span(to, span_skip(m->body, from));
}

/* Whether these bytes lie in one of the parts that went; *part takes it when they begin there. */
static bool
is_gone(const struct pnf_msg *m, struct span bytes, const struct scan_part **part)
{
	const struct scan_result *r = &m->result;

	for (size_t i = 0; i < r->n_parts; i++) {
		struct span gone =
		    span_take(span_skip(m->body, (size_t)r->parts[i].at), (size_t)r->parts[i].n);

		if (is_inside(bytes, gone)) {
			*part = &r->parts[i];
			return true;
		}
	}
	return false;
}

/* Whether `part` or what it came out of went; what was decoded lies elsewhere. */
static bool
has_gone(const struct pnf_msg *m, uint32_t index, const struct scan_part **part)
{
	for (;;) {
		const struct mime_part *p = &m->mime.parts[index];

		if (is_gone(m, p->whole.n > 0 ? p->whole : p->raw, part))
			return true;
		if (index == 0 || is_inside(p->raw, m->body))
			return false;
		index = p->parent;
	}
}

static bool
is_notice(const struct mime_part *part, const struct scan_part *about)
{
	const struct strip_notice notice = {.hostname = SPAN("postern"), .part = about};
	struct buf text = BUF_INIT(STRIP_TEXT_MAX);
	bool is_same = strip_text(&notice, &text) == 0 && span_eq(part->raw, buf_span(&text));

	buf_free(&text);
	return is_same && span_eq(part->type, SPAN("text/plain")) && part->n_names == 0 &&
	       !part->is_reading && !part->is_malformed && !part->is_truncated;
}

/* A part that was let be.  What holds others has them compared one by one. */
static bool
is_same_part(const struct mime_part *a, const struct mime_part *b)
{
	bool holds_others = a->is_multipart || a->is_message;

	if (a->depth != b->depth || a->n_names != b->n_names)
		return false;
	for (size_t i = 0; i < a->n_names; i++)
		if (!span_eq(a->names[i], b->names[i]))
			return false;
	return span_eq(a->type, b->type) && span_eq(a->charset, b->charset) &&
	       (holds_others || span_eq(a->decoded, b->decoded)) &&
	       a->is_multipart == b->is_multipart && a->is_message == b->is_message &&
	       a->is_reading == b->is_reading && a->is_malformed == b->is_malformed &&
	       a->is_truncated == b->is_truncated;
}

/* Whether `edited` has every part of the message but the marked ones, and a notice for each. */
static bool
is_rest(const struct pnf_msg *m, const struct mime_message *edited)
{
	size_t k = 0;

	for (uint32_t i = 0; i < m->mime.n_parts; i++) {
		const struct mime_part *own = &m->mime.parts[i];
		const struct scan_part *gone = NULL;

		if (has_gone(m, i, &gone)) {
			bool is_itself = !own->is_reading && own->whole.n == gone->n &&
					 (uint64_t)(own->whole.p - m->body.p) == gone->at;

			if (is_itself &&
			    (k == edited->n_parts || !is_notice(&edited->parts[k++], gone)))
				return false;
			continue;
		}
		if (k == edited->n_parts || !is_same_part(own, &edited->parts[k++]))
			return false;
	}
	return k == edited->n_parts && (edited->anomalies & ~m->mime.anomalies) == 0;
}

static bool
is_tried(const struct pnf_msg *m)
{
	struct buf edited = BUF_INIT(STRIP_MESSAGE_MAX + SCAN_PARTS_MAX * STRIP_TEXT_MAX);
	struct mime_message again;
	struct arena memory;
	bool is_fine = false;

	arena_init(&memory, CHAIN_MIME_MEMORY);
	if (build(m, &edited) == 0) {
		mime_parse(buf_span(&edited), &(struct mime_limits){0}, &memory, &again);
		is_fine = is_rest(m, &again);
	}
	arena_free(&memory);
	buf_free(&edited);
	return is_fine;
}

/* --- all marks --------------------------------------------------------------------------------- */

static void
give_up_all(struct pnf_msg *m, struct span why)
{
	for (size_t i = 0; i < m->result.n_marks; i++)
		strips_give_up(m, m->result.marks[i].outcome, why);
	m->result.n_marks = 0;
	m->result.n_parts = 0;
	m->part_bytes = 0;
}

/* Whether the part of mark i lies in one that goes without it: for an outcome that is another one only.  The
 * message is tried without the outer part, so that nobody knows what it is without the inner one alone. */
static bool
is_in_another(const struct pnf_msg *m, size_t i)
{
	const struct scan_result *r = &m->result;
	const struct mime_part *own = placed_part(m, r->marks[i].part);
	bool is_nested = false;

	for (size_t k = 0; k < r->n_marks; k++) {
		const struct mime_part *other = placed_part(m, r->marks[k].part);

		if (why_not(m, other) != NULL || other == own ||
		    !is_inside(own->whole, other->whole))
			continue;
		if (r->marks[k].outcome == r->marks[i].outcome)
			return false; /* they go together */
		is_nested = true;
	}
	return is_nested;
}

/* Gives up outcomes with a part that lies in another's; says so before any mark has moved. */
static void
give_up_nested(struct pnf_msg *m)
{
	for (size_t i = 0; i < m->result.n_marks; i++)
		if (why_not(m, placed_part(m, m->result.marks[i].part)) == NULL &&
		    is_in_another(m, i))
			strips_give_up(m, m->result.marks[i].outcome,
			    SPAN("it is inside a part that something else is about"));
}

/* Keeps the marks of parts that can be taken out; they name parts of `mime` still. */
static void
keep_possible(struct pnf_msg *m)
{
	struct scan_result *r = &m->result;
	size_t kept = 0;

	give_up_nested(m);
	for (size_t i = 0; i < r->n_marks; i++) {
		const struct mime_part *part = placed_part(m, r->marks[i].part);
		const char *why = why_not(m, part);

		if (why == NULL && add_part(m, part) == SIZE_MAX)
			why = "it is about too many parts";
		if (why != NULL)
			strips_give_up(m, r->marks[i].outcome, span_str(why));
		else
			r->marks[kept++] = r->marks[i];
	}
	r->n_marks = kept;
}

/* ... and makes them name parts of the result. */
static void
name_parts(struct pnf_msg *m)
{
	struct scan_result *r = &m->result;

	for (size_t i = 0; i < r->n_marks; i++)
		r->marks[i].part =
		    (uint16_t)add_part(m, placed_part(m, r->marks[i].part)); /* it is there */
}

void
strips_place(struct pnf_msg *m)
{
	struct buf names = BUF_INIT(SCAN_WHY_MAX), why = BUF_INIT(2 * SCAN_WHY_MAX);
	unsigned bad = m->mime.anomalies & ~(unsigned)ANOMALIES_FINE;

	if (m->result.n_marks == 0)
		return;
	if (bad != 0) {
		mime_anomalies(bad, &names);
		(void)buf_addf(&why, "it can be read in more than one way: %.*s",
		    SPAN_ARG(buf_span(&names))); /* fits */
		give_up_all(m, buf_span(&why));
	} else if (m->body.n > STRIP_MESSAGE_MAX) {
		give_up_all(m, SPAN("the message is too large for that"));
	} else {
		keep_possible(m);
		name_parts(m);
		if (m->result.n_marks > 0 && !is_tried(m))
			give_up_all(m, SPAN("the rest would read differently"));
	}
	buf_free(&names);
	buf_free(&why);
}
