/* Everything a worker or a front may say to the other: first byte chooses the codec. */
#include "relay/ipc/front_filter.h"
#include "relay/base/err.h"

#include <stdlib.h>

static const struct pnf_outcome outcomes[] = {{"one", "tag", "first"}, {.name = NULL}};
static const struct pnf_about about = {.name = "edits",
    .may = PNF_MAY_EDIT_HEADERS | PNF_MAY_TAG | PNF_MAY_SCORE | PNF_MAY_NAME_PARTS,
    .outcomes = outcomes};
static const struct conf_filter filter = {.name = "edits", .plugin = &about};
static const struct conf_flow flow = {
    .name = "f", .filters = {{.filter = &filter}, {.filter = &filter}}, .n_filters = 2};

/* What was believed must be written back to the same bytes. */
static void
check_same(struct buf *again, struct span payload)
{
	if (again->failed || !span_eq(buf_span(again), payload))
		abort();
	buf_free(again);
}

static void
try_result(struct span payload)
{
	struct scan_result *r = mem_alloc(sizeof(*r));
	struct buf again = BUF_INIT(1 << 24);

	if (scan_result_get(payload, &flow, r) == 0) {
		scan_result_put(&again, r);
		check_same(&again, payload);
	}
	mem_free(r);
}

static void
try_request(struct span payload)
{
	static struct span rcpts[SCAN_RCPTS_MAX];
	struct buf again = BUF_INIT(1 << 24);
	struct scan_request r;

	if (scan_request_get(payload, &r, rcpts, SCAN_RCPTS_MAX) == 0) {
		scan_request_put(&again, &r);
		check_same(&again, payload);
	}
}

static void
try_death(struct span payload)
{
	struct buf again = BUF_INIT(1 << 24);
	struct worker_death d;

	if (worker_death_get(payload, &d) == 0) {
		worker_death_put(&again, &d);
		check_same(&again, payload);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size);

	if (size == 0)
		return 0;
	rest = span_skip(rest, 1);
	if (data[0] % 3 == 0)
		try_result(rest);
	else if (data[0] % 3 == 1)
		try_request(rest);
	else
		try_death(rest);
	return 0;
}
