/* SPOOL_REFILTER and SPOOL_REPLACE from a peer that is no longer ours: the first byte says how many
 * recipients were asked about. */
#include "relay/base/err.h"
#include "relay/ipc/held.h"

enum { SECTION = 12, SIZE = 100 }; /* of the message that was sent */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_held(struct span in)
{
	static struct held_room room;
	struct buf facts = BUF_INIT(HELD_FACTS_MAX), again = BUF_INIT(1 << 24);
	struct held h;

	if (held_get(in, &h, &room) < 0) {
		must(h.n_rcpts == 0 && h.id.n == 0);
		return;
	}
	must(h.n_rcpts > 0 && h.section <= h.size && h.facts.n_lists <= HELD_LISTS_MAX);
	held_facts_put(&facts, &h.facts);
	held_put(&again, &h, buf_span(&facts));
	must(!again.failed && !facts.failed && span_eq(buf_span(&again), in));
	buf_free(&facts);
	buf_free(&again);
}

/* What the spool lets pass for a message of SECTION and SIZE fits into it. */
static void
check_cuts(const struct replacement *r)
{
	if (!replacement_is_of(r, SECTION, SIZE))
		return;
	for (size_t i = 0; i < r->commit.n_copies; i++)
		for (size_t k = 0; k < r->commit.copies[i].n_cuts; k++) {
			const struct commit_cut *cut = &r->commit.copies[i].cuts[k];

			must(cut->n <= SIZE - SECTION && cut->at <= SIZE - SECTION - cut->n);
		}
}

static void
check_replacement(struct span in, size_t n_asked)
{
	static struct replacement_room room;
	struct buf again = BUF_INIT(1 << 24);
	struct replacement r;

	if (replacement_get(in, n_asked, &r, &room) < 0) {
		must(r.commit.n_rcpts == 0);
		return;
	}
	must(r.commit.n_rcpts >= n_asked && r.commit.n_rcpts <= 2 * n_asked);
	for (size_t i = 0; i < r.commit.n_rcpts; i++)
		must(r.asked[i] < n_asked && r.commit.rcpts[i].copy < r.commit.n_copies);
	check_cuts(&r);
	replacement_put(&again, &r);
	must(!again.failed && span_eq(buf_span(&again), in));
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	check_held(span_of(data + 1, size - 1));
	check_replacement(span_of(data + 1, size - 1), data[0]);
	return 0;
}
