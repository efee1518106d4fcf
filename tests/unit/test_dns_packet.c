/* DNS answers: built byte by byte here, read by packet_read. */
#include "relay/base/err.h"
#include "relay/lookup/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { NAME_AT = 12 }; /* the question's name in every packet */

static struct buf packet;
static struct dns_answer answer;

static void
add_u16(unsigned value)
{
	(void)buf_add_char(&packet, (char)(value >> 8));
	(void)buf_add_char(&packet, (char)value);
}

static void
add_u32(uint32_t value)
{
	add_u16(value >> 16);
	add_u16(value & 0xffff);
}

static void
add_name(const char *text)
{
	struct span rest = span_str(text);

	while (rest.n > 0) {
		struct span label = span_cut(&rest, '.');

		(void)buf_add_char(&packet, (char)label.n);
		(void)buf_add_span(&packet, label);
	}
	(void)buf_add_char(&packet, 0);
}

static void
begin(unsigned flags, const char *name, unsigned type, unsigned n_answers, unsigned n_authority)
{
	buf_clear(&packet);
	add_u16(0x1234);
	add_u16(flags);
	add_u16(1);
	add_u16(n_answers);
	add_u16(n_authority);
	add_u16(0);
	add_name(name);
	add_u16(type);
	add_u16(1);
}

static void
add_record_head(const char *owner, unsigned type, uint32_t ttl_s)
{
	if (owner == NULL)
		add_u16(0xc000 | NAME_AT);
	else
		add_name(owner);
	add_u16(type);
	add_u16(1);
	add_u32(ttl_s);
}

static void
add_a(const char *owner, uint32_t ttl_s, uint32_t address)
{
	add_record_head(owner, 1, ttl_s);
	add_u16(4);
	add_u32(address);
}

static void
add_with_name(const char *owner, unsigned type, uint32_t ttl_s, const char *data)
{
	add_record_head(owner, type, ttl_s);
	add_u16((unsigned)strlen(data) + 2);
	add_name(data);
}

static void
add_soa(const char *owner, uint32_t ttl_s, uint32_t minimum)
{
	add_record_head(owner, 6, ttl_s);
	add_u16(2 + 2 + 5 * 4);
	add_u16(0xc000 | NAME_AT);
	add_u16(0xc000 | NAME_AT);
	for (unsigned i = 0; i < 4; i++)
		add_u32(i);
	add_u32(minimum);
}

static int
read_it(enum dns_type type, const char *name)
{
	struct dns_question q = {.type = type, .name = span_str(name)};

	return packet_read(buf_span(&packet), &q, &answer);
}

