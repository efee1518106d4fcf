/* Files of users, and the proofs that fit their records. */
#include "relay/key/users.h"
#include "relay/base/base64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The user of RFC 7677 section 3, with the password "pencil". */
#define SCRAM                                                \
	"user:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"      \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"
/* "pleaseletmein" with the salt "SodiumChloride" of RFC 7914 section 12, cut to 32 bytes. */
#define SCRYPT                                                              \
	"old:{scrypt}16384,8,1,U29kaXVtQ2hsb3JpZGU=,cCO9yzr9c0hGHAbNgf046/" \
	"2o+7qQT44+qbVD9lRdofI=\n"

static struct users *
parse(const char *text)
{
	struct err err = {0};
	struct users *u = users_parse(span_str(text), "users", &err);

	if (u == NULL)
		print_error("%s\n", err.text);
	assert_non_null(u);
	return u;
}

static bool
is_password(const struct users *u, const char *name, const char *password)
{
	struct user user;
	bool is_here = users_find(u, span_str(name), &user);
	bool is_right = user_is_password(&user, span_str(password));

	return is_here && is_right;
}

static void
test_passwords(void **state)
{
	struct users *u = parse("\xef\xbb\xbf# who\n\n" SCRAM "  " SCRYPT);

	(void)state;
	assert_int_equal(users_count(u), 2);
	assert_true(is_password(u, "user", "pencil"));
	assert_false(is_password(u, "user", "Pencil"));
	assert_false(is_password(u, "user", ""));
	assert_true(is_password(u, "old", "pleaseletmein"));
	assert_false(is_password(u, "old", "pleaseletmeout"));
	assert_false(is_password(u, "nobody", "pencil"));
	users_free(&u);
	u = parse("");
	assert_false(is_password(u, "nobody", "pencil"));
	users_free(&u);
	assert_null(u);
}

/* The exchange of RFC 7677 section 3. */
static void
test_scram(void **state)
{
	static const struct span message =
	    SPAN("n=user,r=rOprNGfwEbeRWgbNEkqO,"
		 "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
		 "i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	struct users *u = parse(SCRAM SCRYPT);
	struct buf proof = BUF_INIT(100), signature = BUF_INIT(100);
	unsigned char out[USERS_PROOF];
	struct user user;

	(void)state;
	assert_true(users_find_scram(u, SPAN("user"), &user));
	assert_int_equal(
	    base64_decode(&proof, SPAN("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")), 0);
	assert_true(user_is_proof(&user, message, buf_span(&proof), out));
	assert_int_equal(base64_add(&signature, span_of(out, sizeof(out))), 0);
	assert_true(
	    span_eq(buf_span(&signature), SPAN("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
	assert_false(user_is_proof(&user, span_skip(message, 1), buf_span(&proof), out));
	assert_false(user_is_proof(&user, message, span_skip(buf_span(&proof), 1), out));
	proof.p[0] ^= 1;
	assert_false(user_is_proof(&user, message, buf_span(&proof), out));
	buf_free(&proof);
	buf_free(&signature);
	users_free(&u);
}

static void
test_strangers(void **state)
{
	struct users *u = parse(SCRAM SCRYPT), *again = parse(SCRAM SCRYPT), *other = parse(SCRAM);
	struct user a, b;

	(void)state;
	/* The same to all questions and after a restart; another for other names and other files. */
	assert_false(users_find_scram(u, SPAN("nobody"), &a));
	assert_false(users_find_scram(again, SPAN("nobody"), &b));
	assert_int_equal(a.iterations, 4096);
	assert_int_equal(a.salt_n, 16);
	assert_memory_equal(a.salt, b.salt, a.salt_n);
	assert_false(users_find_scram(u, SPAN("somebody"), &b));
	assert_memory_not_equal(a.salt, b.salt, a.salt_n);
	assert_false(users_find_scram(other, SPAN("nobody"), &b));
	assert_memory_not_equal(a.salt, b.salt, a.salt_n);
	/* One whose hash cannot do SCRAM looks like one who is not there. */
	assert_false(users_find_scram(u, SPAN("old"), &a));
	assert_int_equal(a.kind, USER_SCRAM);
	users_free(&u);
	users_free(&again);
	users_free(&other);
	u = parse(SCRYPT);
	assert_false(users_find(u, SPAN("nobody"), &a));
	assert_int_equal(a.kind, USER_SCRYPT); /* as costly as the others */
	assert_int_equal(a.n, 16384);
	assert_false(users_find_scram(u, SPAN("nobody"), &a));
	assert_int_equal(a.kind, USER_SCRAM);
	users_free(&u);
}

static void
test_mistakes(void **state)
{
	static const struct {
		const char *text, *begin;
	} rows[] = {
	    {"user\n", "users:1: not a user; "},
	    {"# x\n:x\n", "users:2: not a user; "},
	    {"us er:{scrypt}x\n", "users:1: not a user; "},
	    {"user:pencil\n", "users:1: neither {SCRAM-SHA-256} nor {scrypt}; "},
	    {SCRAM SCRAM, "users:2: this user stands in the file twice; "},
	    {"a:{SCRAM-SHA-256}\n", "users:1: a {SCRAM-SHA-256} record "},
	    {"a:{SCRAM-SHA-256}4095,W22ZaJ0SNY7soEsUEjb6gQ==,"
	     "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	     "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"users:1: a {SCRAM-SHA-256} record "},
	    {"a:{SCRAM-SHA-256}4096,AAAA,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	     "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"users:1: a {SCRAM-SHA-256} record "},
	    {"a:{scrypt}16384,8,1,U29kaXVtQ2hsb3JpZGU=\n", "users:1: a {scrypt} record "},
	    {"a:{scrypt}16383,8,1,U29kaXVtQ2hsb3JpZGU=,cCO9yzr9c0hGHAbNgf046/"
	     "2o+7qQT44+qbVD9lRdofI=\n",
		"users:1: a {scrypt} record "},
	    {"a:{scrypt}131072,8,1,U29kaXVtQ2hsb3JpZGU=,cCO9yzr9c0hGHAbNgf046/"
	     "2o+7qQT44+qbVD9lRdofI=\n",
		"users:1: a {scrypt} record "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {0};

		assert_null(users_parse(span_str(rows[i].text), "users", &err));
		if (!span_starts(span_str(err.text), span_str(rows[i].begin)))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void
test_new_line(void **state)
{
	struct buf b = BUF_INIT(1024);
	struct users *u;

	(void)state;
	assert_int_equal(user_add_line(&b, SPAN("me@example.org"), SPAN("secret")), 0);
	assert_int_equal(buf_add(&b, "\n\0", 2), 0);
	u = parse(b.p);
	assert_true(is_password(u, "me@example.org", "secret"));
	assert_false(is_password(u, "me@example.org", "Secret"));
	users_free(&u);
	buf_free(&b);
	assert_int_equal(user_add_line(&b, SPAN(""), SPAN("x")), -E_SYNTAX);
	assert_int_equal(user_add_line(&b, SPAN("a:b"), SPAN("x")), -E_SYNTAX);
	assert_int_equal(user_add_line(&b, SPAN("#a"), SPAN("x")), -E_SYNTAX);
	assert_int_equal(user_add_line(&b, SPAN("a b"), SPAN("x")), -E_SYNTAX);
	assert_int_equal(user_add_line(&b, SPAN("a"), SPAN("")), -E_SYNTAX);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_passwords),
	    cmocka_unit_test(test_scram),
	    cmocka_unit_test(test_strangers),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_new_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
