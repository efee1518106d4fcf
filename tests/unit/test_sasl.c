/* What clients say to sign in, right and wrong. */
#include "relay/smtp/sasl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_command(void **state)
{
	static const struct {
		const char *argument;
		enum sasl_mechanism mechanism;
		const char *initial; /* NULL: there is none */
	} rows[] = {
	    {"PLAIN", SASL_PLAIN, NULL},
	    {"plain AAAA", SASL_PLAIN, "AAAA"},
	    {"LOGIN  =", SASL_LOGIN, "="},
	    {"SCRAM-SHA-256 biws", SASL_SCRAM_SHA256, "biws"},
	    {"SCRAM-SHA-256-PLUS biws", SASL_UNKNOWN, "biws"},
	    {"PLAIN two words", SASL_PLAIN, "two words"},
	    {"PLAINS", SASL_UNKNOWN, NULL},
	    {"", SASL_UNKNOWN, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span initial;
		bool has_initial;

		assert_int_equal(
		    sasl_command_parse(span_str(rows[i].argument), &initial, &has_initial),
		    rows[i].mechanism);
		assert_int_equal(has_initial, rows[i].initial != NULL);
		assert_true(span_eq(initial, span_str(rows[i].initial)));
	}
}

static void
test_line(void **state)
{
	static const struct {
		const char *line;
		bool is_initial;
		int result;
		struct span bytes;
	} rows[] = {
	    {"", false, 0, SPAN("")},
	    {"=", true, 0, SPAN("")},
	    {"=", false, -E_SYNTAX, SPAN("")},
	    {"AGEAYg==", true, 0, SPAN("\0a\0b")},
	    {"AGEAYg==", false, 0, SPAN("\0a\0b")},
	    {"AGEAYg", false, -E_SYNTAX, SPAN("")},
	    {"two words", true, -E_SYNTAX, SPAN("")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT(0);

		assert_int_equal(sasl_line_decode(span_str(rows[i].line), rows[i].is_initial, &b),
		    rows[i].result);
		assert_true(span_eq(buf_span(&b), rows[i].bytes));
		buf_free(&b);
	}
}

#define NAME_255                                                           \
	"1234567890123456789012345678901234567890123456789012345678901234" \
	"1234567890123456789012345678901234567890123456789012345678901234" \
	"1234567890123456789012345678901234567890123456789012345678901234" \
	"123456789012345678901234567890123456789012345678901234567890123"

static void
test_plain(void **state)
{
	static const struct {
		struct span message;
		int result;
		const char *authorize, *name, *password;
	} rows[] = {
	    {SPAN("\0user\0pencil"), 0, "", "user", "pencil"},
	    {SPAN("other\0user\0pencil"), 0, "other", "user", "pencil"},
	    {SPAN("\0" NAME_255 "\0p"), 0, "", NAME_255, "p"},
	    {SPAN("\0x" NAME_255 "\0p"), -E_SYNTAX, "", "", ""},
	    {SPAN(""), -E_SYNTAX, "", "", ""},
	    {SPAN("\0user"), -E_SYNTAX, "", "", ""},
	    {SPAN("\0user\0"), -E_SYNTAX, "", "", ""},
	    {SPAN("\0\0pencil"), -E_SYNTAX, "", "", ""},
	    {SPAN("\0user\0pen\0cil"), -E_SYNTAX, "", "", ""},
	    {SPAN("\0us\xff\0pencil"), -E_SYNTAX, "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_plain p;
		int r = sasl_plain_parse(rows[i].message, &p);

		if (r != rows[i].result)
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_true(span_eq(p.authorize, span_str(rows[i].authorize)));
		assert_true(span_eq(p.name, span_str(rows[i].name)));
		assert_true(span_eq(p.password, span_str(rows[i].password)));
	}
}

static void
test_scram_first(void **state)
{
	static const struct {
		const char *message;
		int result;
		const char *header, *name, *nonce;
	} rows[] = {
	    {"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", 0, "n,,", "user", "rOprNGfwEbeRWgbNEkqO"},
	    {"y,,n=us=2Cer=3D,r=a,x=later", 0, "y,,", "us,er=", "a"},
	    {"p=tls-unique,,n=user,r=a", -E_UNSUPPORTED, "", "", ""},
	    {"n,a=other,n=user,r=a", -E_UNSUPPORTED, "", "", ""},
	    {"n,,m=must,n=user,r=a", -E_SYNTAX, "", "", ""},
	    {"n,,n=user", -E_SYNTAX, "", "", ""},
	    {"n,,n=,r=a", -E_SYNTAX, "", "", ""},
	    {"n,,n=user,r=", -E_SYNTAX, "", "", ""},
	    {"n,,n=user,r=a b", -E_SYNTAX, "", "", ""},
	    {"n,,n=us=2cer,r=a", -E_SYNTAX, "", "", ""},
	    {"n,,n=user=,r=a", -E_SYNTAX, "", "", ""},
	    {"n,,", -E_SYNTAX, "", "", ""},
	    {"n,", -E_SYNTAX, "", "", ""},
	    {"x,,n=user,r=a", -E_SYNTAX, "", "", ""},
	    {"", -E_SYNTAX, "", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scram_first f;
		int r = scram_first_parse(span_str(rows[i].message), &f);

		if (r != rows[i].result)
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_true(span_eq(f.header, span_str(rows[i].header)));
		assert_true(span_eq(span_of(f.name, f.name_n), span_str(rows[i].name)));
		assert_true(span_eq(f.nonce, span_str(rows[i].nonce)));
		assert_true(span_eq(f.bare, span_str(rows[i].message + 3)));
	}
}

#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void
test_scram_final(void **state)
{
	static const struct {
		const char *message;
		int result;
		const char *nonce, *without_proof;
	} rows[] = {
	    {"c=biws,r=ab,p=" PROOF, 0, "ab", "c=biws,r=ab"},
	    {"c=biws,r=ab,x=later,p=" PROOF, 0, "ab", "c=biws,r=ab,x=later"},
	    {"c=biws,r=ab,p=AAAA", -E_SYNTAX, "", ""},
	    {"c=biws,r=ab,p=" PROOF "AAAA", -E_SYNTAX, "", ""},
	    {"c=biws,r=ab", -E_SYNTAX, "", ""},
	    {"r=ab,c=biws,p=" PROOF, -E_SYNTAX, "", ""},
	    {"c=biws,r=ab,p=" PROOF ",x=1", -E_SYNTAX, "", ""},
	    {"", -E_SYNTAX, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scram_final f;
		int r = scram_final_parse(span_str(rows[i].message), &f);

		if (r != rows[i].result)
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_true(span_eq(f.binding, SPAN("biws")));
		assert_true(span_eq(f.nonce, span_str(rows[i].nonce)));
		assert_true(span_eq(f.without_proof, span_str(rows[i].without_proof)));
		assert_int_equal(f.proof[0], 0x74);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_command),
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_scram_first),
	    cmocka_unit_test(test_scram_final),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
