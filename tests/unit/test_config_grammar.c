/* The pieces under config_parse: scalars, nearest words, tokens, the tree. */
#include "policy/config/lexer.h"
#include "relay/base/nearest.h"
#include "policy/config/scalar.h"
#include "policy/config/tree.h"
#include "tests/unit/config_fake.h"

static void
test_sizes_and_times(void **state)
{
	static const struct {
		const char *text;
		int64_t size, ms; /* -1: is none */
	} cases[] = {
	    {"0", 0, -1},
	    {"10", 10, -1},
	    {"10K", 10240, -1},
	    {"10M", 10 << 20, -1},
	    {"2G", (int64_t)2 << 30, -1},
	    {"8589934591G", (int64_t)8589934591 << 30, -1},
	    {"8589934592G", -1, -1},
	    {"99999999999999999999", -1, -1},
	    {"10k", -1, -1},
	    {"K", -1, -1},
	    {"", -1, -1},
	    {"-1", -1, -1},
	    {"1.5M", -1, -1},
	    {"10 M", -1, -1},
	    {"300ms", -1, 300},
	    {"0s", -1, 0},
	    {"20s", -1, 20000},
	    {"5m", -1, 300000},
	    {"4h", -1, 14400000},
	    {"7d", -1, 604800000},
	    {"9223372036854775807ms", -1, INT64_MAX},
	    {"9223372036854775808ms", -1, -1},
	    {"9223372036854775807s", -1, -1},
	    {"5m30s", -1, -1},
	    {"s", -1, -1},
	    {"5min", -1, -1},
	    {"5 s", -1, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span s = span_str(cases[i].text);
		uint64_t size = 77;
		int64_t ms = 77;

		assert_int_equal(scalar_size(s, &size), cases[i].size >= 0);
		assert_int_equal(size, cases[i].size >= 0 ? (uint64_t)cases[i].size : 77);
		assert_int_equal(scalar_time(s, &ms), cases[i].ms >= 0);
		if (cases[i].ms >= 0)
			assert_int_equal(ms, cases[i].ms);
	}
}

static void
test_yes_and_no(void **state)
{
	static const struct {
		const char *text;
		int value; /* -1: is none */
	} cases[] = {{"true", 1}, {"yes", 1}, {"on", 1}, {"false", 0}, {"no", 0}, {"off", 0},
	    {"True", 1}, {"OFF", 0}, {"", -1}, {"1", -1}, {"0", -1}, {"y", -1}, {"truer", -1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool value = i % 2;

		assert_int_equal(scalar_bool(span_str(cases[i].text), &value), cases[i].value >= 0);
		assert_int_equal(value, cases[i].value >= 0 ? cases[i].value : (int)(i % 2));
	}
}

static void
test_scores(void **state)
{
	static const struct {
		const char *text;
		bool is_score;
		int64_t milli;
	} cases[] = {
	    {"4", true, 4000},
	    {"2.5", true, 2500},
	    {"-2.5", true, -2500},
	    {"-0.001", true, -1},
	    {"0.125", true, 125},
	    {"1000000", true, 1000000000},
	    {"1000000.001", false, 0},
	    {"1000001", false, 0},
	    {"1.2345", false, 0},
	    {"1.", false, 0},
	    {".5", false, 0},
	    {"-", false, 0},
	    {"", false, 0},
	    {"1,5", false, 0},
	    {"+1", false, 0},
	    {"--1", false, 0},
	    {"1.-5", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t milli = 0;

		assert_int_equal(scalar_milli(span_str(cases[i].text), &milli), cases[i].is_score);
		assert_int_equal(milli, cases[i].milli);
	}
}

static void
test_names(void **state)
{
	static const struct {
		const char *text;
		bool is_host, is_address, is_path;
	} cases[] = {
	    {"mx1.example.org", true, false, false},
	    {"localhost", true, false, false},
	    {"3com.example", true, false, false},
	    {"xn--bcher-kva.example", true, false, false},
	    {"192.0.2.1", false, false, false},
	    {"a..b", false, false, false},
	    {".a", false, false, false},
	    {"a.", false, false, false},
	    {"-a.b", false, false, false},
	    {"a-.b", false, false, false},
	    {"a_b.c", false, false, false},
	    {"", false, false, false},
	    {"postmaster@example.org", false, true, false},
	    {"a.b+c@x", false, true, false},
	    {".a@x.org", false, false, false},
	    {"a.@x.org", false, false, false},
	    {"a..b@x.org", false, false, false},
	    {"@x.org", false, false, false},
	    {"a@", false, false, false},
	    {"a b@x.org", false, false, false},
	    {"/", false, false, false},
	    {"/a", false, false, true},
	    {"/a/b/", false, false, true},
	    {"/a/..b", false, false, true},
	    {"/a/../b", false, false, false},
	    {"/a/./b", false, false, false},
	    {"/..", false, false, false},
	    {"a/b", false, false, false},
	};
	char label[65], name[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span s = span_str(cases[i].text);

		assert_int_equal(scalar_is_host(s), cases[i].is_host);
		assert_int_equal(scalar_is_address(s), cases[i].is_address);
		assert_int_equal(scalar_is_path(s), cases[i].is_path);
	}
	memset(label, 'a', sizeof(label));
	assert_true(scalar_is_host(span_of(label, 63)));
	assert_false(scalar_is_host(span_of(label, 64)));
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 64 == 63 ? '.' : 'b';
	assert_true(scalar_is_host(span_of(name, 253)));
	assert_false(scalar_is_host(span_of(name, 254)));
}

static void
test_host_port(void **state)
{
	static const struct {
		const char *text, *host; /* NULL: is none */
		uint16_t port;
	} cases[] = {
	    {"10.0.0.1:25", "10.0.0.1", 25},
	    {"mx.example:65535", "mx.example", 65535},
	    {"[2001:db8::1]:25", "2001:db8::1", 25},
	    {"2001:db8::1:25", NULL, 0},
	    {"mx.example", NULL, 0},
	    {"mx.example:", NULL, 0},
	    {"mx.example:0", NULL, 0},
	    {"mx.example:65536", NULL, 0},
	    {"mx.example:25x", NULL, 0},
	    {":25", NULL, 0},
	    {"", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span host;
		uint16_t port;

		assert_int_equal(
		    scalar_host_port(span_str(cases[i].text), &host, &port), cases[i].host != NULL);
		if (cases[i].host == NULL)
			continue;
		assert_true(span_eq(host, span_str(cases[i].host)));
		assert_int_equal(port, cases[i].port);
	}
}

static void
test_nearest(void **state)
{
	static const char *const words[] = {
	    "hostname", "postmaster", "listen", "flow", "filter", "filters", "expire_after"};
	static const struct {
		const char *a, *b;
		unsigned distance;
	} distances[] = {
	    {"", "", 0},
	    {"", "abc", 3},
	    {"abc", "", 3},
	    {"flow", "flow", 0},
	    {"FLOW", "flow", 0},
	    {"folw", "flow", 1},
	    {"flo", "flow", 1},
	    {"flows", "flow", 1},
	    {"slow", "flow", 1},
	    {"kitten", "sitting", 3},
	};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
	    {"hostnam", "hostname"},
	    {"lsiten", "listen"},
	    {"fliter", "filter"},
	    {"fliters", "filters"},
	    {"expire", "expire_after"},
	    {"FLOW", "flow"},
	};
	char longest[200];

	(void)state;
	for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++)
		assert_int_equal(
		    nearest_distance(span_str(distances[i].a), span_str(distances[i].b)),
		    distances[i].distance);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    words[nearest_word(span_str(cases[i].word), words, 7)], cases[i].nearest);
	assert_int_equal(nearest_word(SPAN("x"), words, 0), 0);
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(nearest_distance(span_of(longest, 200), span_of(longest, 64)), 0);
}

static void
test_tokens(void **state)
{
	static const struct {
		enum token_kind kind;
		unsigned line;
		const char *text;
	} expected[] = {
	    {TOKEN_WORD, 1, "a"},
	    {TOKEN_EQUALS, 1, "="},
	    {TOKEN_TEXT, 1, "b \"c\" \\ # d"},
	    {TOKEN_WORD, 2, "10M"},
	    {TOKEN_OPEN, 2, "{"},
	    {TOKEN_WORD, 2, "e/*f//g"},
	    {TOKEN_COMMA, 2, ","},
	    {TOKEN_CLOSE, 5, "}"},
	    {TOKEN_TEXT, 5, ""},
	    {TOKEN_END, 6, ""},
	    {TOKEN_END, 6, ""},
	};
	struct complaints complaints = {0};
	struct arena memory;
	struct lexer l = {.rest = SPAN("a=\"b \\\"c\\\" \\\\ # d\" # c\n10M{e/*f//g, // x\n"
				       "/* \"\n * }\n */ }\"\"\n"),
	    .line = 1,
	    .memory = &memory,
	    .complaints = &complaints};

	(void)state;
	arena_init(&memory, 4096);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		struct token t = config_lexer_next(&l);

		assert_int_equal(t.kind, expected[i].kind);
		assert_int_equal(t.line, expected[i].line);
		assert_true(span_eq(t.text, span_str(expected[i].text)));
	}
	assert_int_equal(complaints.n, 0);
	arena_free(&memory);
}

