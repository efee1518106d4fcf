#include "relay/lookup/packet.h"
#include "relay/base/err.h"

enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_PTR = 12,
	TYPE_MX = 15,
	TYPE_AAAA = 28,
	CLASS_IN = 1,
	RCODE_NXDOMAIN = 3,
	HEADER_BYTES = 12,
	LABEL_MAX = 63,
	WIRE_NAME_MAX = 255,
	PREFERENCE_BYTES = 2,
	NAME_TEXT_MAX = 4 * WIRE_NAME_MAX /* every byte as \DDD */
};

/* A name in the text form of RFC 1035 section 5.1, so that names with odd bytes compare too. */
struct name {
	char text[NAME_TEXT_MAX + 1];
	size_t n;
	bool is_odd; /* has bytes that no host name has */
};

/* A reading place in the packet; `failed` is sticky. */
struct cursor {
	struct span packet;
	size_t at;
	bool failed;
};

struct header {
	uint16_t flags;
	size_t n_questions, n_answers, n_authority;
};

struct record {
	struct name owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data_at, data_n;
};

static unsigned
byte_at(const struct cursor *c, size_t at)
{
	return (unsigned char)c->packet.p[at];
}

static bool
has_room(struct cursor *c, size_t n)
{
	if (c->failed || c->packet.n - c->at < n)
		c->failed = true;
	return !c->failed;
}

static uint16_t
read_u16(struct cursor *c)
{
	unsigned value;

	if (!has_room(c, 2))
		return 0;
	value = byte_at(c, c->at) << 8 | byte_at(c, c->at + 1);
	c->at += 2;
	return (uint16_t)value;
}

static uint32_t
read_u32(struct cursor *c)
{
	uint32_t high = read_u16(c);

	return high << 16 | read_u16(c);
}

static void
add_name_byte(struct name *name, unsigned byte)
{
	static const char digits[] = "0123456789";

	if (byte > 0x20 && byte < 0x7f && byte != '.' && byte != '\\') {
		name->text[name->n++] = (char)byte;
		return;
	}
	name->is_odd = true;
	name->text[name->n++] = '\\';
	name->text[name->n++] = digits[byte / 100];
	name->text[name->n++] = digits[byte / 10 % 10];
	name->text[name->n++] = digits[byte % 10];
}

/* One label at c->at, its length byte `n` already read; false: too long in all. */
static bool
add_label(struct cursor *c, size_t n, struct name *name, size_t *wire_n)
{
	*wire_n += n + 1;
	if (*wire_n + 1 > WIRE_NAME_MAX || !has_room(c, n))
		return false;
	if (name->n > 0)
		name->text[name->n++] = '.';
	for (size_t i = 0; i < n; i++)
		add_name_byte(name, byte_at(c, c->at + i));
	c->at += n;
	return true;
}

/*
 * A name with compression (RFC 1035 section 4.1.4).  A pointer must point before the place where
 * its own piece of the name began, so every hop goes back and a loop is impossible; the count of
 * hops is bounded besides.
 */
static void
read_name(struct cursor *c, struct name *name)
{
	struct cursor walk = *c;
	size_t piece_at = c->at, wire_n = 0, behind = 0;
	unsigned n_hops = 0;

	*name = (struct name){.n = 0};
	while (has_room(&walk, 1)) {
		unsigned n = byte_at(&walk, walk.at++);

		if (n == 0) {
			c->at = n_hops > 0 ? behind : walk.at;
			name->text[name->n] = '\0';
			return;
		}
		if (n <= LABEL_MAX) {
			if (!add_label(&walk, n, name, &wire_n))
				break;
			continue;
		}
		if (n < 0xc0 || !has_room(&walk, 1) || ++n_hops > PACKET_HOPS_MAX)
			break;
		if (n_hops == 1)
			behind = walk.at + 1;
		n = (n & 0x3f) << 8 | byte_at(&walk, walk.at);
		if (n >= piece_at)
			break;
		walk.at = piece_at = n;
	}
	c->failed = true;
}

static void
read_record(struct cursor *c, struct record *r)
{
	read_name(c, &r->owner);
	r->type = read_u16(c);
	r->class = read_u16(c);
	r->ttl_s = read_u32(c);
	r->data_n = read_u16(c);
	if (r->ttl_s > INT32_MAX)
		r->ttl_s = 0; /* RFC 2181 section 8 */
	r->data_at = c->at;
	if (has_room(c, r->data_n))
		c->at += r->data_n;
}

static bool
name_is(const struct name *name, const struct name *other)
{
	return span_eq_nocase(span_of(name->text, name->n), span_of(other->text, other->n));
}

