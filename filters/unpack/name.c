#include "filters/unpack/name.h"
#include "relay/base/utf8.h"

/* The code point of a well-formed character of n bytes. */
static uint32_t
code_point(struct span s, size_t n)
{
	static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)s.p[0] & first[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	return c;
}

/* Characters that turn the direction of what follows: they make "exe.txt" of "txt.exe". */
static bool
turns(uint32_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Characters that are not seen. */
static bool
is_invisible(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c},
	    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
	    {0x2028, 0x2029}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
	    {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffc}, {0xe0000, 0xe0fff}};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return turns(c);
}

static bool
is_blank(uint32_t c)
{
	return c == ' ' || c == '\t' || c == 0xa0 || c == 0x1680 || c == 0x3000 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f || c == 0x2800;
}

/* What becomes of full-width letters and odd dots where a name is written in a charset that lacks them; 0: no
 * ASCII. */
static char
best_fit(uint32_t c)
{
	if (c >= 0xff01 && c <= 0xff5e)
		return (char)(c - 0xff01 + '!');
	return c == 0x2024 || c == 0xfe52 ? '.' : '\0';
}

/* Visible characters, every blank as ' ', what has a best fit as that. */
static struct span
without_tricks(struct span name, char to[NAME_BYTES_MAX], bool *is_disguised)
{
	size_t n = 0, blanks = 0;

	while (name.n > 0) {
		size_t length = utf8_length(name);
		uint32_t c = length > 0 ? code_point(name, length) : '?';
		char one;

		if (n + 4 >= NAME_BYTES_MAX) { /* the ending is what matters */
			memmove(to, to + NAME_BYTES_MAX / 2, n - NAME_BYTES_MAX / 2);
			n -= NAME_BYTES_MAX / 2;
		}
		blanks = is_blank(c) ? blanks + 1 : 0;
		*is_disguised |= turns(c) || (length > 0 && c < 0x20 && c != '\t' && c != 0) ||
				 blanks > NAME_BLANKS_MAX;
		one = is_blank(c) ? ' ' : best_fit(c);
		if (one != '\0') {
			to[n++] = one;
		} else if (!is_invisible(c)) {
			memcpy(to + n, name.p, length > 0 ? length : 1);
			n += length > 0 ? length : 1;
		}
		name = span_skip(name, length > 0 ? length : 1);
	}
	return span_of(to, n);
}

/* Behind the last separator, without the dots, blanks and quotes that are not kept at its end. */
static struct span
bare_name(struct span s)
{
	size_t slash = span_rfind(s, '/'), back = span_rfind(s, '\\');

	while (s.n > 0 && strchr(" .\"'/\\:", s.p[s.n - 1]) != NULL && s.p[s.n - 1] != '\0')
		s.n--;
	slash = span_rfind(s, '/');
	if (slash < s.n)
		s = span_skip(s, slash + 1);
	back = span_rfind(s, '\\');
	if (back < s.n)
		s = span_skip(s, back + 1);
	while (s.n > 0 && strchr(" \"'", s.p[0]) != NULL && s.p[0] != '\0')
		s = span_skip(s, 1);
	return s;
}

/* *s stands in `room` already. */
static void
without_forbidden(struct span *s, char room[NAME_BYTES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->p[i] == '\0' || strchr("<>|?*\"", s->p[i]) == NULL)
			room[n++] = s->p[i];
	*s = span_of(room, n);
}

static void
add_form(struct name_forms *out, struct span s)
{
	if (s.n == 0 || out->n == NAME_FORMS_MAX)
		return;
	if (s.n > NAME_BYTES_MAX)
		s = span_skip(s, s.n - NAME_BYTES_MAX);
	for (size_t i = 0; i < out->n; i++)
		if (span_eq(out->forms[i], s))
			return;
	memcpy(out->room[out->n], s.p, s.n);
	out->forms[out->n] = span_of(out->room[out->n], s.n);
	out->n++;
}

void
name_read(struct span name, struct name_forms *out)
{
	char clean[NAME_BYTES_MAX];
	struct span s;

	out->n = 0;
	out->is_disguised = false;
	s = bare_name(without_tricks(name, clean, &out->is_disguised));
	add_form(out, s);
	/* A stream of a file (NTFS): what is before the colon is the file. */
	add_form(out, bare_name(span_take(s, span_find(s, ':'))));
	/* Without what Windows has in no name, as some readers save it. */
	without_forbidden(&s, clean);
	add_form(out, bare_name(s));
	/* Where a NUL ends the name. */
	add_form(out, bare_name(without_tricks(
			  span_take(name, span_find(name, '\0')), clean, &out->is_disguised)));
	add_form(out, name);
}

struct span
name_extension(struct span form)
{
	size_t dot = span_rfind(form, '.');

	return dot < form.n ? span_skip(form, dot + 1) : span_take(form, 0);
}