static void
test_tree(void **state)
{
	struct complaints complaints = {0};
	struct arena memory;
	const struct node *root, *n;

	(void)state;
	arena_init(&memory, 1 << 20);
	root = config_tree_parse(SPAN("a = 1 b = {x,\n\"y\"}\nc t { d = 2 } c \"u\" { }\nc { }\n"),
	    &memory, &complaints);
	assert_int_equal(complaints.n, 0);
	n = root->first;
	assert_int_equal(n->kind, NODE_VALUE);
	assert_int_equal(n->n_values, 1);
	n = n->next;
	assert_int_equal(n->kind, NODE_LIST);
	assert_int_equal(n->n_values, 2);
	assert_int_equal(n->last_value->line, 2);
	assert_int_equal(config_tree_count_sections(root, "c"), 2);
	n = config_tree_section(root, NULL, "c");
	assert_true(span_eq(n->title, SPAN("t")) && span_eq(n->first->word, SPAN("d")));
	n = config_tree_section(root, n, "c");
	assert_true(span_eq(n->title, SPAN("u")) && n->first == NULL);
	assert_null(config_tree_section(root, n, "c"));
	assert_false(root->last->has_title);
	arena_free(&memory);
}

static void
test_depth_at_its_limit(void **state)
{
	(void)state;
	for (int depth = TREE_DEPTH_MAX; depth <= TREE_DEPTH_MAX + 1; depth++) {
		struct complaints complaints = {0};
		struct arena memory;
		struct buf text = BUF_INIT(4096);
		const struct node *root;

		arena_init(&memory, 1 << 20);
		for (int i = 0; i < depth; i++)
			assert_int_equal(buf_add_str(&text, "s {\n"), 0);
		for (int i = 0; i < depth; i++)
			assert_int_equal(buf_add_str(&text, "}"), 0);
		assert_int_equal(buf_add_str(&text, "\nafter = 1"), 0);
		root = config_tree_parse(buf_span(&text), &memory, &complaints);
		assert_int_equal(complaints.n, depth > TREE_DEPTH_MAX ? 1 : 0);
		if (complaints.n > 0)
			assert_int_equal(complaints.items[0].line, TREE_DEPTH_MAX + 1);
		assert_true(span_eq(root->last->word, SPAN("after")));
		config_complaints_free(&complaints);
		arena_free(&memory);
		buf_free(&text);
	}
}

static void
test_shown(void **state)
{
	char text[200];

	(void)state;
	assert_string_equal(SHOW(SPAN("a\nb\x1b\xff\xc3\xa4")), "a?b??\xc3\xa4");
	memset(text, 'a', sizeof(text));
	assert_int_equal(strlen(SHOW(span_of(text, SHOWN_MAX))), SHOWN_MAX);
	assert_int_equal(strlen(SHOW(span_of(text, SHOWN_MAX + 1))), SHOWN_MAX + 3);
	memcpy(text + SHOWN_MAX - 1, "\xc3\xa4", 2); /* is not cut in the middle */
	assert_string_equal(SHOW(span_of(text, SHOWN_MAX + 1)) + SHOWN_MAX - 3, "aa...");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes_and_times),
	    cmocka_unit_test(test_yes_and_no),
	    cmocka_unit_test(test_scores),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_host_port),
	    cmocka_unit_test(test_nearest),
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_tree),
	    cmocka_unit_test(test_depth_at_its_limit),
	    cmocka_unit_test(test_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
