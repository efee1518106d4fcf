/* fuzz_selection.c - the words of `postern queue`, one a line, against a message. */
#include "relay/base/clock.h"
#include "relay/deliver/selection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

static struct queue_entry *
make_entry(void)
{
	static const struct commit_rcpt rcpt = {
	    .address = {"bob@one.example", 15}, .gateway = {"inside", 6}};
	static const struct commit_copy copy = {.fate = COPY_DELIVER};
	struct envelope envelope = {.from = SPAN("s@example.org"),
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = &rcpt,
	    .n_rcpts = 1};
	struct buf bytes = BUF_INIT(4096);
	struct queue_entry *e;

	envelope_put(&bytes, &envelope);
	e = entry_new(SPAN("01JD"), buf_span(&bytes));
	buf_free(&bytes);
	return e;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span words[WORDS_MAX], rest = span_of(data, size);
	struct queue_entry *e;
	struct selection s;
	struct err err = {0};
	size_t n = 0;

	clock_fake(1000, 1700000000000LL);
	while (rest.n > 0 && n < WORDS_MAX)
		words[n++] = span_cut(&rest, '\n');
	if (selection_parse(words, n, SPAN("joe"), clock_wall_ms(), &s, &err) < 0) {
		must(s.text == NULL && err.text[0] != '\0');
		return 0;
	}
	e = make_entry();
	if (selection_has_rcpt(&s, e, &e->rcpts[0]) && s.from.p == NULL && s.id.p == NULL &&
	    s.state.p == NULL && s.until_ms == INT64_MAX)
		must(selection_has(&s, e));
	must(s.by[0] != 0 && strlen(s.by) <= SELECTION_BY_MAX);
	entry_free(&e);
	selection_free(&s);
	return 0;
}