static int
setup(void **state)
{
	(void)state;
	packet = BUF_INIT(PACKET_MAX + 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_free(&packet);
	return 0;
}

static void
test_addresses(void **state)
{
	char text[IP_TEXT_MAX];

	(void)state;
	begin(0x8180, "mx.example.org", 1, 3, 0);
	add_a(NULL, 300, 0x7f000002);
	add_a("MX.Example.ORG", 60, 0x7f000003);
	add_a("other.example.org", 5, 0x7f000004);
	assert_int_equal(read_it(DNS_A, "Mx.example.org"), 0);
	assert_int_equal(answer.status, DNS_FOUND);
	assert_int_equal(answer.n_addresses, 2);
	assert_int_equal(answer.ttl_s, 60);
	(void)ip_format(&answer.addresses[1], text);
	assert_string_equal(text, "127.0.0.3");

	begin(0x8180, "six.example", 28, 1, 0);
	add_record_head(NULL, 28, 7);
	add_u16(16);
	add_u32(0x20010db8);
	add_u32(0);
	add_u32(0);
	add_u32(1);
	assert_int_equal(read_it(DNS_AAAA, "six.example"), 0);
	(void)ip_format(&answer.addresses[0], text);
	assert_string_equal(text, "2001:db8::1");
}

static void
test_more_than_fit(void **state)
{
	(void)state;
	begin(0x8180, "many.example", 1, LOOKUP_RECORDS_MAX + 1, 0);
	for (uint32_t i = 0; i < LOOKUP_RECORDS_MAX + 1; i++)
		add_a(NULL, 9, 0x0a000000 + i);
	assert_int_equal(read_it(DNS_A, "many.example"), 0);
	assert_int_equal(answer.n_addresses, LOOKUP_RECORDS_MAX);
}

static void
test_ptr(void **state)
{
	(void)state;
	begin(0x8180, "2.0.0.127.in-addr.arpa", 12, 3, 0);
	add_with_name(NULL, 12, 100, "Mail.example.org");
	add_with_name(NULL, 12, 200, "bad name.example.org"); /* a blank: no host's name */
	add_with_name(NULL, 12, 300, "b.example.org");
	assert_int_equal(read_it(DNS_PTR, "2.0.0.127.in-addr.arpa"), 0);
	assert_int_equal(answer.n_names, 2);
	assert_string_equal(answer.names[0], "Mail.example.org");
	assert_string_equal(answer.names[1], "b.example.org");
}

static void
add_mx(uint16_t preference, const char *name)
{
	add_record_head(NULL, 15, 50);
	add_u16((unsigned)strlen(name) + (name[0] != '\0' ? 4 : 3));
	add_u16(preference);
	if (name[0] != '\0')
		add_name(name);
	else
		assert_int_equal(buf_add_char(&packet, '\0'), 0); /* the root */
}

static void
test_mx(void **state)
{
	(void)state;
	begin(0x8180, "a.example", 15, 2, 0);
	add_mx(10, "mx1.a.example");
	add_mx(20, "mx2.a.example");
	assert_int_equal(read_it(DNS_MX, "a.example"), 0);
	assert_int_equal(answer.status, DNS_FOUND);
	assert_int_equal(answer.ttl_s, 50);
	assert_int_equal(answer.n_names, 2);
	assert_string_equal(answer.names[1], "mx2.a.example");
	begin(0x8180, "a.example", 15, 1, 0);
	add_mx(0, "");
	assert_int_equal(read_it(DNS_MX, "a.example"), 0);
	assert_int_equal(answer.n_names, 1);
	assert_string_equal(answer.names[0], "."); /* RFC 7505 */
	begin(0x8180, "a.example", 15, LOOKUP_NAMES_MAX + 1, 0);
	for (int i = 0; i <= LOOKUP_NAMES_MAX; i++)
		add_mx(1, "m.a.example");
	assert_int_equal(read_it(DNS_MX, "a.example"), 0);
	assert_int_equal(answer.n_names, LOOKUP_NAMES_MAX);
	begin(0x8180, "a.example", 15, 1, 0);
	add_record_head(NULL, 15, 50);
	add_u16(1); /* not even a preference */
	assert_int_equal(buf_add_char(&packet, 'x'), 0);
	assert_int_equal(read_it(DNS_MX, "a.example"), -E_CORRUPT);
	assert_int_equal(answer.status, DNS_FAILED);
}

static void
test_chain(void **state)
{
	(void)state;
	begin(0x8180, "www.example", 1, 3, 0);
	add_a("c.example", 500, 0x01020304);
	add_with_name("b.example", 5, 20, "c.example"); /* out of order, as some servers do */
	add_with_name(NULL, 5, 400, "b.example");
	assert_int_equal(read_it(DNS_A, "www.example"), 0);
	assert_int_equal(answer.status, DNS_FOUND);
	assert_int_equal(answer.ttl_s, 20);

	begin(0x8180, "a.example", 1, 2, 0);
	add_with_name("a.example", 5, 20, "b.example");
	add_with_name("b.example", 5, 20, "a.example");
	assert_int_equal(read_it(DNS_A, "a.example"), -E_CORRUPT);
	assert_int_equal(answer.status, DNS_FAILED);

	begin(0x8180, "a.example", 1, 1, 0);
	add_with_name("a.example", 5, 20, "gone.example");
	assert_int_equal(read_it(DNS_A, "a.example"), 0);
	assert_int_equal(answer.status, DNS_NONE);
}

/* A chain of n CNAMEs is followed up to PACKET_CHAIN_MAX. */
static void
test_chain_length(void **state)
{
	char from[] = "a.x", to[] = "b.x";

	(void)state;
	for (unsigned n = PACKET_CHAIN_MAX; n <= PACKET_CHAIN_MAX + 1; n++) {
		begin(0x8180, "a.x", 1, n + 1, 0);
		for (unsigned i = 0; i < n; i++) {
			from[0] = (char)('a' + i);
			to[0] = (char)('b' + i);
			add_with_name(from, 5, 9, to);
		}
		add_a(to, 9, 0x7f000002);
		assert_int_equal(read_it(DNS_A, "a.x"), n == PACKET_CHAIN_MAX ? 0 : -E_CORRUPT);
	}
}

static void
test_negative(void **state)
{
	static const struct {
		unsigned flags;
		uint32_t soa_ttl_s, minimum, ttl_s;
	} rows[] = {
	    {0x8183, 900, 60, 60}, {0x8183, 30, 3600, 30}, {0x8180, 900, 60, 60},
	    {0x8180, 0x80000001, 60, 0}, /* RFC 2181 section 8: the top bit makes it 0 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].flags, "no.example", 1, 0, 1);
		add_soa("example", rows[i].soa_ttl_s, rows[i].minimum);
		assert_int_equal(read_it(DNS_A, "no.example"), 0);
		assert_int_equal(answer.status, DNS_NONE);
		assert_int_equal(answer.ttl_s, rows[i].ttl_s);
		assert_int_equal(answer.is_nxdomain, rows[i].flags == 0x8183);
		assert_true(answer.has_soa);
	}
	begin(0x8183, "no.example", 1, 0, 0);
	assert_int_equal(read_it(DNS_A, "no.example"), 0);
	assert_int_equal(answer.status, DNS_NONE);
	assert_int_equal(answer.ttl_s, 0);
	assert_true(answer.is_nxdomain);
	assert_false(answer.has_soa); /* nobody vouches for it */
}

static void
test_failures(void **state)
{
	static const unsigned rcodes[] = {1, 2, 4, 5, 9};

	(void)state;
	for (size_t i = 0; i < sizeof(rcodes) / sizeof(rcodes[0]); i++) {
		begin(0x8180 | rcodes[i], "x.example", 1, 0, 0);
		assert_int_equal(read_it(DNS_A, "x.example"), 0);
		assert_int_equal(answer.status, DNS_FAILED);
	}
	/* A referral is no knowledge about the name; the same with AA is a plain "none". */
	begin(0x8180, "x.example", 1, 0, 1);
	add_with_name("example", 2, 60, "ns.example");
	assert_int_equal(read_it(DNS_A, "x.example"), 0);
	assert_int_equal(answer.status, DNS_FAILED);
	begin(0x8580, "x.example", 1, 0, 1);
	add_with_name("example", 2, 60, "ns.example");
	assert_int_equal(read_it(DNS_A, "x.example"), 0);
	assert_int_equal(answer.status, DNS_NONE);
	begin(0x8380, "x.example", 1, 0, 0);
	assert_int_equal(read_it(DNS_A, "x.example"), -E_LIMIT);
}

static void
test_not_for_us(void **state)
{
	(void)state;
	begin(0x8180, "x.example", 1, 1, 0);
	add_a(NULL, 60, 0x7f000002);
	assert_int_equal(read_it(DNS_A, "x.example"), 0);
	assert_int_equal(read_it(DNS_A, "y.example"), -E_CORRUPT);
	assert_int_equal(read_it(DNS_AAAA, "x.example"), -E_CORRUPT);
	packet.p[2] = 0x01; /* a question, not an answer */
	assert_int_equal(read_it(DNS_A, "x.example"), -E_CORRUPT);
}

/* Every prefix of a good packet is refused, none is read beyond its end. */
static void
test_every_prefix(void **state)
{
	size_t whole;

	(void)state;
	begin(0x8180, "www.example", 1, 2, 1);
	add_with_name(NULL, 5, 400, "b.example");
	add_a("b.example", 500, 0x01020304);
	add_soa("example", 5, 5);
	whole = packet.n;
	assert_int_equal(read_it(DNS_A, "www.example"), 0);
	for (size_t n = 0; n < whole; n++) {
		char *exact = memcpy(test_malloc(n + 1), packet.p, n);
		struct dns_question q = {.type = DNS_A, .name = SPAN("www.example")};
		int rc = packet_read(span_of(exact, n), &q, &answer);

		/* What is behind the answer that counts is not looked at. */
		assert_true(rc == -E_CORRUPT || (rc == 0 && n >= whole - 43));
		test_free(exact);
	}
}

static void
test_compression(void **state)
{
	static const struct {
		unsigned pointer;
		int rc;
	} rows[] = {
	    {0xc000 | NAME_AT, 0},
	    {0xc000 | 27, -E_CORRUPT},      /* to itself */
	    {0xc000 | 200, -E_CORRUPT},     /* forward */
	    {0x8000 | NAME_AT, -E_CORRUPT}, /* reserved label types */
	    {0x4000 | NAME_AT, -E_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(0x8180, "x.example", 1, 1, 0);
		assert_int_equal(packet.n, 27);
		add_u16(rows[i].pointer);
		add_u16(1);
		add_u16(1);
		add_u32(60);
		add_u16(4);
		add_u32(0x7f000002);
		assert_int_equal(read_it(DNS_A, "x.example"), rows[i].rc);
	}
}

static void
test_askable(void **state)
{
	static const struct {
		const char *name;
		bool is_askable;
	} rows[] = {
	    {"a", true},
	    {"2.0.0.127.zen.example.net", true},
	    {"_dmarc.example.org", true},
	    {"", false},
	    {".", false},
	    {"a.", false},
	    {".a", false},
	    {"a..b", false},
	    {"a b", false},
	    {"a\\.b", false},
	    {"a\nb", false},
	    {"\xc3\xa4.example", false},
	};
	char label[66];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
		    packet_name_is_askable(span_str(rows[i].name)), rows[i].is_askable);
	memset(label, 'x', sizeof(label));
	assert_true(packet_name_is_askable(span_of(label, 63)));
	assert_false(packet_name_is_askable(span_of(label, 64)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_more_than_fit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_ptr, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mx, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_chain_length, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_negative, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_not_for_us, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_every_prefix, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_compression, setup, teardown),
	    cmocka_unit_test(test_askable),
	};

	return cmocka_run_group_tests_name("dns_packet", tests, NULL, NULL);
}
