/* Control requests, supervision, hits and policy bundles: what is read is written back to the same bytes. */
#include "relay/base/err.h"
#include "relay/ipc/control.h"
#include "relay/ipc/hits.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/ipc/supervision.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(struct buf *back, struct span in)
{
	must(!back->failed && span_eq(buf_span(back), in));
	buf_clear(back);
}

static void
check_control(struct span in, struct buf *back)
{
	static struct control_request r;
	struct control_end e;

	if (control_request_get(in, &r) == 0) {
		control_request_put(back, &r);
		check_same(back, in);
	}
	must(r.n_words <= CONTROL_WORDS_MAX);
	if (control_end_get(in, &e) == 0) {
		control_end_put(back, &e);
		check_same(back, in);
	}
}

static void
check_supervision(struct span in, struct buf *back)
{
	struct role_problem_report p;
	struct role_setup s;

	if (role_setup_get(in, &s) == 0) {
		role_setup_put(back, &s);
		check_same(back, in);
	}
	for (struct wire w = wire_over(in); w.rest.n > 0 && !w.failed;) {
		size_t before = w.rest.n;
		struct load_state l = load_state_get(&w);

		if (w.failed)
			break;
		load_state_put(back, &l);
		must(back->n == before - w.rest.n);
		buf_clear(back);
	}
	if (role_problem_get(in, &p) == 0) {
		role_problem_put(back, &p);
		check_same(back, in);
	}
}

static void
check_hits(struct span in, struct buf *back)
{
	struct wire w = wire_over(in);
	struct hits_entry e;

	while (hits_entry_get(&w, &e))
		hits_entry_put(back, &e);
	must(!back->failed && back->n <= in.n &&
	     memcmp(back->p ? back->p : "", in.n ? in.p : "", back->n) == 0);
	buf_clear(back);
}

static void
check_bundle(struct span in, struct buf *back)
{
	struct span text;

	for (int kind = BUNDLE_POLICY; kind <= BUNDLE_LAST; kind++) {
		if (!bundle_find(in, (enum bundle_kind)kind, SPAN("a"), &text)) {
			must(text.n == 0);
			continue;
		}
		must(text.n <= in.n);
		bundle_add(back, (enum bundle_kind)kind, SPAN("a"), text);
		must(memmem(in.p, in.n, back->p, back->n) != NULL);
		buf_clear(back);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf back = BUF_INIT(1 << 24);

	check_control(span_of(data, size), &back);
	check_supervision(span_of(data, size), &back);
	check_hits(span_of(data, size), &back);
	check_bundle(span_of(data, size), &back);
	buf_free(&back);
	return 0;
}
