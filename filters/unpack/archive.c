/* archive.c - the members of an archive, by libarchive, and the names in a zip's own headers. */
#include "filters/unpack/walk.h"
#include "relay/base/err.h"

#include <archive.h>
#include <archive_entry.h>

enum {
	BLOCK = 65536,
	ZIP_HEADER_BYTES = 46, /* of the central directory; 30 locally */
	TAR_MAGIC_AT = 257,
	ISO_MAGIC_AT = 32769,
	TEXT_LOOK = 512, /* bytes in which a file shows that it is no text */
	WORD_LOOK = 16   /* those of a text are ASCII where a signature stands */
};

static bool
has_at(struct span bytes, size_t at, struct span magic)
{
	return span_starts(span_skip(bytes, at), magic);
}

bool
archive_may_be(struct span b)
{
	static const struct {
		size_t at;
		struct span magic;
	} magics[] = {{0, {"PK\x03\x04", 4}}, {0, {"PK\x05\x06", 4}}, {0, {"PK00PK", 6}},
	    {0, {"Rar!\x1a\x07", 6}}, {0, {"7z\xbc\xaf\x27\x1c", 6}}, {0, {"\x1f\x8b", 2}},
	    {0, {"BZh", 3}},
	    {0, {"\xfd"
		 "7zXZ",
		    5}},
	    {0, {"MSCF", 4}}, {0, {"LZIP", 4}}, {0, {"\x28\xb5\x2f\xfd", 4}},
	    {0, {"\x04\x22\x4d\x18", 4}}, {0, {"\x1f\x9d", 2}}, {0, {"]\x00\x00", 3}},
	    {0, {"!<arch>\n", 8}}, {0, {"07070", 5}}, {0, {"xar!", 4}}, {2, {"-lh", 3}},
	    {2, {"-lz", 3}}, {TAR_MAGIC_AT, {"ustar", 5}}, {ISO_MAGIC_AT, {"CD001", 5}}};
	static const struct span zip_end = {"PK\x05\x06", 4};

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (has_at(b, magics[i].at, magics[i].magic))
			return true;
	/* Behind something else: a program that unpacks itself, or a name that lies. */
	b = span_skip(b, b.n > BLOCK + 22 ? b.n - BLOCK - 22 : 0);
	return b.n > 0 && memmem(b.p, b.n, zip_end.p, zip_end.n) != NULL;
}

static void
support_formats(struct archive *a)
{
	(void)archive_read_support_format_zip(a); /* what this libarchive lacks it does not read */
	(void)archive_read_support_format_7zip(a);
	(void)archive_read_support_format_tar(a);
	(void)archive_read_support_format_gnutar(a);
	(void)archive_read_support_format_cab(a);
	(void)archive_read_support_format_iso9660(a);
	(void)archive_read_support_format_rar(a);
	(void)archive_read_support_format_rar5(a);
	(void)archive_read_support_format_lha(a);
	(void)archive_read_support_format_cpio(a);
	(void)archive_read_support_format_ar(a);
	(void)archive_read_support_format_xar(a);
}

static struct archive *
open_archive(struct span bytes, bool is_file_alone)
{
	struct archive *a = archive_read_new();

	must(a != NULL);
	(void)archive_read_support_filter_gzip(a); /* what this libarchive lacks it does not read */
	(void)archive_read_support_filter_bzip2(a);
	(void)archive_read_support_filter_xz(a);
	(void)archive_read_support_filter_lzma(a);
	(void)archive_read_support_filter_lzip(a);
	(void)archive_read_support_filter_zstd(a);
	(void)archive_read_support_filter_lz4(a);
	(void)archive_read_support_filter_compress(a);
	if (!is_file_alone)
		support_formats(a);
	(void)archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, bytes.p, bytes.n) == ARCHIVE_OK)
		return a;
	(void)archive_read_free(a); /* nothing to lose */
	return NULL;
}

/*
 * The bytes of the entry at hand, up to the limits; *flags says what is missing.  What does not fit is
 * unpacked all the same and counted: libarchive would do so to get to the next entry, without end.
 */
