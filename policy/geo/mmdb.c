#include "policy/geo/mmdb.h"

enum {
	TYPE_EXTENDED = 0,
	TYPE_POINTER = 1,
	TYPE_TEXT = 2,
	TYPE_DOUBLE = 3,
	TYPE_U16 = 5,
	TYPE_U32 = 6,
	TYPE_MAP = 7,
	TYPE_U64 = 9,
	TYPE_ARRAY = 11,
	TYPE_BOOL = 14,
	TYPE_FLOAT = 15,
	EXTENDED_BASE = 7,
	GAP = 16, /* zero bytes between tree and data */
	V4_START_BITS = 96,
	ADDRESS_BITS = 128
};

/* What a value is.  Of a map and an array `size` counts members, and `at` is the first; of all else
 * it counts bytes. */
struct field {
	unsigned type;
	size_t size;
	size_t at;
};

static unsigned
byte_at(struct span s, size_t at)
{
	return (unsigned char)s.p[at];
}

static uint64_t
number_at(struct span s, size_t at, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | byte_at(s, at + i);
	return v;
}

/* A control byte's size with the bytes behind it. */
static bool
read_size(struct span data, unsigned control, size_t *at, size_t *size)
{
	static const size_t base[] = {29, 29 + 256, 29 + 256 + 65536};
	size_t n = control & 0x1f;

	*size = n;
	if (n < 29)
		return true;
	n -= 28;
	if (data.n - *at < n)
		return false;
	*size = base[n - 1] + (size_t)number_at(data, *at, n);
	*at += n;
	return true;
}

static bool
read_pointer(struct span data, unsigned control, size_t *at, size_t *to)
{
	static const size_t base[] = {0, 2048, 2048 + 524288, 0};
	unsigned kind = control >> 3 & 3;
	size_t n = kind + 1;

	if (data.n - *at < n)
		return false;
	*to = (size_t)number_at(data, *at, n) + base[kind];
	if (kind < 3)
		*to += (size_t)(control & 7) << (8 * n);
	*at += n;
	return true;
}

/* The field at *at, which moves behind its head and, but for maps and arrays, its bytes. */
static bool
read_field(struct span data, size_t *at, struct field *f)
{
	unsigned control;

	if (*at >= data.n)
		return false;
	control = byte_at(data, (*at)++);
	f->type = control >> 5;
	if (f->type == TYPE_POINTER)
		return read_pointer(data, control, at, &f->at);
	if (f->type == TYPE_EXTENDED) {
		if (*at >= data.n)
			return false;
		f->type = EXTENDED_BASE + byte_at(data, (*at)++);
	}
	if (!read_size(data, control, at, &f->size))
		return false;
	f->at = *at;
	if (f->type == TYPE_MAP || f->type == TYPE_ARRAY || f->type == TYPE_BOOL)
		return true;
	if (f->size > data.n - *at)
		return false;
	*at += f->size;
	return true;
}

/* Behind the field and all that is in it; pointers are not followed, so this is linear. */
static bool
skip_field(struct span data, size_t *at, unsigned depth)
{
	struct field f;
	size_t members;

	if (depth > MMDB_DEPTH_MAX || !read_field(data, at, &f))
		return false;
	members = f.type == TYPE_MAP ? f.size * 2 : f.type == TYPE_ARRAY ? f.size : 0;
	for (; members > 0; members--)
		if (!skip_field(data, at, depth + 1))
			return false;
	return true;
}

/* As read_field, through a pointer: where that leads to no other may stand. */
static bool
read_value(struct span data, size_t *at, struct field *f)
{
	size_t target;

	if (!read_field(data, at, f))
		return false;
	if (f->type != TYPE_POINTER)
		return true;
	target = f->at;
	return read_field(data, &target, f) && f->type != TYPE_POINTER;
}

/* The member of a map; false: it has none of this name, or is broken. */
static bool
find_member(struct span data, const struct field *map, struct span name, struct field *out)
{
	size_t at = map->at;

	if (map->type != TYPE_MAP)
		return false;
	for (size_t i = 0; i < map->size; i++) {
		struct field key;

		if (!read_value(data, &at, &key) || key.type != TYPE_TEXT)
			return false;
		if (span_eq(span_of(data.p + key.at, key.size), name))
			return read_value(data, &at, out);
		if (!skip_field(data, &at, 0))
			return false;
	}
	return false;
}

static uint64_t
number_of(struct span data, const struct field *map, const char *name)
{
	struct field f;

	if (!find_member(data, map, span_str(name), &f) ||
	    (f.type != TYPE_U16 && f.type != TYPE_U32 && f.type != TYPE_U64) || f.size > 8)
		return 0;
	return number_at(data, f.at, f.size);
}

