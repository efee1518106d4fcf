/* test_inside.c - files in calendars and cards, and what is signed opaquely. */
#include "relay/base/buf.h"
#include "relay/base/mem.h"
#include "relay/message/card.h"
#include "relay/message/cms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROOM = 200 };

static void
cards(void **state)
{
	static const struct {
		const char *text, *name, *want; /* want: NULL when there is no file */
	} cases[] = {
	    {"ATTACH;ENCODING=BASE64;VALUE=BINARY:aGlkZGVu\r\n", "", "hidden"},
	    {"attach;encoding=b:\n aGlk\n\tZGVu\nX:y\n", "", "hidden"},
	    {"ATTACH;X-FILENAME=a.exe;ENCODING=BASE64:aGlkZGVu", "a.exe", "hidden"},
	    {"ATTACH;FILENAME=\"a;:b.exe\";ENCODING=BASE64:aGlkZGVu", "a;:b.exe", "hidden"},
	    {"ATTACH;ENCO\r\n DING=BA\n\tSE64:aGlkZGVu", "", "hidden"},
	    {"PHOTO;JPEG;BASE64:aGlkZGVu", "", "hidden"},
	    {"ATTACH;FMTTYPE=a/b:data:a/b;base64,aGlkZGVu", "", "hidden"},
	    {"PHOTO:DATA:a/b;ba\n se64,aGlkZGVu", "", "hidden"},
	    {"ATTACH:http://x.example/;base64,aGlkZGVu", "", NULL},
	    {"ATTACH;ENCODING=8BIT:aGlkZGVu", "", NULL},
	    {"ATTACH;ENCODING=BASE64", "", NULL},
	    {"X;Y=\"ENCODING=BASE64:aGlkZGVu", "", NULL},
	    {"", "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inline_file file;
		char to[ROOM];
		size_t at = 0;
		bool is_there = card_next(span_str(cases[i].text), &at, &file);

		if (is_there != (cases[i].want != NULL))
			fail_msg("case %zu: %d", i, is_there);
		if (!is_there)
			continue;
		if (!span_eq(file.name, span_str(cases[i].name)) ||
		    !span_eq(span_of(to, inline_file_decode(&file, to)), span_str(cases[i].want)))
			fail_msg("case %zu: name '%.*s'", i, SPAN_ARG(file.name));
		assert_false(card_next(span_str(cases[i].text), &at, &file));
	}
	assert_true(card_is_one(SPAN("BEGIN:VCALENDAR\r\n")));
	assert_true(card_is_one(SPAN("\xef\xbb\xbf\r\n begin:vcard\n")));
	assert_false(card_is_one(SPAN("I BEGIN:VCALENDAR")));
	assert_false(card_is_one(SPAN("")));
}

/* Head and content of one value; `n` of PIECES and ends of BER as they are needed. */
#define OID    "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
#define BEFORE "\x02\x01\x01\x31\x00"

static void
signed_contents(void **state)
{
	static const struct {
		struct span bytes;
		const char *want;
	} cases[] = {
	    {SPAN("\x30\x2f" OID "\x02\xa0\x22\x30\x20" BEFORE "\x30\x17" OID
		  "\x01\xa0\x0a\x04\x08in\r\nside\x31\x00"),
		"in\r\nside"},
	    {SPAN("\x30\x80" OID "\x02\xa0\x80\x30\x80" BEFORE "\x30\x80" OID
		  "\x01\xa0\x80\x24\x80\x04\x02in\x04\x04side\0\0\0\0\0\0\0\0\0\0\0\0"),
		"inside"},
	    /* Pieces in pieces, with and without lengths. */
	    {SPAN("\x30\x80" OID "\x02\xa0\x80\x30\x80" BEFORE "\x30\x80" OID
		  "\x01\xa0\x80\x24\x80\x24\x04\x04\x02in\x24\x80\x04\x02si\0\0\x04\x02"
		  "de\0\0\x04\x01x"),
		"inside"},
	    /* A set without a length, with one inside. */
	    {SPAN("\x30\x80" OID "\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x80\x30\x80\x05\x00\0\0\0\0"
		  "\x30\x80" OID "\x01\xa0\x80\x04\x06inside"),
		"inside"},
	    /* Lengths in more bytes than needed, and one that goes past the end. */
	    {SPAN("\x30\x82\x00\x7f" OID "\x02\xa0\x83\x00\x00\x7f\x30\x84\x7f\xff\xff\xff" BEFORE
		  "\x30\x80" OID "\x01\xa0\x80\x04\x81\x7finside"),
		"inside"},
	    {SPAN("\x30\x80" OID "\x02\xa0\x80\x30\x80" BEFORE "\x30\x0b" OID "\x01\x31\x00"), ""},
	    {SPAN("\x30\x80" OID "\x03\xa0\x80\x30\x80" BEFORE "\x30\x80" OID
		  "\x01\xa0\x80\x04\x06inside"),
		""},
	    {SPAN("\x30\x85\x01\x01\x01\x01\x01" OID "\x02"), ""},
	    {SPAN("0123456789"), ""},
	    {SPAN(""), ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[ROOM];
		size_t n = cms_content(cases[i].bytes, to);

		if (!span_eq(span_of(to, n), span_str(cases[i].want)))
			fail_msg("case %zu: '%.*s'", i, (int)n, to);
	}
}

/* Cut anywhere it gives a beginning of what it holds. */
static void
cut(void **state)
{
	static const char text[] = "\x30\x80" OID "\x02\xa0\x80\x30\x80" BEFORE "\x30\x80" OID
				   "\x01\xa0\x80\x24\x80\x04\x02in\x04\x04side\0";
	struct span whole = span_of(text, sizeof(text));

	(void)state;
	for (size_t n = 0; n <= whole.n; n++) {
		char *bytes = mem_alloc(n), *to = mem_alloc(n);

		memcpy(bytes, whole.p, n);
		assert_true(
		    span_starts(SPAN("inside"), span_of(to, cms_content(span_of(bytes, n), to))));
		mem_free(bytes);
		mem_free(to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cards),
	    cmocka_unit_test(signed_contents),
	    cmocka_unit_test(cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
