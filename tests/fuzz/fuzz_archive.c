/*
 * fuzz_archive.c - the walk through archives (libarchive below it), compound files and winmail.dat of
 * one attachment: bounded in items, depth and memory, and what was left out says so.
 */
#include "filters/unpack/unpack.h"
#include "relay/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_item(const struct unpack *u, size_t i)
{
	const struct unpack_item *item = &u->items[i];

	must(item->depth <= UNPACK_DEPTH && item->part == 0);
	must(i > 0 || item->depth == 0);
	must(i == 0 || item->depth <= u->items[i - 1].depth + 1);
	must(item->name.n <= UNPACK_NAME_MAX);
	must((item->flags & ~u->flags) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span names[] = {SPAN("a.zip")};
	struct mime_part part = {.type = SPAN("application/octet-stream"),
	    .filename = SPAN("a.zip"),
	    .names = names,
	    .n_names = 1};
	struct mime_message message = {.parts = &part, .n_parts = 1};
	struct arena arena;
	struct unpack out;

	if (size < 1)
		return 0;
	part.raw = part.decoded = span_of(data + 1, size - 1);
	/* A byte for the memory: what does not fit is left out, and said to be. */
	arena_init(&arena, data[0] < 128 ? 1 << 22 : UNPACK_ARENA_MIN + data[0] * 16U);
	unpack_message(&message, &arena, &out);
	must(out.n >= 1 && out.n <= UNPACK_ITEMS);
	must(out.items[0].size == part.decoded.n && out.items[0].has_hash);
	for (size_t i = 0; i < out.n; i++)
		check_item(&out, i);
	arena_free(&arena);
	return 0;
}
