/* sscanf as the filter role has it: whatever it is asked, the answer is libc's. */
#include "filters/worker/interpose_number.c"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { UNTOUCHED = 0x5a5a5a5a, SHORT_MAX = 4 };

struct read {
	int n;
	unsigned values[2];
};

typedef int scanner(const char *s, const char *format, ...);

/* libc's, under a name that nothing here stands in for. */
static int
libc_sscanf(const char *s, const char *format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = number_rest(s, format, ap);
	va_end(ap);
	return r;
}

static struct read
read_by(scanner *scan, const char *s, const char *format)
{
	struct read r = {.values = {UNTOUCHED, UNTOUCHED}};

	r.n = scan(s, format, &r.values[0], &r.values[1]);
	return r;
}

static void
check(const char *s, const char *format)
{
	static scanner *const ours[] = {number_sscanf, number_sscanf_c99};
	struct read theirs = read_by(libc_sscanf, s, format);

	for (size_t i = 0; i < 2; i++) {
		struct read r = read_by(ours[i], s, format);

		if (r.n != theirs.n || r.values[0] != theirs.values[0] ||
		    r.values[1] != theirs.values[1])
			fail_msg("\"%s\" by \"%s\": %d, %u, %u instead of %d, %u, %u", s, format,
			    r.n, r.values[0], r.values[1], theirs.n, theirs.values[0],
			    theirs.values[1]);
	}
}

static void
test_as_libc(void **state)
{
	static const char *const texts[] = {"", "0", "7", "42", "0|1&2", "12>3,2", "007", "0x1f",
	    "999999999", "1000000000", "4294967295", "4294967296", "18446744073709551615",
	    "18446744073709551616", "99999999999999999999999", "000000000000000000001", "-1", "+1",
	    " 1", "\t\n 12", "-", "+", " ", "a", "1a", "\xb9", "3,4", "3, 4", "3,", "%u"};
	static const char *const formats[] = {
	    "%u", "%u,%u", "%d", "%x", " %u", "%u ", "%1u", "%*u%u", "a%u", "", "%%u"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t k = 0; k < sizeof(formats) / sizeof(formats[0]); k++)
			check(texts[i], formats[k]);
}

/* Every text of up to SHORT_MAX of these characters. */
static void
test_short_texts(void **state)
{
	static const char of[] = {'0', '1', '9', '-', '+', ' ', '\t', ',', '|', '(', ':', '/'};
	char text[SHORT_MAX + 1] = "";
	unsigned at[SHORT_MAX] = {0};

	(void)state;
	for (int n = 1; n <= SHORT_MAX;) {
		int i = 0;

		for (int k = 0; k < n; k++)
			text[k] = of[at[k]];
		text[n] = '\0';
		check(text, "%u");
		while (i < n && ++at[i] == sizeof(of))
			at[i++] = 0;
		if (i == n)
			n++;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_as_libc),
	    cmocka_unit_test(test_short_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
