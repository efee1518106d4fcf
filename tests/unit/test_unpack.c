/* test_unpack.c - names, compound files, winmail.dat, archives; what is not seen says so. */
#include "filters/unpack/kind.h"
#include "filters/unpack/name.h"
#include "filters/unpack/ole.h"
#include "filters/unpack/tnef.h"
#include "filters/unpack/unpack.h"
#include "filters/attachment/hashes.h"
#include "relay/base/utf8.h"
#include "relay/message/decode.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_MAX = 32 * 1024 * 1024 };

static void
names(void **state)
{
	static const struct {
		const char *name, *clean, *extension;
		bool is_disguised;
	} cases[] = {
	    {"a.exe", "a.exe", "exe", false},
	    {"A.Tar.GZ", "A.Tar.GZ", "GZ", false},
	    {"none", "none", "", false},
	    {"a.exe. . .", "a.exe", "exe", false},
	    {"../../etc/a.exe", "a.exe", "exe", false},
	    {"C:\\x\\a.exe", "a.exe", "exe", false},
	    {"a.exe/", "a.exe", "exe", false},
	    {"\"a.exe\"", "a.exe", "exe", false},
	    {"photo\xe2\x80\xaegpj.exe", "photogpj.exe", "exe", true},
	    {"a.e\xe2\x80\x8bxe", "a.exe", "exe", false},
	    {"a.pdf          .exe", "a.pdf          .exe", "exe", true},
	    {"a.exe\xc2\xa0\xe3\x80\x80", "a.exe", "exe", false},
	    {"a\xef\xbc\x8e"
	     "exe",
		"a.exe", "exe", false},
	    {"caf\xc3\xa9.exe", "caf\xc3\xa9.exe", "exe", false},
	    {"a\x07.exe", "a.exe", "exe", true},
	    {"caf\xe9.exe", "caf\xe9.exe", "exe", false},
	    {"a.e\xe1\xa0\x8exe", "a.exe", "exe", false},
	    {"a.exe\xf3\xa0\x81\xa5", "a.exe", "exe", false},
	    {"a.\xef\xbd\x85\xef\xbd\x98\xef\xbd\x85", "a.exe", "exe", false},
	    {"a\xef\xb9\x92"
	     "exe",
		"a.exe", "exe", false},
	};
	struct name_forms forms;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		name_read(span_str(cases[i].name), &forms);
		if (forms.n == 0 || !span_eq(forms.forms[0], span_str(cases[i].clean)) ||
		    !span_eq(name_extension(forms.forms[0]), span_str(cases[i].extension)) ||
		    forms.is_disguised != cases[i].is_disguised)
			fail_msg("%s: '%.*s' %d", cases[i].name, SPAN_ARG(forms.forms[0]),
			    forms.is_disguised);
	}
	name_read(SPAN(""), &forms);
	assert_int_equal(forms.n, 0);
	name_read(span_of("a.exe\0.txt", 10), &forms);
	assert_true(span_eq(forms.forms[0], SPAN("a.exe.txt")));
	assert_true(forms.n >= 2 && span_eq(forms.forms[1], SPAN("a.exe")));
	name_read(SPAN("a.e|x?e*"), &forms);
	assert_true(span_eq(forms.forms[1], SPAN("a.exe")));
	name_read(SPAN("a.exe:stream"), &forms);
	assert_true(span_eq(forms.forms[1], SPAN("a.exe")));
}

/* However long a name is, its ending counts. */
static void
long_name(void **state)
{
	struct name_forms forms;
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 4, ".exe", 4);
	name_read(span_of(text, sizeof(text)), &forms);
	for (size_t i = 0; i < forms.n; i++)
		assert_true(span_eq(name_extension(forms.forms[i]), SPAN("exe")));
}

static void
put_u16(struct buf *b, unsigned n)
{
	(void)buf_add_char(b, (char)n);
	(void)buf_add_char(b, (char)(n >> 8));
}

static void
put_u32(struct buf *b, uint32_t n)
{
	put_u16(b, n & 0xffff);
	put_u16(b, n >> 16);
}

static void
put_zeros(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_add_char(b, '\0');
}

