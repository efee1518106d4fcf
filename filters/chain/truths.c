#include "filters/chain/run.h"
#include "filters/unpack/kind.h"
#include "filters/unpack/name.h"
#include "relay/base/log.h"
#include "relay/message/url.h"

/* TRUE beats SPENT beats LIMIT beats UNKNOWN beats FALSE: one field or part that matches is enough. */
static enum truth
either(enum truth a, enum truth b)
{
	if (a == TRUTH_TRUE || b == TRUTH_TRUE)
		return TRUTH_TRUE;
	if (a == TRUTH_SPENT || b == TRUTH_SPENT)
		return TRUTH_SPENT;
	if (a == TRUTH_LIMIT || b == TRUTH_LIMIT)
		return TRUTH_LIMIT;
	return a == TRUTH_UNKNOWN ? a : b;
}

static enum truth
fields_truth(const struct pnf_msg *m, const struct predicate *p, struct span name, bool *was_seen)
{
	enum truth t = TRUTH_FALSE;

	*was_seen = false;
	for (size_t i = 0; i < m->mime.n_headers && t != TRUTH_TRUE; i++) {
		if (!span_eq_nocase(m->mime.headers[i].name, name))
			continue;
		*was_seen = true;
		t = either(t, matcher_match(p->matcher, m->decoded[i]));
	}
	return t;
}

static enum truth
body_truth(const struct pnf_msg *m, const struct predicate *p)
{
	size_t header = header_section_length(m->body);
	enum truth t = TRUTH_FALSE;
	bool has_text = false;

	for (size_t i = 0; i < m->mime.n_parts && t != TRUTH_TRUE; i++) {
		const struct mime_part *part = &m->mime.parts[i];

		if (!span_starts(part->type, SPAN("text/")) || part->is_multipart)
			continue;
		has_text = true;
		t = either(t, matcher_match(p->matcher, part->text));
		if (part->is_truncated)
			t = either(t, TRUTH_UNKNOWN);
	}
	return has_text ? t : matcher_match(p->matcher, span_skip(m->body, header));
}

static enum truth
name_truth(const struct predicate *p, struct span name)
{
	struct name_forms forms;
	enum truth t = TRUTH_FALSE;

	name_read(name, &forms);
	for (size_t i = 0; i < forms.n && t != TRUTH_TRUE; i++)
		t = either(t, matcher_match(p->matcher, forms.forms[i]));
	return t;
}

/* What was not seen might have matched. */
static enum truth
unless_hidden(struct pnf_msg *m, enum truth t)
{
	if (mime_is_truncated(&m->mime) ||
	    (run_unpack(m, false)->flags & (UNPACK_LIMIT | UNPACK_BROKEN)))
		t = either(t, TRUTH_UNKNOWN);
	return t;
}

static enum truth
attachment_truth(struct pnf_msg *m, const struct predicate *p)
{
	const struct unpack *all = run_unpack(m, false);
	enum truth t = TRUTH_FALSE;

	for (size_t i = 0; i < m->mime.n_parts; i++)
		for (size_t k = 0; k < m->mime.parts[i].n_names && t != TRUTH_TRUE; k++)
			t = either(t, name_truth(p, m->mime.parts[i].names[k]));
	for (size_t i = 0; i < all->n && t != TRUTH_TRUE; i++)
		t = either(t, name_truth(p, all->items[i].name));
	return unless_hidden(m, t);
}

static enum truth
type_truth(const struct predicate *p, struct span type)
{
	struct span other = kind_other_name(type);
	enum truth t = type.n > 0 ? matcher_match(p->matcher, type) : TRUTH_FALSE;

	return other.n > 0 ? either(t, matcher_match(p->matcher, other)) : t;
}

