/* SPOOL_COMMIT and SPOOL_REFUSED from a front that is no longer ours. */
#include "relay/base/err.h"
#include "relay/ipc/front_spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_commit(struct span in)
{
	static struct commit_room room;
	struct buf again = BUF_INIT(1 << 24);
	struct commit c;

	if (commit_get(in, &c, &room) < 0) {
		must(c.n_rcpts == 0 && c.id.n == 0);
		return;
	}
	must(c.n_rcpts > 0 && c.n_rcpts <= COMMIT_RCPTS_MAX && c.skip <= c.body_size);
	for (size_t i = 0; i < c.n_rcpts; i++)
		must(c.rcpts[i].copy < c.n_copies);
	must(!c.is_inline || c.body.n == c.body_size);
	commit_put(&again, &c);
	must(!again.failed && span_eq(buf_span(&again), in));
	buf_free(&again);
}

static void
check_refusal(struct span in)
{
	struct buf again = BUF_INIT(1 << 16);
	struct refusal r;

	if (refusal_get(in, &r) < 0)
		return;
	refusal_put(&again, &r);
	must(!again.failed && span_eq(buf_span(&again), in));
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_commit(span_of(data, size));
	check_refusal(span_of(data, size));
	return 0;
}
