#include "filters/unpack/unpack.h"
#include "filters/unpack/kind.h"
#include "filters/unpack/ole.h"
#include "filters/unpack/tnef.h"
#include "filters/unpack/walk.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"

#include <openssl/evp.h>

enum { ITEMS_FIRST = 32, ROUNDING = 64 };

bool
walk_is_late(const struct unpack_walk *w)
{
	return clock_mono_ms() > w->end_mono_ms;
}

void
walk_flag(struct unpack_walk *w, size_t item, unsigned flags)
{
	w->out->items[item].flags |= flags;
	w->out->flags |= flags;
}

size_t
walk_item(struct unpack_walk *w, uint32_t depth, struct span name)
{
	struct unpack *out = w->out;

	if (out->n == w->cap) {
		size_t cap = w->cap * 2;
		struct unpack_item *items;

		if (out->n >= UNPACK_ITEMS ||
		    arena_left(w->arena) < cap * sizeof(*items) + ROUNDING) {
			out->flags |= UNPACK_LIMIT;
			return SIZE_MAX;
		}
		items = arena_alloc(w->arena, cap * sizeof(*items));
		memcpy(items, out->items, out->n * sizeof(*items));
		out->items = items;
		w->cap = cap;
	}
	if (arena_left(w->arena) < name.n + ROUNDING) {
		out->flags |= UNPACK_LIMIT;
		return SIZE_MAX;
	}
	out->items[out->n] = (struct unpack_item){
	    .part = w->part, .depth = depth, .name = arena_copy(w->arena, name)};
	return out->n++;
}

static bool
ends_with_name(struct span path, const char *name)
{
	size_t n = strlen(name);

	return span_ends_nocase(path, span_str(name)) &&
	       (path.n == n || path.p[path.n - n - 1] == '/' || path.p[path.n - n - 1] == '\\');
}

/* Office's newer documents are zips with the macros in a member. */
static bool
is_macro_member(struct span path)
{
	return ends_with_name(path, "vbaProject.bin") || ends_with_name(path, "vbaData.xml") ||
	       span_starts_nocase(path, SPAN("xl/macrosheets/"));
}

static void
walk_tnef(struct unpack_walk *w, size_t item, struct span bytes)
{
	uint32_t depth = w->out->items[item].depth + 1;
	struct tnef_item found;
	struct tnef t;
	size_t last = SIZE_MAX;

	if (!tnef_open(bytes, &t))
		return;
	walk_flag(w, item, UNPACK_ARCHIVE);
	if (depth > UNPACK_DEPTH) {
		walk_flag(w, item, UNPACK_LIMIT);
		return;
	}
	while (tnef_next(&t, &found)) {
		struct span name = found.name[0] != '\0' ? span_str(found.name) : found.bytes;

		name = span_take(name, UNPACK_NAME_MAX);
		if (found.kind == TNEF_NAME) {
			while (name.n > 0 && name.p[name.n - 1] == '\0')
				name.n--;
			last = walk_item(w, depth, name);
		} else {
			last = walk_item(w, depth, SPAN(""));
			if (last != SIZE_MAX && found.bytes.n <= w->bytes_left) {
				w->bytes_left -= found.bytes.n;
				walk_content(w, last, found.bytes);
			} else {
				walk_flag(w, item, UNPACK_LIMIT);
			}
		}
		if (last == SIZE_MAX)
			return;
	}
	if (t.is_broken)
		walk_flag(w, item, UNPACK_BROKEN);
}

static void
type_item(struct unpack *u, size_t item, struct arena *arena)
{
	char type[KIND_NAME_MAX];

	kind_of(u->items[item].untyped, type);
	u->items[item].untyped = (struct span){0};
	if (arena_left(arena) > sizeof(type) + ROUNDING) {
		u->items[item].type = arena_copy(arena, span_str(type));
	} else {
		u->items[item].flags |= UNPACK_LIMIT;
		u->flags |= UNPACK_LIMIT;
	}
}

void
unpack_types(struct unpack *u, struct arena *arena)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->items[i].untyped.n > 0)
			type_item(u, i, arena);
}

void
walk_content(struct unpack_walk *w, size_t item, struct span bytes)
{
	struct ole_found ole;

	w->out->items[item].size = bytes.n;
	w->out->items[item].has_hash =
	    EVP_Digest(bytes.p, bytes.n, w->out->items[item].hash, NULL, EVP_sha256(), NULL) == 1;
	w->out->items[item].untyped = bytes;
	if (w->out->items[item].depth > 0)
		type_item(w->out, item, w->arena); /* these bytes are gone in a moment */
	ole = ole_look(bytes);
	walk_flag(w, item,
	    (ole.has_macro ? UNPACK_MACRO : 0u) | (ole.is_encrypted ? UNPACK_ENCRYPTED : 0u) |
		(ole.is_broken ? UNPACK_BROKEN : 0u));
	if (walk_is_late(w)) {
		walk_flag(w, item, UNPACK_LIMIT);
		return;
	}
	walk_tnef(w, item, bytes);
	if (archive_is_closed(bytes))
		walk_flag(w, item, UNPACK_LIMIT);
	if (archive_may_be(bytes)) {
		size_t from = w->out->n;

		archive_walk(w, item, bytes);
		for (size_t i = from; i < w->out->n; i++)
			if (w->out->items[i].depth == w->out->items[item].depth + 1 &&
			    is_macro_member(w->out->items[i].name))
				walk_flag(w, item, UNPACK_MACRO);
	}
}

void
walk_kept(struct unpack_walk *w, size_t item, struct span bytes)
{
	if (bytes.n <= w->keep_left && arena_left(w->arena) > UNPACK_ARENA_MIN + bytes.n) {
		w->keep_left -= bytes.n;
		bytes = w->out->items[item].bytes = arena_copy(w->arena, bytes);
	}
	walk_content(w, item, bytes);
}

void
unpack_message(const struct mime_message *m, struct arena *arena, struct unpack *out)
{
	struct unpack_walk w = {.arena = arena,
	    .out = out,
	    .cap = ITEMS_FIRST,
	    .bytes_left = UNPACK_BYTES,
	    .keep_left = UNPACK_KEPT_BYTES,
	    .end_mono_ms = clock_mono_ms() + UNPACK_MS};

	must(arena_left(arena) >= UNPACK_ARENA_MIN);
	*out = (struct unpack){.items = arena_alloc(arena, ITEMS_FIRST * sizeof(out->items[0]))};
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *part = &m->parts[i];
		size_t item;

		if (part->is_multipart)
			continue;
		w.part = (uint32_t)i;
		item = walk_item(&w, 0, span_take(part->filename, UNPACK_NAME_MAX));
		if (item == SIZE_MAX)
			return;
		walk_content(&w, item, part->decoded);
		if (part->is_truncated)
			walk_flag(&w, item, UNPACK_LIMIT);
	}
}