/* One sector of allocation table, one of directory: a root and one more entry. */
static void
make_ole(struct buf *b, const char *name, uint32_t next)
{
	(void)buf_add(b, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8);
	put_zeros(b, 22);
	put_u16(b, 9);
	put_zeros(b, 16);
	put_u32(b, 1); /* the directory's first sector */
	put_zeros(b, 24);
	put_u32(b, 0); /* the table's */
	for (int i = 0; i < 108; i++)
		put_u32(b, 0xffffffff);
	put_u32(b, 0xfffffffd);
	put_u32(b, next);
	for (int i = 0; i < 126; i++)
		put_u32(b, 0xffffffff);
	for (int entry = 0; entry < 4; entry++) {
		size_t n = entry == 1 ? strlen(name) : 0;

		for (size_t i = 0; i < n; i++)
			put_u16(b, (unsigned char)name[i]);
		put_zeros(b, 64 - 2 * n);
		put_u16(b, (unsigned)(2 * n + 2));
		(void)buf_add_char(b, entry == 1 ? 2 : 0);
		put_zeros(b, 61);
	}
}

static void
ole(void **state)
{
	static const struct {
		const char *name;
		uint32_t next;
		bool has_macro, is_encrypted, is_broken;
	} cases[] = {{"WordDocument", 0xfffffffe, false, false, false},
	    {"_VBA_PROJECT", 0xfffffffe, true, false, false},
	    {"vba", 0xfffffffe, true, false, false},
	    {"EncryptedPackage", 0xfffffffe, false, true, false}, {"x", 1, false, false, true},
	    {"x", 1000000, false, false, true}, {"Macros", 77, true, false, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = BUF_INIT(100000);
		struct ole_found found;

		make_ole(&b, cases[i].name, cases[i].next);
		assert_int_equal(b.n, 1536);
		found = ole_look(buf_span(&b));
		assert_true(found.is_ole);
		if (found.has_macro != cases[i].has_macro ||
		    found.is_encrypted != cases[i].is_encrypted ||
		    found.is_broken != cases[i].is_broken)
			fail_msg("case %zu: %d %d %d", i, found.has_macro, found.is_encrypted,
			    found.is_broken);
		/* Cut anywhere it is read no further than it goes. */
		for (size_t n = 0; n < b.n; n++) {
			char *copy = mem_dup(span_of(b.p, n));

			(void)ole_look(span_of(copy, n));
			mem_free(copy);
		}
		buf_free(&b);
	}
	assert_false(ole_look(SPAN("no compound file")).is_ole);
}

static void
put_attribute(struct buf *b, uint32_t id, struct span data)
{
	(void)buf_add_char(b, 2);
	put_u32(b, id);
	put_u32(b, (uint32_t)data.n);
	(void)buf_add_span(b, data);
	put_u16(b, 0);
}

/* PR_ATTACH_LONG_FILENAME in UTF-16 behind a few other properties, then PR_ATTACH_DATA_BIN. */
static void
put_properties(struct buf *b)
{
	struct buf p = BUF_INIT(1000);

	put_u32(&p, 4);
	put_u32(&p, 0x0e200003);
	put_u32(&p, 7);
	put_u32(&p, 0x80010003); /* named */
	put_zeros(&p, 16);
	put_u32(&p, 0);
	put_u32(&p, 9);
	put_u32(&p, 1);
	put_u32(&p, 0x3707001f);
	put_u32(&p, 1);
	put_u32(&p, 10);
	for (const char *c = "b.exe"; *c != '\0'; c++)
		put_u16(&p, (unsigned char)*c);
	put_u16(&p, 0); /* padding */
	put_u32(&p, 0x37010102);
	put_u32(&p, 1);
	put_u32(&p, 4);
	(void)buf_add_str(&p, "data");
	put_attribute(b, 0x00069005, buf_span(&p));
	buf_free(&p);
}

static void
tnef(void **state)
{
	static const struct {
		enum tnef_kind kind;
		const char *text;
	} want[] = {{TNEF_NAME, "a.exe"}, {TNEF_DATA, "content"}, {TNEF_NAME, "b.exe"},
	    {TNEF_DATA, "data"}};
	struct buf b = BUF_INIT(10000);
	struct tnef_item item;
	struct tnef t;

	(void)state;
	(void)buf_add(&b, "\x78\x9f\x3e\x22\x01\x00", 6);
	put_attribute(&b, 0x00089006, SPAN("\0\0\1\0"));
	put_attribute(&b, 0x00018010, SPAN("a.exe"));
	put_attribute(&b, 0x0006800f, SPAN("content"));
	put_properties(&b);
	assert_true(tnef_open(buf_span(&b), &t));
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(tnef_next(&t, &item));
		assert_int_equal(item.kind, want[i].kind);
		assert_true(span_eq(
		    item.name[0] ? span_str(item.name) : item.bytes, span_str(want[i].text)));
	}
	assert_false(tnef_next(&t, &item));
	assert_false(t.is_broken);
	for (size_t n = 0; n < b.n; n++) {
		char *copy = mem_dup(span_of(b.p, n));

		if (tnef_open(span_of(copy, n), &t))
			while (tnef_next(&t, &item))
				;
		mem_free(copy);
	}
	assert_true(tnef_open(span_of(b.p, b.n - 30), &t));
	while (tnef_next(&t, &item))
		;
	assert_true(t.is_broken);
	assert_false(tnef_open(SPAN("winmail"), &t));
	buf_free(&b);
}