/* Declared types of attachments (what has a name or is no text), real types of everything. */
static enum truth
attachment_type_truth(struct pnf_msg *m, const struct predicate *p)
{
	const struct unpack *all = run_unpack(m, true);
	enum truth t = kind_is_loaded() ? TRUTH_FALSE : TRUTH_UNKNOWN;

	for (size_t i = 0; i < m->mime.n_parts && t != TRUTH_TRUE; i++) {
		const struct mime_part *part = &m->mime.parts[i];

		if (!part->is_multipart &&
		    (part->n_names > 0 || !span_starts(part->type, SPAN("text/"))))
			t = either(t, type_truth(p, part->type));
	}
	for (size_t i = 0; i < all->n && t != TRUTH_TRUE; i++)
		t = either(t, type_truth(p, all->items[i].type));
	return unless_hidden(m, t);
}

struct url_match {
	const struct predicate *predicate;
	enum truth truth;
};

static bool
on_url(void *arg, struct span url, struct span host)
{
	struct url_match *match = arg;
	const struct matcher *m = match->predicate->matcher;

	match->truth = either(match->truth, matcher_match(m, url));
	if (host.n > 0)
		match->truth = either(match->truth, matcher_match(m, host));
	return match->truth != TRUTH_TRUE;
}

static enum truth
url_truth(const struct pnf_msg *m, const struct predicate *p)
{
	struct url_match match = {.predicate = p, .truth = TRUTH_FALSE};

	for (size_t i = 0; i < m->mime.n_parts && match.truth != TRUTH_TRUE; i++) {
		const struct mime_part *part = &m->mime.parts[i];

		if (!span_starts(part->type, SPAN("text/")) || part->is_multipart)
			continue;
		if (!url_each(
			part->text, !span_eq(part->type, SPAN("text/plain")), on_url, &match) ||
		    part->is_truncated)
			match.truth = either(match.truth, TRUTH_UNKNOWN);
	}
	return mime_is_truncated(&m->mime) ? either(match.truth, TRUTH_UNKNOWN) : match.truth;
}

static enum truth
predicate_truth(struct pnf_msg *m, const struct predicate *p)
{
	bool was_seen;
	enum truth t;

	switch (p->facet) {
	case FACET_SUBJECT:
		t = fields_truth(m, p, SPAN("Subject"), &was_seen);
		/* No Subject reads as an empty one. */
		return was_seen ? t : matcher_match(p->matcher, SPAN(""));
	case FACET_HEADER:
		return fields_truth(m, p, p->header_name, &was_seen);
	case FACET_BODY:
		return body_truth(m, p);
	case FACET_URL:
		return url_truth(m, p);
	case FACET_ATTACHMENT:
		return attachment_truth(m, p);
	case FACET_ATTACHMENT_TYPE:
		return attachment_type_truth(m, p);
	case FACET_CLIENT:
	case FACET_HOST:
	case FACET_HELO:
	case FACET_FROM:
	case FACET_TO:
	case FACET_COUNTRY:
	case FACET_ASN:
	case FACET_TLS:
	case FACET_AUTH:
	case FACET_TAG:
		break;
	}
	return TRUTH_UNKNOWN;
}

/* Whoever wrote the rules is to know which one to mend. */
static void
log_costly(const struct pnf_msg *m, const struct predicate *p)
{
	log_event(LOG_WARN, "regexes cost too much", KV("id", m->id),
	    KV("most", span_take(p->written, 200)));
}

void
truths_fill(struct pnf_msg *m, const struct snapshot *snapshot)
{
	size_t n = snapshot_predicate_count(snapshot), costly = 0;
	uint64_t most = 0;

	if (n > SCAN_TRUTHS_MAX)
		n = SCAN_TRUTHS_MAX;
	snapshot_begin_message(snapshot, m->chain->effort);
	for (size_t i = 0; i < n; i++) {
		uint64_t before = snapshot_effort_left(snapshot), cost;

		m->truths[i] = (uint8_t)predicate_truth(m, snapshot_predicate(snapshot, i));
		cost = before - snapshot_effort_left(snapshot);
		if (cost > most)
			costly = i;
		if (cost > most)
			most = cost;
	}
	if (n > 0 && snapshot_effort_left(snapshot) == 0)
		log_costly(m, snapshot_predicate(snapshot, costly));
	snapshot_end_message(snapshot);
	m->result.truths = span_of(m->truths, n);
}