static uint32_t
smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The name that fills the data of `r` behind its first `skip` bytes exactly; false: the record is
 * malformed. */
static bool
data_name(const struct cursor *c, const struct record *r, size_t skip, struct name *name)
{
	struct cursor data = {.packet = c->packet, .at = r->data_at + skip};

	if (r->data_n < skip)
		return false;
	read_name(&data, name);
	return !data.failed && data.at == r->data_at + r->data_n;
}

/* If a CNAME of `target` is among the answers, moves target and TTL on: 1; 0: none. */
static int
follow_once(struct cursor c, const struct header *hdr, struct name *target, struct dns_answer *out)
{
	struct record r;

	for (size_t i = 0; i < hdr->n_answers; i++) {
		read_record(&c, &r);
		if (c.failed)
			return -E_CORRUPT;
		if (r.type != TYPE_CNAME || r.class != CLASS_IN || !name_is(&r.owner, target))
			continue;
		out->ttl_s = smaller(out->ttl_s, r.ttl_s);
		return data_name(&c, &r, 0, target) ? 1 : -E_CORRUPT;
	}
	return 0;
}

static int
follow_chain(struct cursor c, const struct header *hdr, struct name *target, struct dns_answer *out)
{
	int more = 1;

	for (size_t i = 0; i <= PACKET_CHAIN_MAX && more == 1; i++)
		more = follow_once(c, hdr, target, out);
	return more == 1 ? -E_CORRUPT : more; /* longer than any honest chain, or a ring */
}

static int
add_record(
    const struct cursor *c, const struct record *r, enum dns_type type, struct dns_answer *out)
{
	const char *data = c->packet.p + r->data_at;
	struct name name;

	if (type == DNS_PTR || type == DNS_MX) {
		if (!data_name(c, r, type == DNS_MX ? PREFERENCE_BYTES : 0, &name))
			return -E_CORRUPT;
		if (type == DNS_MX && name.n == 0) {
			name.text[name.n++] = '.';
			name.text[name.n] = '\0';
		}
		/* A name with blanks, dots or controls inside its labels is no host's. */
		if (name.is_odd || name.n == 0 || name.n > LOOKUP_NAME_MAX ||
		    out->n_names == LOOKUP_NAMES_MAX)
			return 0;
		memcpy(out->names[out->n_names++], name.text, name.n + 1);
		return 0;
	}
	if (r->data_n != (type == DNS_A ? 4u : 16u))
		return -E_CORRUPT;
	if (out->n_addresses == LOOKUP_RECORDS_MAX)
		return 0;
	if (type == DNS_A) {
		struct ip ip = {{[10] = 0xff, [11] = 0xff}};

		memcpy(ip.bytes + 12, data, 4);
		out->addresses[out->n_addresses++] = ip;
	} else {
		memcpy(out->addresses[out->n_addresses++].bytes, data, 16);
	}
	return 0;
}

/* All records of the asked type at `target`; c ends behind the answers. */
static int
read_answers(struct cursor *c, const struct header *hdr, enum dns_type type,
    const struct name *target, struct dns_answer *out)
{
	struct record r;
	int rc = 0;

	for (size_t i = 0; i < hdr->n_answers && rc == 0; i++) {
		read_record(c, &r);
		if (c->failed)
			return -E_CORRUPT;
		if (r.type != packet_type_number(type) || r.class != CLASS_IN ||
		    !name_is(&r.owner, target))
			continue;
		out->ttl_s = smaller(out->ttl_s, r.ttl_s);
		rc = add_record(c, &r, type, out);
	}
	return rc;
}

/* The negative TTL (RFC 2308 section 5): the smaller of the SOA's own and its minimum. */
static int
read_authority(
    struct cursor *c, const struct header *hdr, bool *has_soa, bool *has_ns, uint32_t *ttl_s)
{
	struct record r;
	struct name skipped;

	*has_soa = *has_ns = false;
	for (size_t i = 0; i < hdr->n_authority; i++) {
		struct cursor data;

		read_record(c, &r);
		if (c->failed)
			return -E_CORRUPT;
		*has_ns = *has_ns || r.type == TYPE_NS;
		if (r.type != TYPE_SOA || r.class != CLASS_IN || *has_soa)
			continue;
		data = (struct cursor){.packet = c->packet, .at = r.data_at};
		read_name(&data, &skipped); /* MNAME */
		read_name(&data, &skipped); /* RNAME */
		for (int k = 0; k < 4; k++)
			(void)read_u32(&data); /* SERIAL REFRESH RETRY EXPIRE: not wanted */
		*ttl_s = smaller(r.ttl_s, read_u32(&data));
		if (data.failed || data.at != r.data_at + r.data_n)
			return -E_CORRUPT;
		*has_soa = true;
	}
	return 0;
}

