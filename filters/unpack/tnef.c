#include "filters/unpack/tnef.h"

/* MS-OXTNEF section 2.1.3, MS-OXPROPS. */
enum {
	ATTACH_TITLE = 0x00018010,
	ATTACH_DATA = 0x0006800f,
	ATTACH_PROPERTIES = 0x00069005,
	PROP_DATA = 0x3701,
	PROP_FILENAME = 0x3704,
	PROP_LONG_FILENAME = 0x3707,
	PROP_DISPLAY_NAME = 0x3001,
	PROP_NAMED = 0x8000,
	TYPE_OBJECT = 0x000d,
	TYPE_STRING8 = 0x001e,
	TYPE_UNICODE = 0x001f,
	TYPE_GUID = 0x0048,
	TYPE_BINARY = 0x0102,
	TYPE_MANY = 0x1000
};

static bool
take_u32(struct span *s, uint32_t *out)
{
	const unsigned char *p = (const unsigned char *)s->p;

	if (s->n < 4)
		return false;
	*out = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	*s = span_skip(*s, 4);
	return true;
}

bool
tnef_open(struct span bytes, struct tnef *t)
{
	*t = (struct tnef){.rest = span_skip(bytes, 6)}; /* signature and key */
	return bytes.n >= 6 && span_starts(bytes, SPAN("\x78\x9f\x3e\x22"));
}

/* UTF-16LE to UTF-8, up to the array's end; surrogates one by one as '?'. */
static void
name_from_wide(struct span wide, char to[TNEF_NAME_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < wide.n && n + 4 < TNEF_NAME_MAX; i += 2) {
		unsigned c = (unsigned char)wide.p[i] | (unsigned)(unsigned char)wide.p[i + 1] << 8;

		if (c == 0)
			break;
		if (c >= 0xd800 && c < 0xe000)
			c = '?';
		if (c < 0x80) {
			to[n++] = (char)c;
		} else if (c < 0x800) {
			to[n++] = (char)(0xc0 | c >> 6);
			to[n++] = (char)(0x80 | (c & 0x3f));
		} else {
			to[n++] = (char)(0xe0 | c >> 12);
			to[n++] = (char)(0x80 | (c >> 6 & 0x3f));
			to[n++] = (char)(0x80 | (c & 0x3f));
		}
	}
	to[n] = '\0';
}

/* Bytes of a fixed-size value as it stands in a property list, 0 for the others. */
static size_t
fixed_size(unsigned type)
{
	switch (type) {
	case 0x0002:
	case 0x0003:
	case 0x0004:
	case 0x000a:
	case 0x000b:
		return 4;
	case 0x0005:
	case 0x0006:
	case 0x0007:
	case 0x0014:
	case 0x0040:
		return 8;
	case TYPE_GUID:
		return 16;
	default:
		return 0;
	}
}

/* The name of a named property. */
static bool
skip_property_name(struct span *s)
{
	uint32_t kind, length;

	*s = span_skip(*s, 16);
	if (!take_u32(s, &kind) || !take_u32(s, &length))
		return false;
	if (kind != 0)
		*s = span_skip(*s, ((size_t)length + 3) / 4 * 4);
	return true;
}

/* One property: its first value when it is text or bytes.  False: the list is broken. */
static bool
take_property(struct span *s, unsigned *id, unsigned *type, struct span *value)
{
	uint32_t tag, count = 1, length;
	size_t size;

	*value = (struct span){0};
	if (!take_u32(s, &tag))
		return false;
	*type = tag & 0xffff;
	*id = tag >> 16;
	if (*id >= PROP_NAMED && !skip_property_name(s))
		return false;
	size = fixed_size(*type & ~(unsigned)TYPE_MANY);
	if ((size == 0 || (*type & TYPE_MANY)) && !take_u32(s, &count))
		return false;
	if (size > 0) {
		if (count > s->n / size)
			return false;
		*s = span_skip(*s, count * size);
		return true;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (!take_u32(s, &length) || length > s->n)
			return false;
		if (i == 0)
			*value = span_take(*s, length);
		*s = span_skip(*s, ((size_t)length + 3) / 4 * 4);
	}
	return true;
}

/* The long name, else the file's bytes, of a list of attachment properties. */
static bool
look_into_properties(struct span list, enum tnef_kind kind, struct tnef_item *item, bool *is_broken)
{
	uint32_t count, n = 0;
	unsigned id, type;
	struct span value;
	bool is_found = false;

	if (!take_u32(&list, &count))
		return false;
	for (; n < count && n < TNEF_PROPERTIES_MAX; n++) {
		if (!take_property(&list, &id, &type, &value)) {
			*is_broken = true;
			return is_found;
		}
		if (kind == TNEF_DATA && id == PROP_DATA && value.n > 0) {
			item->bytes = type == TYPE_OBJECT ? span_skip(value, 16) : value;
			is_found = true;
		}
		if (kind == TNEF_DATA || value.n == 0 ||
		    (id != PROP_LONG_FILENAME &&
			((id != PROP_FILENAME && id != PROP_DISPLAY_NAME) || is_found)))
			continue;
		item->name[0] = '\0';
		item->bytes = value;
		if (type == TYPE_UNICODE)
			name_from_wide(value, item->name);
		is_found = true;
	}
	*is_broken |= n < count;
	return is_found;
}

/* The next attribute; returns whether it is an item. */
static bool
take_attribute(struct tnef *t, struct tnef_item *item)
{
	struct span rest = span_skip(t->rest, 1), data; /* the level */
	uint32_t id, length;

	if (!take_u32(&rest, &id) || !take_u32(&rest, &length) || length > rest.n) {
		t->is_broken = true;
		return false;
	}
	data = span_take(rest, length);
	t->rest = span_skip(rest, (size_t)length + 2); /* the check sum */
	*item = (struct tnef_item){.kind = TNEF_NAME, .bytes = data};
	switch (id) {
	case ATTACH_TITLE:
		return true;
	case ATTACH_DATA:
		item->kind = TNEF_DATA;
		return true;
	case ATTACH_PROPERTIES:
		t->properties = data;
		return look_into_properties(data, TNEF_NAME, item, &t->is_broken);
	default:
		return false;
	}
}

bool
tnef_next(struct tnef *t, struct tnef_item *item)
{
	for (;;) {
		struct span list = t->properties;

		t->properties = span_take(list, 0);
		*item = (struct tnef_item){.kind = TNEF_DATA};
		if (list.n > 0 && look_into_properties(list, TNEF_DATA, item, &t->is_broken))
			return true;
		if (t->rest.n == 0 || t->is_broken)
			return false;
		if (take_attribute(t, item))
			return true;
	}
}