static struct span
find_metadata(struct span bytes)
{
	static const char mark[] = "\xab\xcd\xef"
				   "MaxMind.com";
	size_t n = sizeof(mark) - 1,
	       least = bytes.n > MMDB_METADATA_MAX ? bytes.n - MMDB_METADATA_MAX : 0;

	for (size_t at = bytes.n >= n ? bytes.n - n + 1 : 0; at > least; at--)
		if (memcmp(bytes.p + at - 1, mark, n) == 0)
			return span_skip(bytes, at - 1 + n);
	return (struct span){0};
}

int
mmdb_open(struct mmdb *db, struct span bytes, struct err *err)
{
	struct span metadata = find_metadata(bytes);
	uint64_t nodes, bits, size;
	struct field map;
	size_t at = 0;

	*db = (struct mmdb){0};
	if (metadata.n == 0 || !read_field(metadata, &at, &map) || map.type != TYPE_MAP)
		return err_set(err, E_SYNTAX, "not a MaxMind DB (.mmdb)");
	nodes = number_of(metadata, &map, "node_count");
	bits = number_of(metadata, &map, "record_size");
	if (number_of(metadata, &map, "binary_format_major_version") != 2 ||
	    (bits != 24 && bits != 28 && bits != 32))
		return err_set(err, E_SYNTAX, "a MaxMind DB of another format than 2.x");
	size = nodes * (bits / 4); /* two records a node */
	if (nodes == 0 || nodes > MMDB_MAX || size + GAP > bytes.n - metadata.n)
		return err_set(err, E_SYNTAX, "a MaxMind DB that is cut short");
	db->tree = span_take(bytes, (size_t)size);
	db->data = span_skip(bytes, (size_t)size + GAP);
	db->node_count = (uint32_t)nodes;
	db->record_bits = (unsigned)bits;
	db->is_v6 = number_of(metadata, &map, "ip_version") == 6;
	return 0;
}

static uint32_t
record(const struct mmdb *db, uint32_t node, unsigned side)
{
	size_t width = db->record_bits / 4, at = node * width;

	switch (db->record_bits) {
	case 24:
		return (uint32_t)number_at(db->tree, at + side * 3, 3);
	case 28: /* the middle byte holds the highest four bits of both */
		return (uint32_t)number_at(db->tree, at + side * 4, 3) |
		       (byte_at(db->tree, at + 3) >> (side == 0 ? 4 : 0) & 0xf) << 24;
	default:
		return (uint32_t)number_at(db->tree, at + side * 4, 4);
	}
}

/* The address's entry; false: there is none. */
static bool
find_entry(const struct mmdb *db, const struct ip *ip, struct field *out)
{
	uint32_t node = 0;
	unsigned bit = ip_is_v4(ip) ? V4_START_BITS : 0;
	size_t at;

	if (db->node_count == 0 || (!db->is_v6 && bit == 0))
		return false;
	/* In a tree for IPv6, IPv4 stands below 96 zeros. */
	for (unsigned i = 0; db->is_v6 && i < bit && node < db->node_count; i++)
		node = record(db, node, 0);
	for (; bit < ADDRESS_BITS && node < db->node_count; bit++)
		node = record(db, node, (unsigned)ip->bytes[bit / 8] >> (7 - bit % 8) & 1);
	if (node < db->node_count + (uint64_t)GAP)
		return false;
	at = node - db->node_count - GAP;
	return read_value(db->data, &at, out);
}

static struct span
text_of(const struct mmdb *db, const struct field *map, const char *name)
{
	struct field f;

	if (!find_member(db->data, map, span_str(name), &f) || f.type != TYPE_TEXT)
		return (struct span){0};
	return span_of(db->data.p + f.at, f.size);
}

static struct span
country_of(const struct mmdb *db, const struct field *entry, const char *name)
{
	struct field country;

	return find_member(db->data, entry, span_str(name), &country)
		   ? text_of(db, &country, "iso_code")
		   : (struct span){0};
}

struct span
mmdb_country(const struct mmdb *db, const struct ip *ip)
{
	struct field entry;
	struct span code;

	if (!find_entry(db, ip, &entry))
		return (struct span){0};
	code = country_of(db, &entry, "country");
	if (code.n == 0)
		code = country_of(db, &entry, "registered_country");
	if (code.n == 0)
		code = text_of(db, &entry, "country_code");
	return code.n == MMDB_COUNTRY_MAX ? code : (struct span){0};
}

uint32_t
mmdb_asn(const struct mmdb *db, const struct ip *ip)
{
	struct field entry;
	uint64_t number;

	if (!find_entry(db, ip, &entry))
		return 0;
	number = number_of(db->data, &entry, "autonomous_system_number");
	return number <= UINT32_MAX ? (uint32_t)number : 0;
}