/* An archive of one member, of any format that libarchive writes. */
static void
make_archive(struct buf *to, int format, const char *name, struct span content)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	char *room = mem_alloc(1000000);
	size_t used = 0;

	assert_int_equal(archive_write_set_format(a, format), ARCHIVE_OK);
	(void)archive_write_add_filter_none(a);
	(void)archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open_memory(a, room, 1000000, &used), ARCHIVE_OK);
	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)content.n);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, content.p, content.n), content.n);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_entry_free(e);
	(void)archive_write_free(a);
	buf_clear(to);
	(void)buf_add(to, room, used);
	mem_free(room);
}

static void
unpack(struct span content, struct arena *arena, struct unpack *out)
{
	struct mime_part part = {
	    .type = SPAN("application/octet-stream"), .raw = content, .decoded = content};
	struct mime_message m = {.parts = &part, .n_parts = 1};

	arena_init(arena, ARENA_MAX);
	unpack_message(&m, arena, out);
}

static bool
has_name(const struct unpack *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (span_eq(u->items[i].name, span_str(name)))
			return true;
	return false;
}

static void
archives(void **state)
{
	static const int formats[] = {ARCHIVE_FORMAT_ZIP, ARCHIVE_FORMAT_7ZIP,
	    ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FORMAT_CPIO_SVR4_NOCRC,
	    ARCHIVE_FORMAT_ISO9660, ARCHIVE_FORMAT_XAR};
	struct buf inner = BUF_INIT(1000000), outer = BUF_INIT(1000000);
	struct unpack u;
	struct arena arena;

	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		make_archive(&inner, formats[i], "inside.exe", SPAN("the content"));
		make_archive(&outer, ARCHIVE_FORMAT_ZIP, "outer.bin", buf_span(&inner));
		unpack(buf_span(&outer), &arena, &u);
		if (!has_name(&u, "inside.exe") && !has_name(&u, "INSIDE.EXE"))
			fail_msg("format %x: no name among %zu", formats[i], u.n);
		assert_true(has_name(&u, "outer.bin"));
		assert_int_equal(u.flags & (UNPACK_LIMIT | UNPACK_BROKEN), 0);
		arena_free(&arena);
		/* Cut in many places: never more than an unfinished archive. */
		for (size_t n = 0; n < inner.n; n += 1 + inner.n / 50) {
			char *copy = mem_dup(span_of(inner.p, n));

			unpack(span_of(copy, n), &arena, &u);
			arena_free(&arena);
			mem_free(copy);
		}
	}
	buf_free(&inner);
	buf_free(&outer);
}

/* `content` behind gzip, or as it is. */
static void
make_gzip(struct buf *to, struct span content)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	size_t used = 0, max = content.n + 100000;
	char *room = mem_alloc(max);

	assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
	(void)archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open_memory(a, room, max, &used), ARCHIVE_OK);
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, content.p, content.n), content.n);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_entry_free(e);
	(void)archive_write_free(a);
	(void)buf_add(to, room, used);
	mem_free(room);
}

