/* config_check_machine against a folder made for the test. */
#include "tests/unit/config_fake.h"
#include "tests/unit/tls_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[32];
};

static const char *const made_dirs[] = {"", "/state", "/db", "/empty"};
static const char *const made_files[] = {"/file", "/db/daily.cvd", "/ca.pem", "/broken.pem"};

/* Two authorities, and one behind which another is cut off. */
static void
write_authorities(const struct fixture *f)
{
	static const char cut[] = "-----BEGIN CERTIFICATE-----\nMIIB\n";
	struct fake_cert a = fake_cert_new(NULL, NULL, 0, 3600);
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/ca.pem", f->dir); /* fits */
	fake_cert_write(&a, path, false);
	(void)snprintf(path, sizeof(path), "%s/broken.pem", f->dir); /* fits */
	fake_cert_write(&a, path, false);
	file = fopen(path, "ae");
	assert_non_null(file);
	assert_int_equal(fputs(cut, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
	fake_cert_free(&a);
}

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	char path[64];

	assert_true(span_copy(SPAN("/tmp/config.XXXXXX"), f->dir, sizeof(f->dir)));
	assert_non_null(mkdtemp(f->dir));
	for (size_t i = 1; i < sizeof(made_dirs) / sizeof(made_dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", f->dir, made_dirs[i]); /* fits */
		assert_int_equal(mkdir(path, 0700), 0);
	}
	for (size_t i = 0; i < sizeof(made_files) / sizeof(made_files[0]); i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s%s", f->dir, made_files[i]); /* fits */
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(close(fd), 0);
	}
	write_authorities(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	for (size_t i = sizeof(made_files) / sizeof(made_files[0]); i > 0; i--) {
		(void)snprintf(path, sizeof(path), "%s%s", f->dir, made_files[i - 1]); /* fits */
		assert_int_equal(unlink(path), 0);
	}
	for (size_t i = sizeof(made_dirs) / sizeof(made_dirs[0]); i > 0; i--) {
		(void)snprintf(path, sizeof(path), "%s%s", f->dir, made_dirs[i - 1]); /* fits */
		assert_int_equal(rmdir(path), 0);
	}
	mem_free(f);
	return 0;
}

/* `text` with every @ replaced by the test's folder. */
static void
add_with_dir(struct buf *to, const struct fixture *f, const char *text)
{
	for (; *text != '\0'; text++)
		assert_int_equal(
		    *text == '@' ? buf_add_str(to, f->dir) : buf_add_char(to, *text), 0);
}

#define VERIFY(ca) "gateway b { server \"a:25\" { } tls = verify ca = \"@/" ca "\" }"

#define LDAP(scheme, more) \
	"ldap d { uri = \"" scheme "://a\" base = \"dc=a\" filter = \"(mail=%s)\" " more " }"

static void
test_machine(void **state)
{
	static const struct {
		const char *text, *lines;
	} cases[] = {
	    {"", ""},
	    {"filter antivirus { databases = \"@/db\" }", ""},
	    {"filter antivirus { databases = \"built in\" }", ""},
	    {"filter antivirus { databases = \"@/none\" }",
		"t.conf:7: filter \"antivirus\": no signature folder @/none; install signatures "
		"with "
		"freshclam or set databases\n"},
	    {"filter antivirus { databases = \"@/empty\" }",
		"t.conf:7: filter \"antivirus\": signature folder @/empty is empty; install "
		"signatures "
		"with freshclam or set databases\n"},
	    {"filter antivirus { databases = \"@/file\" }",
		"t.conf:7: filter \"antivirus\": signature folder @/file cannot be read (Not a "
		"directory); make it readable\n"},
	    {"filter attachment { hashes = \"@/file\" }", ""},
	    {"filter attachment { hashes = \"@/none\" }",
		"t.conf:7: filter \"attachment\": hashes @/none cannot be read (No such file or "
		"directory); make it readable, one SHA-256 sum a line\n"},
	    {VERIFY("ca.pem"), ""},
	    {"gateway b { server \"a:25\" { } tls = may }", ""},
	    {LDAP("ldap", "bind = \"cn=a\" password = \"file:@/file\""), ""},
	    {LDAP("ldap", "bind = \"cn=a\" password = \"file:@/none\""),
		"t.conf:7: ldap \"d\": password @/none cannot be read (No such file or "
		"directory); make it readable\n"},
	    {LDAP("ldaps", "ca = \"@/ca.pem\""), ""},
	    {LDAP("ldaps", "ca = \"@/file\""),
		"t.conf:7: ldap \"d\": ca @/file has no certificate; name a PEM file of "
		"authorities\n"},
	    {LDAP("ldap", "starttls = yes ca = \"@/none\""),
		"t.conf:7: ldap \"d\": ca @/none cannot be read (No such file or directory); make "
		"it readable\n"},
	    {VERIFY("none"), "t.conf:7: gateway \"b\": ca @/none cannot be read (No such file or "
			     "directory); make "
			     "it readable\n"},
	    {VERIFY("file"),
		"t.conf:7: gateway \"b\": ca @/file has no certificate; name a PEM file "
		"of authorities\n"},
	    {VERIFY("broken.pem"),
		"t.conf:7: gateway \"b\": ca @/broken.pem has a certificate that "
		"cannot be read; name "
		"a PEM file of authorities\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf text = BUF_INIT(8192), expected = BUF_INIT(8192);
		struct config_errors errors = {0};
		struct config *c;

		add_with_dir(&text, *state, BASE "state_dir = \"@/state\" run_dir = \"@/run\"\n");
		add_with_dir(&text, *state, cases[i].text);
		add_with_dir(&expected, *state, cases[i].lines);
		c = config_of(buf_span(&text));
		assert_int_equal(
		    config_check_machine(c, &errors), cases[i].lines[0] ? -E_CONFIG : 0);
		assert_int_equal(errors.n, cases[i].lines[0] ? 1 : 0);
		if (!span_eq(buf_span(&errors.lines), buf_span(&expected)))
			fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
		config_free(&c);
		buf_free(&errors.lines);
		buf_free(&expected);
		buf_free(&text);
	}
}

static void
test_own_dirs(void **state)
{
	struct buf text = BUF_INIT(8192), expected = BUF_INIT(8192);
	struct config_errors errors = {0};
	struct config *c;

	add_with_dir(&text, *state, BASE "state_dir = \"@/none/state\" run_dir = \"@/file\"\n");
	add_with_dir(&expected, *state,
	    "t.conf:6: state_dir: the parent @/none of @/none/state does not exist; make it or "
	    "choose "
	    "another state_dir\n"
	    "t.conf:6: run_dir: @/file is not a directory; choose another or remove it\n");
	c = config_of(buf_span(&text));
	assert_int_equal(config_check_machine(c, &errors), -E_CONFIG);
	assert_int_equal(errors.n, 2);
	if (!span_eq(buf_span(&errors.lines), buf_span(&expected)))
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	config_free(&c);
	buf_free(&errors.lines);
	buf_free(&expected);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_own_dirs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
