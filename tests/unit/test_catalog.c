/* What a plugin may be, and how it travels: the ABI's checks, the catalog's bytes. */
#include "filters/chain/abi.h"
#include "filters/chain/abouts.h"
#include "filters/chain/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct pnf_outcome outcomes[] = {
    {"seen", "tag", "was seen"}, {"very-bad_1", "reject", NULL}, {.name = NULL}};
static const struct pnf_option options[] = {{"limit", PNF_OPTION_SIZE, "1M", "bytes"},
    {"names", PNF_OPTION_LIST, NULL, NULL}, {.name = NULL}};
static const struct pnf_about about = {.name = "mine",
    .version = "1.2",
    .summary = "a plugin",
    .needs = PNF_NEEDS_PARTS | PNF_NEEDS_MEMBERS,
    .may = PNF_MAY_TAG,
    .outcomes = outcomes,
    .options = options};

static void
a_hook(void *self, struct pnf_msg *m, const struct pnf_part *part)
{
	(void)self;
	(void)m;
	(void)part;
}

static void
test_abi(void **state)
{
	static const struct pnf_about bare = {.name = "bare"};
	static const struct {
		struct pnf_filter filter;
		const char *wrong; /* NULL: fine */
	} rows[] = {
	    {{.abi_major = PNF_ABI_MAJOR, .size = sizeof(struct pnf_filter), .about = &bare}, NULL},
	    {{.abi_major = 0, .size = sizeof(struct pnf_filter), .about = &bare}, "ABI version 0"},
	    {{.abi_major = 2, .size = 8, .about = NULL}, "ABI version 2"},
	    {{.abi_major = PNF_ABI_MAJOR,
		 .abi_minor = PNF_ABI_MINOR + 1,
		 .size = sizeof(struct pnf_filter) + 8,
		 .about = &bare},
		"install a later Postern"},
	    {{.abi_major = PNF_ABI_MAJOR, .size = 104, .about = &bare}, "104 bytes"},
	    {{.abi_major = PNF_ABI_MAJOR, .size = sizeof(struct pnf_filter) + 8, .about = &bare},
		"bytes"},
	    {{.abi_major = PNF_ABI_MAJOR, .size = sizeof(struct pnf_filter)}, "no about"},
	    {{.abi_major = PNF_ABI_MAJOR,
		 .size = sizeof(struct pnf_filter),
		 .about = &bare,
		 .part = a_hook},
		"PNF_NEEDS_PARTS"},
	    {{.abi_major = PNF_ABI_MAJOR,
		 .size = sizeof(struct pnf_filter),
		 .about = &about,
		 .part = a_hook},
		NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pnf_filter full;
		struct err err = {0};
		int r = abi_accept(&rows[i].filter, &full, &err);

		if ((r == 0) != (rows[i].wrong == NULL) ||
		    (r < 0 && strstr(err.text, rows[i].wrong) == NULL))
			fail_msg("row %zu: %d %s", i, r, err.text);
		if (r == 0)
			assert_ptr_equal(full.about, rows[i].filter.about);
	}
}

static void
test_abouts(void **state)
{
	static const struct pnf_outcome own_word[] = {{"failure", "tag", ""}, {.name = NULL}};
	static const struct pnf_outcome no_action[] = {{"a", NULL, ""}, {.name = NULL}};
	static const struct pnf_outcome empty[] = {{"a", "", ""}, {.name = NULL}};
	static const struct pnf_outcome tagg[] = {{"a", "tagg", ""}, {.name = NULL}};
	static const struct pnf_outcome word[] = {{"load_deadline", "tag", ""}, {.name = NULL}};
	static const struct pnf_outcome twice[] = {
	    {"a", "tag", ""}, {"a", "tag", ""}, {.name = NULL}};
	static const struct pnf_outcome strips[] = {{"a", "strip", ""}, {.name = NULL}};
	static const struct pnf_outcome normalises[] = {
	    {"malformed", "normalise", ""}, {.name = NULL}};
	static const struct pnf_outcome upper[] = {{"A", "tag", ""}, {.name = NULL}};
	static const struct pnf_option pause[] = {
	    {"pause", PNF_OPTION_TEXT, NULL, NULL}, {.name = NULL}};
	static const struct pnf_option type[] = {
	    {"a", (enum pnf_option_type)9, NULL, NULL}, {.name = NULL}};
	static const struct pnf_option both[] = {
	    {"seen", PNF_OPTION_TEXT, NULL, NULL}, {.name = NULL}};
	static const struct pnf_option line[] = {
	    {"a", PNF_OPTION_TEXT, "\n", NULL}, {.name = NULL}};
	static const struct {
		struct pnf_about about;
		const char *wrong;
	} rows[] = {
	    {{.name = NULL}, "no good name"},
	    {{.name = ""}, "no good name"},
	    {{.name = "1a"}, "no good name"},
	    {{.name = "a b"}, "no good name"},
	    {{.name = "a\n"}, "no good name"},
	    {{.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"no good name"},
	    {{.name = "a", .summary = "two\nlines"}, "one line"},
	    {{.name = "a", .needs = 1u << 30}, "later Postern"},
	    {{.name = "a", .may = 1u << 30}, "later Postern"},
	    {{.name = "a", .outcomes = own_word}, "outcome 1"},
	    {{.name = "a", .outcomes = upper}, "outcome 1"},
	    {{.name = "a", .outcomes = no_action}, "\"a\" has no action"},
	    {{.name = "a", .outcomes = empty}, "\"a\" has no action"},
	    {{.name = "a", .outcomes = tagg}, "\"a\" has the action \"tagg\", which is none"},
	    {{.name = "a", .outcomes = word}, "outcome 1"},
	    {{.name = "a", .outcomes = twice}, "\"a\" twice"},
	    {{.name = "a", .outcomes = strips}, "without PNF_MAY_NAME_PARTS"},
	    {{.name = "a", .outcomes = normalises}, "only; give another one"},
	    {{.name = "a", .options = pause}, "option 1"},
	    {{.name = "a", .options = type}, "option 1"},
	    {{.name = "a", .options = line}, "option 1"},
	    {{.name = "a", .outcomes = outcomes, .options = both}, "both an outcome and an option"},
	};
	struct err err = {0};

	(void)state;
	assert_int_equal(abi_check_about(&about, &err), 0);
	for (size_t i = 0; filters_abouts()[i] != NULL; i++)
		if (abi_check_about(filters_abouts()[i], &err) < 0)
			fail_msg("%s: %s", filters_abouts()[i]->name, err.text);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (abi_check_about(&rows[i].about, &err) == 0 ||
		    strstr(err.text, rows[i].wrong) == NULL)
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void
test_round_trip(void **state)
{
	struct buf bytes = BUF_INIT(CATALOG_BYTES_MAX);
	struct pnf_about other = about;
	struct catalog *c;
	size_t n = 0;

	(void)state;
	other.name = "other";
	other.outcomes = NULL;
	catalog_put_head(&bytes, "/some/where", 2);
	catalog_put_plugin(&bytes, "mine.so", &about);
	catalog_put_plugin(&bytes, "other.so", &other);
	c = catalog_get(buf_span(&bytes));
	assert_non_null(c);
	assert_string_equal(c->folder, "/some/where");
	assert_int_equal(c->n, 2);
	assert_string_equal(c->plugins[0].file, "mine.so");
	assert_true(catalog_is_same(&c->plugins[0].about, &about));
	assert_true(catalog_is_same(&c->plugins[1].about, &other));
	assert_false(catalog_is_same(&c->plugins[1].about, &about));
	while (filters_abouts()[n] != NULL) {
		assert_ptr_equal(c->abouts[n], filters_abouts()[n]);
		assert_null(catalog_find(c, c->abouts[n]));
		n++;
	}
	assert_ptr_equal(c->abouts[n], &c->plugins[0].about);
	assert_ptr_equal(catalog_find(c, c->abouts[n + 1]), &c->plugins[1]);
	assert_null(c->abouts[n + 2]);
	catalog_free(&c);
	/* Cut anywhere, it is nothing. */
	for (size_t i = 1; i < bytes.n; i++)
		assert_null(catalog_get(span_take(buf_span(&bytes), i)));
	buf_free(&bytes);
	c = catalog_get((struct span){0});
	assert_non_null(c);
	assert_int_equal(c->n, 0);
	catalog_free(&c);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *file, *name;
		size_t head; /* number of plugins it speaks of; two are written */
	} rows[] = {
	    {"a.so", "mine", 2},   /* of one name */
	    {"a.so", "clamav", 2}, /* a built-in one's */
	    {"a/b.so", "good", 2}, /* a path */
	    {"", "good", 2},
	    {"a.so", "good", 1}, /* one left over */
	    {"a.so", "good", 3}, /* one missing */
	    {"a.so", "good", 1000},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf bytes = BUF_INIT(CATALOG_BYTES_MAX);
		struct pnf_about other = about;

		other.name = rows[i].name;
		catalog_put_head(&bytes, "/f", rows[i].head);
		catalog_put_plugin(&bytes, "mine.so", &about);
		catalog_put_plugin(&bytes, rows[i].file, &other);
		if (catalog_get(buf_span(&bytes)) != NULL)
			fail_msg("row %zu was taken", i);
		buf_free(&bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_abi),
	    cmocka_unit_test(test_abouts), cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
