/* The greylist's entries as they come from disk, then mails that are looked up among them. */
#include "policy/rate/greylist.h"

#include <stdlib.h>

enum { NOW_MS = 1000000, MINUTE_MS = 60000 };

static void
put_again(void *arg, const struct greylist_entry *e)
{
	struct buf b = BUF_INIT(GREYLIST_ENTRY);
	struct greylist_entry again;
	struct wire w;

	/* What is kept can be written down and read again as it is. */
	must(e->until_ms > NOW_MS);
	greylist_entry_put(&b, e);
	must(!b.failed && b.n == GREYLIST_ENTRY);
	w = wire_over(buf_span(&b));
	greylist_entry_get(&w, &again);
	must(wire_end(&w) == 0 && memcmp(again.key, e->key, sizeof(again.key)) == 0 &&
	     again.first_ms == e->first_ms && again.until_ms == e->until_ms &&
	     again.passes == e->passes);
	buf_free(&b);
	++*(size_t *)arg;
}

/* The rest of the input is a client, a sender and a recipient. */
static void
see(struct greylist *g, struct span input)
{
	static const struct conf_greylist conf = {
	    .delay_ms = MINUTE_MS, .window_ms = 60 * MINUTE_MS, .keep_ms = 100000000, .clients = 2};
	struct greylist_mail m = {0};
	enum greylist_fact first;
	int64_t left_ms;

	for (size_t i = 0; i < sizeof(m.client.bytes) && i < input.n; i++)
		m.client.bytes[i] = (uint8_t)input.p[i];
	input = span_skip(input, sizeof(m.client.bytes));
	m.from = span_cut(&input, '\n');
	m.to = input;
	first = greylist_see(g, &conf, &m, NOW_MS, &left_ms);
	must((first == GREYLIST_WAIT) == (left_ms > 0) && left_ms <= MINUTE_MS);
	if (first == GREYLIST_WAIT)
		must(greylist_see(g, &conf, &m, NOW_MS + MINUTE_MS, &left_ms) == GREYLIST_PASSED);
	greylist_know(g, m.from, 60 * MINUTE_MS, NOW_MS);
	must(m.from.n == 0 ||
	     greylist_see(g, &conf, &m, NOW_MS + 1, &left_ms) == GREYLIST_CORRESPONDENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire w = wire_over(span_of(data, size));
	struct greylist *g = greylist_new(NULL, NULL);
	size_t n_entries = size > 0 ? data[0] % 8 : 0, n = 0;

	(void)get_u8(&w);
	for (size_t i = 0; i < n_entries && w.rest.n >= GREYLIST_ENTRY; i++) {
		struct greylist_entry e;

		greylist_entry_get(&w, &e);
		greylist_put(g, &e, NOW_MS);
	}
	greylist_each(g, NOW_MS, put_again, &n);
	must(n <= n_entries && n <= greylist_count(g));
	see(g, w.rest);
	greylist_free(&g);
	return 0;
}
