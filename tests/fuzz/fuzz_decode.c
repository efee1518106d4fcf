/* fuzz_decode.c - decoders stay in their room, text is always UTF-8 and never past its limit. */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"
#include "relay/message/charset.h"
#include "relay/message/decode.h"
#include "relay/message/header.h"
#include "relay/message/param.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_binary(struct span input)
{
	/* Of exactly the promised size, so that one byte more is seen. */
	char *base64 = mem_alloc(decode_base64_room(input.n)), *quoted = mem_alloc(input.n);
	bool is_bad = false;

	must(decode_base64(input, base64, &is_bad) <= decode_base64_room(input.n));
	must(decode_quoted_printable(input, quoted, &is_bad) <= input.n);
	must(decode_quoted_printable_strict(input, quoted) <= input.n);
	for (int way = 0; way < BASE64_WAYS; way++)
		must(decode_base64_as(input, (enum base64_way)way, quoted, base64) <=
		     decode_base64_room(input.n));
	(void)decode_base64_is_ragged(input); /* for the sanitizers */
	mem_free(base64);
	mem_free(quoted);
}

/* Every reading once, none empty; those for people in UTF-8. */
static void
check_readings(struct span input, size_t memory)
{
	struct variants names = {.n = 0}, boundaries = {.n = 0};
	struct arena arena;

	arena_init(&arena, memory);
	param_text_readings(input, SPAN("name"), &arena, &names);
	param_readings(input, SPAN("boundary"), &arena, &boundaries);
	must(names.n <= VARIANTS_MAX && boundaries.n <= VARIANTS_MAX);
	for (size_t i = 0; i < names.n; i++)
		must(names.items[i].n > 0 && utf8_is_valid(names.items[i]));
	for (size_t i = 0; i < boundaries.n; i++)
		for (size_t k = 0; k < i; k++)
			must(!span_eq(boundaries.items[i], boundaries.items[k]));
	arena_free(&arena);
}

static void
check_text(struct span input, size_t max)
{
	struct buf out = BUF_INIT(max);
	struct param_about about;

	decode_words(input, &out);
	must(!out.failed && out.n <= max && utf8_is_valid(buf_span(&out)));
	buf_clear(&out);
	header_decode(input, &out);
	must(out.failed || utf8_is_valid(buf_span(&out)));
	buf_clear(&out);
	if (param_find_text(input, SPAN("name"), &out))
		must(!out.failed && utf8_is_valid(buf_span(&out)));
	buf_clear(&out);
	(void)param_find(input, SPAN("boundary"), &out, &about); /* for the sanitizers */
	buf_clear(&out);
	param_main_value(input, &out);
	must(!out.failed);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_warm;
	struct span input = span_of(data, size), name;
	struct buf out = BUF_INIT(0);

	if (!is_warm)
		decode_warm_up();
	is_warm = true;
	if (size < 2)
		return 0;
	/* A byte for the limit, a charset up to '|', the bytes. */
	out.max = data[0] * 16U;
	input = span_skip(input, 1);
	check_binary(input);
	check_text(input, data[0] % 2 ? data[0] : 100000);
	check_readings(input, data[0] % 4 == 3 ? 256 + data[0] : 1 << 20);
	name = span_cut(&input, '|');
	if (charset_to_utf8(name, input, &out))
		must(charset_is_known(name));
	must(!out.failed && utf8_is_valid(buf_span(&out)));
	buf_free(&out);
	return 0;
}
