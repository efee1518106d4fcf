#include "filters/chain/run.h"

/* TRUE beats UNKNOWN beats FALSE: one field or part that matches is enough. */
static enum truth
either(enum truth a, enum truth b)
{
	if (a == TRUTH_TRUE || b == TRUTH_TRUE)
		return TRUTH_TRUE;
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
predicate_truth(const struct pnf_msg *m, const struct predicate *p)
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
	case FACET_CLIENT:
	case FACET_HOST:
	case FACET_HELO:
	case FACET_FROM:
	case FACET_TO:
	case FACET_TLS:
	case FACET_AUTH:
		break;
	}
	return TRUTH_UNKNOWN;
}

void
truths_fill(struct pnf_msg *m, const struct snapshot *snapshot)
{
	size_t n = snapshot_predicate_count(snapshot);

	if (n > SCAN_TRUTHS_MAX)
		n = SCAN_TRUTHS_MAX;
	for (size_t i = 0; i < n; i++)
		m->truths[i] = (uint8_t)predicate_truth(m, snapshot_predicate(snapshot, i));
	m->result.truths = span_of(m->truths, n);
}