static int
settle_negative(struct cursor *c, const struct header *hdr, struct dns_answer *out)
{
	uint32_t ttl_s = 0;
	bool has_soa, has_ns;
	bool is_authoritative = hdr->flags & 0x0400;

	if (read_authority(c, hdr, &has_soa, &has_ns, &ttl_s) < 0)
		return -E_CORRUPT;
	/* A referral (RFC 2308 section 2.2.1): the server does not know and says who might. */
	if ((hdr->flags & 0x0f) == 0 && hdr->n_answers == 0 && has_ns && !has_soa &&
	    !is_authoritative) {
		out->ttl_s = 0;
		out->status = DNS_FAILED;
		return 0;
	}
	out->status = DNS_NONE;
	out->is_nxdomain = (hdr->flags & 0x0f) == RCODE_NXDOMAIN;
	out->has_soa = has_soa;
	out->ttl_s = has_soa ? smaller(out->ttl_s, ttl_s) : 0;
	return 0;
}

static void
read_header(struct cursor *c, struct header *hdr)
{
	(void)read_u16(c); /* the id was c-ares's to compare */
	hdr->flags = read_u16(c);
	hdr->n_questions = read_u16(c);
	hdr->n_answers = read_u16(c);
	hdr->n_authority = read_u16(c);
	(void)read_u16(c); /* additional records are never looked at */
}

/* The question comes back as it was asked, or the answer is not for us. */
static bool
is_answer_to(
    struct cursor *c, const struct header *hdr, const struct dns_question *q, struct name *asked)
{
	uint16_t type, class;

	if (c->failed || !(hdr->flags & 0x8000) || (hdr->flags & 0x7800) != 0 ||
	    hdr->n_questions != 1 || hdr->n_answers + hdr->n_authority > PACKET_RECORDS_MAX)
		return false;
	read_name(c, asked);
	type = read_u16(c);
	class = read_u16(c);
	return !c->failed && type == packet_type_number(q->type) && class == CLASS_IN &&
	       span_eq_nocase(span_of(asked->text, asked->n), q->name);
}

static int
read_body(struct cursor *c, const struct header *hdr, const struct dns_question *q,
    struct name *target, struct dns_answer *out)
{
	int rc;

	out->ttl_s = INT32_MAX;
	rc = follow_chain(*c, hdr, target, out);
	if (rc == 0)
		rc = read_answers(c, hdr, q->type, target, out);
	if (rc < 0)
		return rc;
	if (out->n_addresses + out->n_names > 0) {
		out->status = DNS_FOUND;
		return 0;
	}
	return settle_negative(c, hdr, out);
}

static void
set_failed(struct dns_answer *out)
{
	out->status = DNS_FAILED;
	out->is_nxdomain = out->has_soa = false;
	out->ttl_s = 0;
	out->proof = DNS_PROOF_NONE;
	out->n_addresses = out->n_names = 0;
}

int
packet_read(struct span packet, const struct dns_question *q, struct dns_answer *out)
{
	struct cursor c = {.packet = packet};
	struct header hdr;
	struct name target;
	unsigned rcode;
	int rc;

	set_failed(out);
	if (packet.n < HEADER_BYTES || packet.n > PACKET_MAX)
		return -E_CORRUPT;
	read_header(&c, &hdr);
	if (!is_answer_to(&c, &hdr, q, &target))
		return -E_CORRUPT;
	if (hdr.flags & 0x0200)
		return -E_LIMIT;
	rcode = hdr.flags & 0x0f;
	if (rcode != 0 && rcode != RCODE_NXDOMAIN)
		return 0;
	rc = read_body(&c, &hdr, q, &target, out);
	if (rc < 0)
		set_failed(out);
	return rc;
}

bool
packet_name_is_askable(struct span name)
{
	size_t label_n = 0;

	if (name.n == 0 || name.n > LOOKUP_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= 0x20 || c >= 0x7f || c == '\\')
			return false;
		label_n = c == '.' ? 0 : label_n + 1;
		if ((c == '.' && (i == 0 || name.p[i - 1] == '.')) || label_n > LABEL_MAX)
			return false;
	}
	return label_n > 0;
}

uint16_t
packet_type_number(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return TYPE_A;
	case DNS_AAAA:
		return TYPE_AAAA;
	case DNS_PTR:
		return TYPE_PTR;
	case DNS_MX:
		return TYPE_MX;
	}
	must_failed("type is a dns_type", __FILE__, __LINE__);
}
