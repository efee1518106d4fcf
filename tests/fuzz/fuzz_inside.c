/* fuzz_inside.c - calendars, cards and signed content: what is found lies in the text and decodes into the
 * room that is promised. */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/message/card.h"
#include "relay/message/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct span inner, struct span outer)
{
	return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

static void
check_card(struct span text)
{
	struct inline_file file;
	size_t at = 0, before = 0;

	(void)card_is_one(text); /* for the sanitizers */
	while (card_next(text, &at, &file)) {
		char *to = mem_alloc(file.data.n + 3);

		must(at > before && at <= text.n);
		must(is_inside(file.name, text) && is_inside(file.data, text));
		must(inline_file_decode(&file, to) <= file.data.n + 3);
		mem_free(to);
		before = at;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	/* Of exactly the promised size, so that one byte more is seen. */
	char *to = mem_alloc(size);
	size_t n = cms_content(input, to);

	must(n <= size && (n == 0 || cms_is_one(input)));
	mem_free(to);
	check_card(input);
	return 0;
}
