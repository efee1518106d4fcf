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

/* Tar before POSIX has no mark, but a sum of its header's bytes in octal digits, its own places as blanks. */
static bool
is_old_tar(struct span b)
{
	enum { HEADER = 512, SUM_AT = 148, SUM_BYTES = 8 };
	uint64_t sum = 0, said = 0;
	size_t at = SUM_AT;

	if (b.n < HEADER || b.p[0] == '\0')
		return false;
	for (size_t i = 0; i < HEADER; i++)
		sum += i - SUM_AT < SUM_BYTES ? ' ' : (unsigned char)b.p[i];
	while (at < SUM_AT + SUM_BYTES && b.p[at] == ' ')
		at++;
	for (; at < SUM_AT + SUM_BYTES && b.p[at] >= '0' && b.p[at] <= '7'; at++)
		said = said * 8 + (uint64_t)(b.p[at] - '0');
	return said == sum;
}

bool
archive_is_closed(struct span b)
{
	static const struct {
		size_t at;
		struct span magic;
	} magics[] = {{0, {"MSWIM\0\0\0", 8}}, {0, {"vhdxfile", 8}}, {0, {"conectix", 8}},
	    {0, {"ITSF\3\0\0\0", 8}}, {0, {"\xed\xab\xee\xdb", 4}}, {0, {"hsqs", 4}},
	    {7, {"**ACE**", 7}}, {0, {"SIT!", 4}}, {0, {"StuffIt ", 8}}, {0, {"KDMV", 4}},
	    {0, {"QFI\xfb", 4}}, {ISO_MAGIC_AT, {"BEA01", 5}}};
	enum { TRAILER = 512 };
	struct span tail = span_skip(b, b.n > TRAILER ? b.n - TRAILER : 0);

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (has_at(b, magics[i].at, magics[i].magic))
			return true;
	return b.n > TRAILER &&
	       (span_starts(tail, SPAN("conectix")) || span_starts(tail, SPAN("koly")));
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
	if (is_old_tar(b))
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

/* How an archive is opened. */
enum way {
	WAY_ANY,
	WAY_FILE_ALONE, /* no archive, only compressed */
	WAY_STREAM      /* a zip from its start, without its directory */
};

static struct archive *
open_archive(struct span bytes, enum way way)
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
	if (way == WAY_ANY)
		support_formats(a);
	if (way == WAY_STREAM)
		(void)archive_read_support_format_zip_streamable(a);
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

enum trust {
	TRUST_ALL,  /* every scanner unpacks it alike */
	TRUST_SOME, /* some do, as far as they go: the members are kept for one that does not */
	TRUST_NONE  /* libclamav 1.4 does not unpack it */
};

/* What scanners make of the archive at hand. */
static enum trust
trust_of(struct archive *a, bool is_odd_zip)
{
	int format = archive_format(a) & ARCHIVE_FORMAT_BASE_MASK;
	enum trust trust = TRUST_ALL;

	for (int i = 0; i < archive_filter_count(a); i++) {
		int code = archive_filter_code(a, i);

		if (code == ARCHIVE_FILTER_BZIP2) /* the first of several streams */
			trust = TRUST_SOME;
		else if (code != ARCHIVE_FILTER_NONE && code != ARCHIVE_FILTER_GZIP &&
			 code != ARCHIVE_FILTER_XZ)
			return TRUST_NONE;
	}
	if (format == ARCHIVE_FORMAT_AR || format == ARCHIVE_FORMAT_LHA)
		return TRUST_NONE;
	if (format == ARCHIVE_FORMAT_7ZIP || (format == ARCHIVE_FORMAT_ZIP && is_odd_zip))
		return TRUST_SOME; /* methods, directories */
	return trust;
}

static void
take_entry(struct unpack_walk *w, struct archive *a, struct archive_entry *e, uint32_t depth,
    struct span name)
{
	struct buf bytes = BUF_INIT(UNPACK_MEMBER_BYTES);
	enum trust trust = trust_of(a, w->is_odd_zip);
	unsigned flags = 0;
	size_t item = walk_item(w, depth, name);

	if (item == SIZE_MAX)
		return;
	if (archive_entry_size_is_set(e) && archive_entry_size(e) > 0)
		w->out->items[item].size = (uint64_t)archive_entry_size(e);
	if (trust == TRUST_NONE)
		flags |= UNPACK_UNUSUAL;
	if (archive_entry_is_encrypted(e) > 0)
		flags |= UNPACK_ENCRYPTED;
	else if (archive_entry_filetype(e) == AE_IFREG || archive_entry_filetype(e) == 0)
		read_entry(w, a, &bytes, &flags);
	if (archive_entry_size_is_set(e) && bytes.n > w->out->items[item].size)
		flags |= UNPACK_BROKEN;
	else if (!archive_entry_size_is_set(e) && !(flags & UNPACK_LIMIT))
		w->out->items[item].size = bytes.n;
	walk_flag(w, item, flags);
	if (bytes.n > 0 && trust == TRUST_ALL)
		walk_content(w, item, buf_span(&bytes));
	else if (bytes.n > 0)
		walk_kept(w, item, buf_span(&bytes));
	buf_free(&bytes);
}

static uint16_t
get_u16(struct span s, size_t at)
{
	return (uint16_t)((unsigned char)s.p[at] | (unsigned char)s.p[at + 1] << 8);
}

static uint32_t
get_u32(struct span s, size_t at)
{
	return get_u16(s, at) | (uint32_t)get_u16(s, at + 2) << 16;
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

/* How often a zip's mark stands in it; what stands at `method_at` behind one must be a method that every
 * scanner knows. */
static size_t
count_marks(struct span bytes, const char mark[4], size_t method_at, bool *is_odd)
{
	const char *at;
	size_t n = 0;

	while (bytes.n > method_at + 2 && (at = memmem(bytes.p, bytes.n, mark, 4)) != NULL) {
		bytes = span_skip(bytes, (size_t)(at - bytes.p));
		if (method_at > 0 && bytes.n >= method_at + 2)
			*is_odd |= get_u16(bytes, method_at) != 0 && get_u16(bytes, method_at) != 8;
		bytes = span_skip(bytes, 4);
		n++;
	}
	return n;
}

/* Whether the record at a zip's end says that the directory is right in front of it. */
static bool
has_directory(struct span bytes)
{
	enum { END_BYTES = 22, SIZE_AT = 12, PLACE_AT = 16 };
	const char *at = memmem(bytes.p, bytes.n, "PK\x05\x06", 4);
	struct span end = at != NULL ? span_skip(bytes, (size_t)(at - bytes.p)) : (struct span){0};

	return end.n >= END_BYTES &&
	       (uint64_t)get_u32(end, SIZE_AT) + get_u32(end, PLACE_AT) == bytes.n - end.n;
}

/* A zip that scanners may read in part only: more than one directory or none, members that it does not name,
 * rare methods.  Zips in it that are not compressed make it look so too. */
static bool
looks_odd(struct span bytes, bool *has_more_local)
{
	bool is_odd = false;
	size_t local = count_marks(bytes, "PK\x03\x04", 8, &is_odd),
	       central = count_marks(bytes, "PK\x01\x02", 10, &is_odd);

	*has_more_local = local > central || count_marks(bytes, "PK\x05\x06", 0, &is_odd) > 1;
	return is_odd || *has_more_local || local < central || !has_directory(bytes);
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
		/* The name that gzip keeps: some unpack to that. */
		if (is_raw && !span_eq(entry_name(e), SPAN("data")))
			(void)walk_item(w, depth, entry_name(e)); /* full: flagged */
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
walk_as(struct unpack_walk *w, size_t item, struct span bytes, enum way way)
{
	struct archive *a = open_archive(bytes, way);
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
	bool has_more_local = false, was_odd = w->is_odd_zip;

	if (depth > UNPACK_DEPTH) {
		walk_flag(w, item, UNPACK_LIMIT);
		return;
	}
	w->is_odd_zip = looks_odd(bytes, &has_more_local);
	kind = walk_as(w, item, bytes, WAY_ANY);
	/* Zeros read as the end of a tar; what stands behind them is in the file all the same. */
	if (kind == ARCHIVE_EMPTY)
		kind = walk_as(w, item, bytes, WAY_FILE_ALONE);
	if (kind == ARCHIVE_NONE && !is_text(bytes))
		walk_flag(w, item, UNPACK_BROKEN);
	/* Another directory, or none, for who reads from the start: members that nobody has seen. */
	if (kind == ARCHIVE_MEMBERS && has_more_local && span_starts(bytes, SPAN("PK")))
		(void)walk_as(w, item, bytes, WAY_STREAM); /* what it shows is shown */
	if (kind != ARCHIVE_FILE)
		walk_zip_names(w, bytes, from, depth);
	w->is_odd_zip = was_odd;
}