static void
read_entry(struct unpack_walk *w, struct archive *a, struct buf *to, unsigned *flags)
{
	const void *block;
	size_t n;
	la_int64_t at;

	for (;;) {
		int r = archive_read_data_block(a, &block, &n, &at);

		if (r == ARCHIVE_EOF)
			return;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
			*flags |= archive_read_has_encrypted_entries(a) > 0 ? UNPACK_ENCRYPTED
									    : UNPACK_BROKEN;
			return;
		}
		/* Sums or sizes that do not fit: readers differ in what they make of it. */
		if (r == ARCHIVE_WARN)
			*flags |= UNPACK_BROKEN;
		if (n > w->bytes_left || walk_is_late(w)) {
			w->bytes_left = 0;
			*flags |= UNPACK_LIMIT;
			return;
		}
		w->bytes_left -= n;
		if (buf_add_span(to, span_of(block, n)) < 0)
			*flags |= UNPACK_LIMIT;
	}
}

/* The name of an entry in UTF-8 where that can be had, else its bytes. */
static struct span
entry_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);

	if (name == NULL)
		name = archive_entry_pathname(e);
	return span_take(span_str(name), UNPACK_NAME_MAX);
}

/* The name of what a compressed single file holds: without the last ending. */
static struct span
inner_name(struct span outer)
{
	return span_take(outer, span_rfind(outer, '.'));
}

static void
take_entry(struct unpack_walk *w, struct archive *a, struct archive_entry *e, uint32_t depth,
    struct span name)
{
	struct buf bytes = BUF_INIT(UNPACK_MEMBER_BYTES);
	unsigned flags = 0;
	size_t item = walk_item(w, depth, name);

	if (item == SIZE_MAX)
		return;
	if (archive_entry_size_is_set(e) && archive_entry_size(e) > 0)
		w->out->items[item].size = (uint64_t)archive_entry_size(e);
	if (archive_entry_is_encrypted(e) > 0)
		flags |= UNPACK_ENCRYPTED;
	else if (archive_entry_filetype(e) == AE_IFREG || archive_entry_filetype(e) == 0)
		read_entry(w, a, &bytes, &flags);
	if (archive_entry_size_is_set(e) && bytes.n > w->out->items[item].size)
		flags |= UNPACK_BROKEN;
	else if (!archive_entry_size_is_set(e) && !(flags & UNPACK_LIMIT))
		w->out->items[item].size = bytes.n;
	walk_flag(w, item, flags);
	if (bytes.n > 0)
		walk_content(w, item, buf_span(&bytes));
	buf_free(&bytes);
}

static uint16_t
get_u16(struct span s, size_t at)
{
	return (uint16_t)((unsigned char)s.p[at] | (unsigned char)s.p[at + 1] << 8);
}

static bool
has_name(const struct unpack_walk *w, size_t from, struct span name)
{
	for (size_t i = from; i < w->out->n; i++)
		if (span_eq(w->out->items[i].name, name))
			return true;
	return false;
}

/*
 * A zip names its members twice, before each and in a directory at the end (APPNOTE.TXT section 4.3);
 * readers use the one or the other.  Names in either that libarchive has not shown become items too.
 */
static void
walk_zip_names(struct unpack_walk *w, struct span bytes, size_t from, uint32_t depth)
{
	static const struct {
		struct span magic;
		size_t head, length_at, flags_at;
	} kinds[] = {{{"PK\x03\x04", 4}, 30, 26, 6}, {{"PK\x01\x02", 4}, 46, 28, 8}};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct span rest = bytes;
		const char *at;

		while (rest.n >= kinds[k].head &&
		       (at = memmem(rest.p, rest.n, kinds[k].magic.p, kinds[k].magic.n)) != NULL) {
			struct span name;
			size_t item;

			rest = span_skip(rest, (size_t)(at - rest.p));
			if (rest.n < kinds[k].head || walk_is_late(w))
				return;
			name = span_take(
			    span_skip(rest, kinds[k].head), get_u16(rest, kinds[k].length_at));
			if (name.n > 0 && name.n <= UNPACK_NAME_MAX && !has_name(w, from, name)) {
				item = walk_item(w, depth, name);
				if (item == SIZE_MAX)
					return;
				if (get_u16(rest, kinds[k].flags_at) & 1)
					walk_flag(w, item, UNPACK_ENCRYPTED);
			}
			rest = span_skip(rest, kinds[k].magic.n);
		}
	}
}

