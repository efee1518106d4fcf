#include "relay/message/cms.h"

/* X.690: identifier octets as they stand in these structures. */
enum {
	TAG_END = 0x00,
	TAG_OCTETS = 0x04,
	TAG_OCTETS_PIECES = 0x24,
	TAG_OID = 0x06,
	TAG_SEQUENCE = 0x30,
	TAG_SET = 0x31,
	TAG_INTEGER = 0x02,
	TAG_EXPLICIT = 0xa0, /* [0] */
	TAG_LONG = 0x1f,     /* a number that does not fit: nothing here has one */
	LENGTH_MAX_BYTES = 4
};

struct value {
	unsigned tag;
	bool is_endless; /* an end mark follows its content, which is all of the rest till then */
	struct span content; /* cut to what is there */
};

/* The value at the start of s, which moves behind its identifier and length. */
static bool
take_head(struct span *s, struct value *v)
{
	size_t n = 0, bytes;

	if (s->n < 2)
		return false;
	v->tag = (unsigned char)s->p[0];
	bytes = (unsigned char)s->p[1];
	*s = span_skip(*s, 2);
	v->is_endless = bytes == 0x80;
	v->content = *s;
	if (v->is_endless || (v->tag & TAG_LONG) == TAG_LONG)
		return (v->tag & TAG_LONG) != TAG_LONG;
	if (bytes < 0x80) {
		v->content = span_take(*s, bytes);
		return true;
	}
	bytes &= 0x7f;
	if (bytes > LENGTH_MAX_BYTES || bytes > s->n)
		return false;
	for (size_t i = 0; i < bytes; i++)
		n = n << 8 | (unsigned char)s->p[i];
	*s = span_skip(*s, bytes);
	v->content = span_take(*s, n);
	return true;
}

/* Behind a value whose head has been taken; nested values without a length are counted. */
static bool
skip_content(struct span *s, const struct value *v)
{
	size_t open = v->is_endless;
	struct value inner;

	if (!v->is_endless)
		*s = span_skip(*s, v->content.n);
	while (open > 0) {
		if (!take_head(s, &inner))
			return false;
		if (inner.tag == TAG_END && inner.content.n == 0)
			open--;
		else if (inner.is_endless)
			open++;
		else
			*s = span_skip(*s, inner.content.n);
	}
	return true;
}

/* Into a value of this tag: what is in it becomes *s. */
static bool
enter(struct span *s, unsigned tag)
{
	struct value v;

	if (!take_head(s, &v) || v.tag != tag)
		return false;
	*s = v.content;
	return true;
}

static bool
skip(struct span *s, unsigned tag)
{
	struct value v;

	return take_head(s, &v) && v.tag == tag && skip_content(s, &v);
}

static bool
skip_this_oid(struct span *s, struct span oid)
{
	struct value v;

	return take_head(s, &v) && v.tag == TAG_OID && !v.is_endless && span_eq(v.content, oid) &&
	       skip_content(s, &v);
}

/* Into the ContentInfo, up to what its type says of the content. */
static bool
enter_signed_data(struct span *s)
{
	static const struct span signed_data = {"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", 9};

	return enter(s, TAG_SEQUENCE) && skip_this_oid(s, signed_data);
}

bool
cms_is_one(struct span bytes)
{
	return enter_signed_data(&bytes);
}

size_t
cms_content(struct span bytes, char *to)
{
	struct span s = bytes;
	size_t n = 0, open = 0;
	struct value v;

	if (!enter_signed_data(&s) || !enter(&s, TAG_EXPLICIT) || !enter(&s, TAG_SEQUENCE) ||
	    !skip(&s, TAG_INTEGER) || !skip(&s, TAG_SET) || !enter(&s, TAG_SEQUENCE) ||
	    !skip(&s, TAG_OID) || !enter(&s, TAG_EXPLICIT))
		return 0;
	/* One string, or pieces of one in pieces: they follow each other, whatever is around them. */
	while (take_head(&s, &v)) {
		if (v.tag == TAG_OCTETS && !v.is_endless) {
			memcpy(to + n, v.content.p, v.content.n);
			n += v.content.n;
			s = span_skip(s, v.content.n);
			if (open == 0)
				break;
		} else if (v.tag == TAG_OCTETS_PIECES) {
			if (open == 0)
				s = v.content;
			open += v.is_endless || open == 0;
		} else if (v.tag != TAG_END || v.content.n > 0 || open-- <= 1) {
			break;
		}
	}
	return n;
}