/* Zeros read as an empty tar: the file behind gzip is looked at all the same. */
static void
zeros_first(void **state)
{
	struct buf zip = BUF_INIT(100000), file = BUF_INIT(100000), packed = BUF_INIT(100000);
	struct unpack u;
	struct arena arena;

	(void)state;
	make_archive(&zip, ARCHIVE_FORMAT_ZIP, "inside.exe", SPAN("x"));
	put_zeros(&file, 10240);
	(void)buf_add_span(&file, buf_span(&zip));
	make_gzip(&packed, buf_span(&file));
	unpack(buf_span(&packed), &arena, &u);
	assert_true(has_name(&u, "inside.exe"));
	assert_int_equal(u.flags & (UNPACK_LIMIT | UNPACK_BROKEN), 0);
	arena_free(&arena);
	buf_free(&zip);
	buf_free(&file);
	buf_free(&packed);
}

static const struct unpack_item *
item_named(const struct unpack *u, struct span name)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->items[i].depth > 0 && span_eq(u->items[i].name, name))
			return &u->items[i];
	fail_msg("no '%.*s' among %zu", SPAN_ARG(name), u->n);
	return NULL;
}

/* The bytes of members are there where scanners do not unpack them, and only there. */
static void
kept(void **state)
{
	static const struct {
		int format;
		bool is_kept;
	} cases[] = {{ARCHIVE_FORMAT_ZIP, false}, {ARCHIVE_FORMAT_TAR_USTAR, false},
	    {ARCHIVE_FORMAT_7ZIP, true}};
	static const char ar[] = "!<arch>\n"
				 "a.txt/          0           0     0     644     11        `\n"
				 "the content\n";
	struct buf one = BUF_INIT(100000), other = BUF_INIT(100000);
	struct unpack u;
	struct arena arena;
	const struct unpack_item *item;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make_archive(&one, cases[i].format, "a.txt", SPAN("the content"));
		unpack(buf_span(&one), &arena, &u);
		item = item_named(&u, SPAN("a.txt"));
		if (span_eq(item->bytes, SPAN("the content")) != cases[i].is_kept)
			fail_msg("case %zu: '%.*s'", i, SPAN_ARG(item->bytes));
		assert_int_equal(item->flags & UNPACK_UNUSUAL, 0);
		arena_free(&arena);
	}
	unpack(span_str(ar), &arena, &u);
	assert_true(span_eq(item_named(&u, SPAN("a.txt"))->bytes, SPAN("the content")));
	assert_int_equal(u.flags & UNPACK_UNUSUAL, UNPACK_UNUSUAL);
	arena_free(&arena);
	/* Of two zips in a row some read the first, from its start, and others the last. */
	make_archive(&one, ARCHIVE_FORMAT_ZIP, "a.txt", SPAN("the first"));
	make_archive(&other, ARCHIVE_FORMAT_ZIP, "b.txt", SPAN("the last"));
	(void)buf_add_span(&one, buf_span(&other));
	unpack(buf_span(&one), &arena, &u);
	assert_true(span_eq(item_named(&u, SPAN("a.txt"))->bytes, SPAN("the first")));
	assert_true(span_eq(item_named(&u, SPAN("b.txt"))->bytes, SPAN("the last")));
	arena_free(&arena);
	buf_free(&one);
	buf_free(&other);
}

/* A tar that only its sum shows, whose places count as blanks; images of disks, which say that they are not
 * looked into. */
