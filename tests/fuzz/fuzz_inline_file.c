/*
 * fuzz_inline_file.c - uuencode, its base64 form and yEnc in a text: files are found in order, lie in
 * the text, and decode into the room that is promised.
 */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/message/inline_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct span inner, struct span outer)
{
	return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

static void
check_file(const struct inline_file *file, struct span text)
{
	/* Of exactly the promised size, so that one byte more is seen. */
	size_t room = file->data.n + 3, n;
	char *to = mem_alloc(room);

	must(is_inside(file->name, text) && is_inside(file->data, text));
	n = inline_file_decode(file, to);
	must(n <= room);
	mem_free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	size_t at = 0, before = 0;
	struct inline_file file;

	while (inline_file_next(text, &at, &file)) {
		must(at > before && at <= size);
		before = at;
		check_file(&file, text);
	}
	/* What the MIME parser does where a transfer encoding says so: all of it, of any kind. */
	for (int kind = INLINE_UU; kind <= INLINE_YENC; kind++) {
		file = (struct inline_file){.kind = (enum inline_kind)kind, .data = text};
		check_file(&file, text);
	}
	return 0;
}
