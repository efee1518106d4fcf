#include "relay/front/content.h"
#include "relay/front/files.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"
#include "relay/message/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#define RAW                                                                          \
	"X-Postern-Id: forged\r\nReceived: from a\r\n\tby b\r\nX-Spam-Flag: YES\r\n" \
	"Authentication-Results: mx.example.org; spf=pass\r\nSubject: s\r\n"         \
	"Received: from c\r\n"
#define CLEAN "Received: from a\r\n\tby b\r\nSubject: s\r\nReceived: from c\r\n"
#define BODY  "\r\nX-Spam-Flag: stays\r\n\r\nend\r\n"

static int
setup(void **state)
{
	struct content *c = mem_alloc(sizeof(*c));

	content_start(c, "mx.example.org");
	*state = c;
	return 0;
}

static int
teardown(void **state)
{
	struct content *c = *state;

	content_free(c);
	mem_free(c);
	return 0;
}

static void
restart(struct content *c)
{
	content_free(c);
	content_start(c, "mx.example.org");
}

static void
expect_cleaned(const struct content *c)
{
	assert_true(span_eq(content_inline(c), SPAN(CLEAN BODY)));
	assert_int_equal(c->fd, -1);
	assert_int_equal(c->size, sizeof(CLEAN BODY) - 1);
	assert_int_equal(c->header, sizeof(CLEAN) - 1);
	assert_int_equal(c->hops, 2);
	assert_true(span_eq(buf_span(&c->section), SPAN(CLEAN)));
	assert_true(c->is_header_done);
}

static void
test_two_pieces(void **state)
{
	struct span mail = SPAN(RAW BODY);
	struct content *c = *state;

	for (size_t cut = 0; cut <= mail.n; cut++) {
		restart(c);
		assert_int_equal(content_add(c, span_take(mail, cut)), 0);
		assert_int_equal(content_add(c, span_skip(mail, cut)), 0);
		assert_int_equal(content_end(c), 0);
		expect_cleaned(c);
	}
}

static void
test_byte_by_byte(void **state)
{
	struct span mail = SPAN(RAW BODY);
	struct content *c = *state;

	for (size_t i = 0; i < mail.n; i++)
		assert_int_equal(content_add(c, span_of(mail.p + i, 1)), 0);
	assert_int_equal(content_end(c), 0);
	expect_cleaned(c);
}

static void
test_odd_messages(void **state)
{
	static const struct {
		const char *mail, *whole;
		size_t header;
	} rows[] = {
	    {"", "", 0},
	    {"\r\n", "\r\n", 0},
	    {"\r\nX-Spam-Flag: body\r\n", "\r\nX-Spam-Flag: body\r\n", 0},
	    {"\r\n\r\nx\r\n", "\r\n\r\nx\r\n", 0},
	    {"A: b\r\n", "A: b\r\n", 6}, /* no body at all */
	    {"A: b\r\n\r\n", "A: b\r\n\r\n", 6},
	    {"X-Spam-Flag: YES\r\n", "", 0},
	    {"X-Spam-Flag: YES\r\n\r\nb\r\n", "\r\nb\r\n", 0},
	    {"no header\r\n\r\nb\r\n", "no header\r\n\r\nb\r\n", 11},
	};
	struct content *c = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t step = 1; step <= 64; step += 63) {
			struct span left = span_str(rows[i].mail);

			restart(c);
			for (; left.n > 0; left = span_skip(left, step))
				assert_int_equal(content_add(c, span_take(left, step)), 0);
			assert_int_equal(content_end(c), 0);
			assert_true(span_eq(content_inline(c), span_str(rows[i].whole)));
			assert_int_equal(c->header, rows[i].header);
			assert_int_equal(c->size, strlen(rows[i].whole));
		}
}

/* The message of n bytes, added in pieces, must be what it should be, in memory or in a file. */
static void
check_size(struct content *c, size_t n, size_t piece)
{
	struct buf mail = BUF_INIT(n + 1);
	struct span left, mapped;
	char last;

	(void)buf_add_str(&mail, "A: b\r\n\r\n");
	while (mail.n < n)
		(void)buf_add_char(&mail, (char)('a' + mail.n % 26));
	left = buf_span(&mail);
	restart(c);
	for (; left.n > 0; left = span_skip(left, piece))
		assert_int_equal(content_add(c, span_take(left, piece)), 0);
	assert_int_equal(content_end(c), 0);
	assert_int_equal(c->size, n);
	assert_int_equal(c->header, 6);
	if (n <= CHANNEL_INLINE_MAX) {
		assert_int_equal(c->fd, -1);
		assert_true(span_eq(content_inline(c), buf_span(&mail)));
	} else {
		assert_true(c->fd >= 0);
		assert_int_equal(channel_map(c->fd, n, &mapped), 0); /* sealed, or it says no */
		assert_true(span_eq(mapped, buf_span(&mail)));
		assert_int_equal(pwrite(c->fd, "x", 1, 0), -1);
		assert_int_equal(pread(c->fd, &last, 1, (off_t)n - 1), 1);
		channel_unmap(&mapped);
	}
	buf_free(&mail);
}

static void
test_spill_edge(void **state)
{
	static const size_t sizes[] = {CHANNEL_INLINE_MAX - 1, CHANNEL_INLINE_MAX,
	    CHANNEL_INLINE_MAX + 1, 256 * 1024 + 3, 1024 * 1024 + 7};
	static const size_t pieces[] = {1000, 65536, 131072};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
			check_size(*state, sizes[i], pieces[k]);
}