static void
unmarked(void **state)
{
	static const struct span closed[] = {{"MSWIM\0\0\0", 8}, {"vhdxfile", 8}, {"conectix", 8},
	    {"\xed\xab\xee\xdb", 4}, {"1234567**ACE**", 14}};
	struct buf tar = BUF_INIT(100000);
	struct unpack u;
	struct arena arena;
	unsigned sum = 0;

	(void)state;
	make_archive(&tar, ARCHIVE_FORMAT_TAR_USTAR, "inside.exe", SPAN("x"));
	memset(tar.p + 257, 0, 8);
	memset(tar.p + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)tar.p[i];
	for (size_t i = 0; i < 6; i++)
		tar.p[153 - i] = (char)('0' + (sum >> 3 * i & 7));
	unpack(buf_span(&tar), &arena, &u);
	assert_true(has_name(&u, "inside.exe"));
	arena_free(&arena);
	tar.p[0] ^= 1;
	unpack(buf_span(&tar), &arena, &u);
	assert_int_equal(u.n, 1);
	arena_free(&arena);
	buf_free(&tar);
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		unpack(closed[i], &arena, &u);
		assert_int_equal(u.flags, UNPACK_LIMIT);
		arena_free(&arena);
	}
}

/* It begins like an archive, and nothing reads it as one: nobody has looked inside. */
static void
unreadable(void **state)
{
	static const char *const texts[] = {"no archive at all", "0707012345 is my number\r\n",
	    "BZh is how it begins\r\n", "MSCF is a cab\r\n", "a-lh5- is what lha says\r\n"};
	static const struct span files[] = {{"]\0\0\0\x40 more", 10}, {"\x1f\x8b\x08 no gzip", 11},
	    {"Rar!\x1a\x07\x07", 7}, {"7z\xbc\xaf\x27\x1c", 6}, {"PK\x03\x04", 4}};
	struct unpack u;
	struct arena arena;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		unpack(files[i], &arena, &u);
		if (!(u.flags & UNPACK_BROKEN))
			fail_msg("file %zu: flags %x", i, u.flags);
		arena_free(&arena);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		unpack(span_str(texts[i]), &arena, &u);
		if (u.flags != 0)
			fail_msg("%s: flags %x", texts[i], u.flags);
		arena_free(&arena);
	}
}

/* Nothing unpacks more than a message may: not one file behind gzip, nor what stands before others. */
static void
endless(void **state)
{
	enum { STREAM = 16 * 1024 * 1024, STREAMS = 40 };
	struct buf one = BUF_INIT(1000000), bomb = BUF_INIT(10000000);
	char *zeros = mem_alloc(STREAM);
	struct unpack u;
	struct arena arena;

	(void)state;
	make_gzip(&one, span_of(zeros, STREAM));
	for (int i = 0; i < STREAMS; i++)
		assert_int_equal(buf_add_span(&bomb, buf_span(&one)), 0);
	unpack(buf_span(&bomb), &arena, &u);
	assert_int_equal(u.n, 2);
	assert_true(u.items[1].flags & UNPACK_LIMIT);
	assert_true(u.items[0].flags & UNPACK_LIMIT);
	arena_free(&arena);
	buf_free(&one);
	buf_free(&bomb);
	mem_free(zeros);
}

/* Nested deeper than is looked into: said so, and nothing below. */
static void
deep(void **state)
{
	struct buf inner = BUF_INIT(1000000), outer = BUF_INIT(1000000);
	struct unpack u;
	struct arena arena;

	(void)state;
	make_archive(&inner, ARCHIVE_FORMAT_TAR_USTAR, "last.exe", SPAN("x"));
	for (int i = 0; i < UNPACK_DEPTH - 1; i++) {
		make_archive(&outer, ARCHIVE_FORMAT_TAR_USTAR, "a.tar", buf_span(&inner));
		buf_clear(&inner);
		(void)buf_add_span(&inner, buf_span(&outer));
	}
	unpack(buf_span(&inner), &arena, &u);
	assert_true(has_name(&u, "last.exe"));
	assert_int_equal(u.flags & UNPACK_LIMIT, 0);
	arena_free(&arena);
	make_archive(&outer, ARCHIVE_FORMAT_TAR_USTAR, "a.tar", buf_span(&inner));
	unpack(buf_span(&outer), &arena, &u);
	assert_false(has_name(&u, "last.exe"));
	assert_int_equal(u.flags & UNPACK_LIMIT, UNPACK_LIMIT);
	arena_free(&arena);
	buf_free(&inner);
	buf_free(&outer);
}