/* Some signatures are words that a text may begin with: a telephone number is no cpio. */
static bool
is_text(struct span bytes)
{
	bytes = span_take(bytes, TEXT_LOOK);
	for (size_t i = 0; i < bytes.n; i++)
		if ((unsigned char)bytes.p[i] < '\t' ||
		    (i < WORD_LOOK && (unsigned char)bytes.p[i] >= 0x7f))
			return false;
	return true;
}

enum archive_kind {
	ARCHIVE_NONE,    /* nothing that libarchive knows */
	ARCHIVE_EMPTY,   /* compressed, and inside an archive without members */
	ARCHIVE_FILE,    /* compressed, and no archive inside */
	ARCHIVE_MEMBERS, /* what has a list of members */
};

static enum archive_kind
walk_entries(struct unpack_walk *w, size_t item, struct archive *a)
{
	uint32_t depth = w->out->items[item].depth + 1;
	struct span outer = w->out->items[item].name;
	enum archive_kind kind = ARCHIVE_MEMBERS;
	struct archive_entry *e;
	size_t n = 0;
	int r;

	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		bool is_raw = archive_format(a) == ARCHIVE_FORMAT_RAW;

		/* Raw without a filter is what no format knows. */
		if (is_raw && archive_filter_count(a) < 2)
			return ARCHIVE_NONE;
		n++;
		kind = is_raw ? ARCHIVE_FILE : ARCHIVE_MEMBERS;
		walk_flag(w, item, UNPACK_ARCHIVE);
		take_entry(w, a, e, depth, is_raw ? inner_name(outer) : entry_name(e));
		if (walk_is_late(w) || w->bytes_left == 0 || w->out->n >= UNPACK_ITEMS) {
			walk_flag(w, item, UNPACK_LIMIT);
			return kind;
		}
	}
	if (r != ARCHIVE_EOF && archive_read_has_encrypted_entries(a) > 0)
		walk_flag(w, item, UNPACK_ENCRYPTED);
	else if (r != ARCHIVE_EOF && n == 0)
		return ARCHIVE_NONE;
	else if (r != ARCHIVE_EOF)
		walk_flag(w, item, UNPACK_BROKEN);
	return n == 0 && archive_filter_count(a) > 1 ? ARCHIVE_EMPTY : kind;
}

static enum archive_kind
walk_as(struct unpack_walk *w, size_t item, struct span bytes, bool is_file_alone)
{
	struct archive *a = open_archive(bytes, is_file_alone);
	enum archive_kind kind;

	if (a == NULL)
		return ARCHIVE_NONE;
	kind = walk_entries(w, item, a);
	(void)archive_read_free(a); /* nothing to lose */
	return kind;
}

void
archive_walk(struct unpack_walk *w, size_t item, struct span bytes)
{
	uint32_t depth = w->out->items[item].depth + 1;
	size_t from = w->out->n;
	enum archive_kind kind;

	if (depth > UNPACK_DEPTH) {
		walk_flag(w, item, UNPACK_LIMIT);
		return;
	}
	kind = walk_as(w, item, bytes, false);
	/* Zeros read as the end of a tar; what stands behind them is in the file all the same. */
	if (kind == ARCHIVE_EMPTY)
		kind = walk_as(w, item, bytes, true);
	if (kind == ARCHIVE_NONE && !is_text(bytes))
		walk_flag(w, item, UNPACK_BROKEN);
	if (kind != ARCHIVE_FILE)
		walk_zip_names(w, bytes, from, depth);
}