/* A small message needs none; a large one is refused, the session's to say, and has taken none. */
static void
test_no_descriptor_left(void **state)
{
	static char text[CHANNEL_INLINE_MAX + 1];
	struct content *c = *state;

	memset(text, 'x', sizeof(text));
	for (size_t left = 0; left <= FILES_MESSAGE; left++) {
		files_set_limit(FILES_OURS + left, 0);
		restart(c);
		assert_int_equal(content_add(c, SPAN("A: b\r\n\r\n")), 0);
		assert_int_equal(
		    content_add(c, span_of(text, CHANNEL_INLINE_MAX - sizeof("A: b\r\n\r\n"))), 0);
		assert_int_equal(files_left(), left);
		assert_int_equal(content_add(c, span_of(text, sizeof(text))),
		    left < FILES_MESSAGE ? -E_FULL : 0);
		assert_int_equal(files_left(), left % FILES_MESSAGE);
		content_drop(c);
		assert_int_equal(files_left(), left);
		content_drop(c);
	}
	files_set_limit(UINT64_MAX, 0);
}

/* What comes without its descriptor has taken none. */
static void
test_adopted(void **state)
{
	struct content *c = *state;
	int fds[] = {-1, channel_seal(SPAN("A: b\r\n\r\n"), "test")};

	assert_true(fds[1] >= 0);
	files_set_limit(FILES_OURS + FILES_MESSAGE, 0);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		restart(c);
		content_adopt(c, fds[i]);
		assert_int_equal(files_left(), fds[i] < 0 ? FILES_MESSAGE : 0);
		content_drop(c);
		assert_int_equal(files_left(), FILES_MESSAGE);
	}
	files_set_limit(UINT64_MAX, 0);
}

/* A header section of exactly n bytes, as one field folded many times. */
static void
make_section(struct buf *to, size_t n)
{
	to->max = n + 16;
	buf_clear(to);
	(void)buf_add_str(to, "Subject: x\r\n");
	while (to->n < n - 2) {
		size_t line = n - 2 - to->n;

		line = line > 70 ? line > 72 ? 70 : 60 : line; /* what is left is 2 or more */
		must(line >= 1);
		for (size_t i = 0; i < line; i++)
			(void)buf_add_char(to, i == 0 ? ' ' : 'y');
		if (to->n < n - 2)
			(void)buf_add_str(to, "\r\n");
	}
	(void)buf_add_str(to, "\r\n");
	assert_int_equal(to->n, n);
}

static int
add_all(struct content *c, struct span mail, size_t piece)
{
	int r = 0;

	restart(c);
	for (; r == 0 && mail.n > 0; mail = span_skip(mail, piece))
		r = content_add(c, span_take(mail, piece));
	return r < 0 ? r : content_end(c);
}

/* The limit is the same however the bytes come. */
static void
test_header_limit(void **state)
{
	static const size_t pieces[] = {7, 4096, 131072, 1 << 20};
	struct content *c = *state;
	struct buf section = {0};

	for (size_t n = HEADER_SECTION_MAX - 2; n <= HEADER_SECTION_MAX + 2; n++) {
		make_section(&section, n);
		(void)buf_add_str(&section, "\r\nbody\r\n");
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			int r = add_all(c, buf_span(&section), pieces[i]);

			if (r != (n <= HEADER_SECTION_MAX ? 0 : -E_LIMIT))
				fail_msg("%zu bytes by %zu: %d", n, pieces[i], r);
		}
		for (size_t tail = section.n - 8; tail <= section.n - 6; tail++) {
			/* Byte by byte where it ends, which is where a wrong limit would bite. */
			int r;

			restart(c);
			r = content_add(c, span_take(buf_span(&section), tail));
			for (size_t k = tail; r == 0 && k < section.n; k++)
				r = content_add(c, span_of(section.p + k, 1));
			if (r != (n <= HEADER_SECTION_MAX ? 0 : -E_LIMIT))
				fail_msg("%zu bytes, cut at %zu: %d", n, tail, r);
		}
	}
	buf_free(&section);
}

static void
test_header_without_an_end(void **state)
{
	struct content *c = *state;
	int r = 0;

	for (size_t i = 0; r == 0 && i < HEADER_SECTION_MAX; i++)
		r = content_add(c, SPAN("A: bcdefghij\r\n"));
	assert_int_equal(r, -E_LIMIT);
}

static void
test_too_many_fields(void **state)
{
	struct buf mail = BUF_INIT(HEADER_SECTION_MAX);
	struct content *c = *state;

	for (size_t i = 0; i <= HEADER_FIELDS_MAX; i++)
		(void)buf_add_str(&mail, "A: b\r\n");
	(void)buf_add_str(&mail, "\r\n");
	assert_int_equal(content_add(c, buf_span(&mail)), -E_LIMIT);
	buf_free(&mail);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_two_pieces),
	    TEST(test_byte_by_byte),
	    TEST(test_odd_messages),
	    TEST(test_spill_edge),
	    TEST(test_no_descriptor_left),
	    TEST(test_adopted),
	    TEST(test_header_limit),
	    TEST(test_header_without_an_end),
	    TEST(test_too_many_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
