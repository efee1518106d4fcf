/* fuzz_mime.c - any message gives a sound tree within its limits. */
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/message/decode.h"
#include "relay/message/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_part(const struct mime_message *m, size_t i, const struct mime_limits *limits)
{
	const struct mime_part *p = &m->parts[i];

	must(i == 0 || p->parent < i);
	must(p->depth == 0 ? i == 0 || p->is_reading : p->depth == m->parts[p->parent].depth + 1);
	must(p->depth <= limits->depth && p->n_names <= MIME_NAMES);
	must(p->type.n > 0 && (p->is_reading || p->decoded.n <= p->raw.n));
	for (size_t k = 0; k < p->n_names; k++)
		must(utf8_is_valid(p->names[k]));
	must(utf8_is_valid(p->text) && utf8_is_valid(p->filename));
	must(p->text.n <= MIME_TEXT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_warm;
	struct mime_limits limits;
	struct mime_message m;
	struct arena arena;

	if (!is_warm)
		decode_warm_up();
	is_warm = true;
	if (size < 3)
		return 0;
	limits = (struct mime_limits){.parts = data[0] % 50 + 1U,
	    .depth = data[1] % 10 + 1U,
	    .decoded_bytes = data[2] % 2 ? 1000000 : 100,
	    .readings = data[1] / 10 + 1U};
	arena_init(&arena, data[2] % 4 < 2 ? 16 * 1024 * 1024 : MIME_ARENA_MIN + data[0] * 64U);
	mime_parse(span_of(data + 3, size - 3), &limits, &arena, &m);
	must(m.n_parts >= 1 && m.n_parts <= limits.parts);
	for (size_t i = 0; i < m.n_parts; i++)
		check_part(&m, i, &limits);
	must(m.n_headers <= HEADER_FIELDS_MAX);
	arena_free(&arena);
	return 0;
}