/* A member over its limit, and the memory's end. */
static void
large(void **state)
{
	struct buf tar = BUF_INIT(100 * 1024 * 1024);
	struct unpack u;
	struct arena arena;
	struct mime_part part = {.type = SPAN("application/octet-stream")};
	struct mime_message m = {.parts = &part, .n_parts = 1};
	struct archive_entry *e = archive_entry_new();
	struct archive *a = archive_write_new();
	size_t used = 0, size = UNPACK_MEMBER_BYTES + 1000;
	char *room = mem_alloc(2000000), *zeros = mem_alloc(size);

	(void)state;
	(void)archive_write_set_format_zip(a);
	assert_int_equal(archive_write_open_memory(a, room, 2000000, &used), ARCHIVE_OK);
	archive_entry_set_pathname(e, "zeros");
	archive_entry_set_size(e, (la_int64_t)size);
	archive_entry_set_filetype(e, AE_IFREG);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	assert_int_equal(archive_write_data(a, zeros, size), size);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	(void)archive_write_free(a);
	archive_entry_free(e);
	unpack(span_of(room, used), &arena, &u);
	assert_true(has_name(&u, "zeros"));
	assert_int_equal(u.flags & UNPACK_LIMIT, UNPACK_LIMIT);
	arena_free(&arena);
	mem_free(room);
	mem_free(zeros);

	for (int i = 0; i < 2000; i++) {
		struct buf one = BUF_INIT(10000);
		char name[200];

		(void)snprintf(name, sizeof(name), "%090d", i);
		make_archive(&one, ARCHIVE_FORMAT_TAR_USTAR, name, SPAN("x"));
		(void)buf_add(&tar, one.p, 1024); /* without the end of the archive */
		buf_free(&one);
	}
	put_zeros(&tar, 1024);
	part.raw = part.decoded = buf_span(&tar);
	arena_init(&arena, 2 * UNPACK_ARENA_MIN);
	unpack_message(&m, &arena, &u);
	assert_int_equal(u.flags & UNPACK_LIMIT, UNPACK_LIMIT);
	assert_true(u.n > 10 && u.n < 2000);
	arena_free(&arena);
	buf_free(&tar);
}

static void
kinds(void **state)
{
	char type[KIND_NAME_MAX];
	struct err err = {0};

	(void)state;
	assert_int_equal(kind_load(&err), 0);
	kind_of(SPAN("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), type);
	assert_string_equal(type, "application/pdf");
	kind_of(SPAN("GIF89a\1\0\1\0\0\0\0;"), type);
	assert_string_equal(type, "image/gif");
	kind_of(SPAN(""), type);
	assert_string_equal(type, "");
	assert_true(span_eq(kind_other_name(SPAN("application/vnd.microsoft.portable-executable")),
	    SPAN("application/x-dosexec")));
	assert_int_equal(kind_other_name(SPAN("text/plain")).n, 0);
}

static void
hashes(void **state)
{
	unsigned char sum[HASH_BYTES] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41,
	    0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
	    0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	struct hashes *h = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(
	    hashes_parse(
		SPAN("\xef\xbb\xbf# comment\n\nba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
		     "b410ff61f20015AD  abc\n"
		     "00000000000000000000000000000000000000000000000000000000"
		     "00000000\r\n"),
		"f", &h, &err),
	    0);
	assert_int_equal(hashes_count(h), 2);
	assert_true(hashes_have(h, sum));
	sum[31] = 0;
	assert_false(hashes_have(h, sum));
	hashes_free(&h);
	assert_int_equal(hashes_parse(SPAN("\nabc\n"), "f", &h, &err), -E_SYNTAX);
	assert_non_null(strstr(err.text, "f:2: "));
	assert_int_equal(hashes_load("/nonexistent/sums", &h, &err), -E_NOT_FOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names),
	    cmocka_unit_test(long_name),
	    cmocka_unit_test(ole),
	    cmocka_unit_test(tnef),
	    cmocka_unit_test(archives),
	    cmocka_unit_test(zeros_first),
	    cmocka_unit_test(kept),
	    cmocka_unit_test(unmarked),
	    cmocka_unit_test(unreadable),
	    cmocka_unit_test(endless),
	    cmocka_unit_test(deep),
	    cmocka_unit_test(large),
	    cmocka_unit_test(kinds),
	    cmocka_unit_test(hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
