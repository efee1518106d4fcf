#include "relay/message/decode.h"
#include "relay/message/charset.h"

void
decode_warm_up(void)
{
	charset_open_all();
}

/* --- base64 and quoted-printable ------------------------------------------------------------- */

enum { SKIP = 64, BAD = 65, PAD = 66 };

/* Value of a base64 digit, or SKIP (blanks, line ends), PAD or BAD. */
static const unsigned char *
base64_table(void)
{
	static unsigned char table[256];
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (table[(unsigned char)'='] == PAD)
		return table;
	memset(table, BAD, sizeof(table));
	for (unsigned i = 0; i < 64; i++)
		table[(unsigned char)digits[i]] = (unsigned char)i;
	table[' '] = table['\t'] = table['\r'] = table['\n'] = SKIP;
	table['='] = PAD;
	return table;
}

size_t
decode_base64_room(size_t n)
{
	return n / 4 * 3 + 3;
}

/* The bytes of an unfinished group of `have` digits (2 or 3); a single digit is none. */
static size_t
finish_group(uint32_t group, unsigned have, char *to)
{
	if (have < 2)
		return 0;
	group <<= 6 * (4 - have);
	to[0] = (char)(group >> 16);
	if (have == 3)
		to[1] = (char)(group >> 8);
	return have - 1;
}

size_t
decode_base64(struct span in, char *to, bool *is_bad)
{
	const unsigned char *table = base64_table(), *p = (const unsigned char *)in.p;
	uint32_t group = 0;
	unsigned have = 0, pads = 0;
	size_t n = 0;
	bool is_padded = false;

	for (size_t i = 0; i < in.n; i++) {
		unsigned char value = table[p[i]];

		if (value < 64) {
			*is_bad |= is_padded;
			group = group << 6 | value;
			if (++have < 4)
				continue;
			to[n++] = (char)(group >> 16);
			to[n++] = (char)(group >> 8);
			to[n++] = (char)group;
			have = 0;
			group = 0;
		} else if (value == PAD) {
			*is_bad |= have == 1 || (have == 0 && (!is_padded || pads > 1));
			pads = have > 0 ? 1 : pads + 1;
			n += finish_group(group, have, to + n);
			have = 0;
			group = 0;
			is_padded = true;
		} else if (value == BAD) {
			*is_bad = true;
		}
	}
	*is_bad |= have > 0;
	return n + finish_group(group, have, to + n);
}

bool
decode_base64_is_ragged(struct span in)
{
	bool was_ragged = false;

	in = span_trim(in);
	while (in.n > 0) {
		struct span line = span_trim(span_cut(&in, '\n'));

		if (was_ragged && line.n > 0)
			return true;
		was_ragged |= line.n % 4 != 0;
	}
	return false;
}

/* What of `in` a way looks at, in `scratch`. */
static size_t
pick_bytes(struct span in, enum base64_way way, char *scratch)
{
	const unsigned char *table = base64_table();
	size_t n = 0, line = 0, digits = 0;
	bool is_garbled = false;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		unsigned char value = table[(unsigned char)c];

		if (way == BASE64_URL && (c == '-' || c == '_'))
			c = c == '-' ? '+' : '/';
		if ((way == BASE64_TO_PAD && value == PAD) ||
		    (way == BASE64_TO_GARBAGE && value == BAD))
			break;
		if (way == BASE64_WITHOUT_PADS && value == PAD)
			continue;
		digits += value < 64;
		is_garbled |= value == BAD;
		if (c == '\n') {
			/* A pad in place of the line end closes an unfinished group. */
			if (way == BASE64_LINES && digits % 4 != 0)
				c = '=';
			if (way == BASE64_GOOD_LINES && is_garbled)
				n = line;
			is_garbled = false;
			digits = 0;
			scratch[n++] = c;
			line = n;
			continue;
		}
		scratch[n++] = c;
	}
	return way == BASE64_GOOD_LINES && is_garbled ? line : n;
}

size_t
decode_base64_as(struct span in, enum base64_way way, char *scratch, char *to)
{
	bool is_bad = false;

	return decode_base64(span_of(scratch, pick_bytes(in, way, scratch)), to, &is_bad);
}

/* The byte of two hexadecimal digits at `at`, -1 when there are none. */
static int
hex_pair(struct span s, size_t at)
{
	int high, low;

	if (at + 1 >= s.n)
		return -1;
	high = char_hex(s.p[at]);
	low = char_hex(s.p[at + 1]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Bytes of a soft line break behind its '=', blanks before the line end included; 0: none. */
static size_t
soft_break(struct span s)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' || s.p[i] == '\r'))
		i++;
	if (i < s.n)
		return s.p[i] == '\n' ? i + 1 : 0;
	return i;
}

static size_t
decode_quoted(struct span in, char *to, bool keeps_broken, bool *is_bad)
{
	size_t n = 0, solid = 0; /* solid: what trailing blanks must not be cut from */

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		int byte;
		size_t end;

		if (c == ' ' || c == '\t' || c == '\r') {
			to[n++] = c;
			continue;
		}
		if (c == '\n') {
			bool has_cr = i > 0 && in.p[i - 1] == '\r';

			n = solid;
			if (has_cr)
				to[n++] = '\r';
			to[n++] = '\n';
		} else if (c != '=') {
			to[n++] = c;
		} else if ((byte = hex_pair(in, i + 1)) >= 0) {
			to[n++] = (char)byte;
			i += 2;
		} else {
			end = soft_break(span_skip(in, i + 1));
			if (end == 0 && i + 1 < in.n) {
				*is_bad = true;
				if (keeps_broken)
					to[n++] = '=';
			}
			i += end;
		}
		solid = n;
	}
	return n;
}

size_t
decode_quoted_printable(struct span in, char *to, bool *is_bad)
{
	return decode_quoted(in, to, true, is_bad);
}

size_t
decode_quoted_printable_strict(struct span in, char *to)
{
	bool is_bad = false;

	return decode_quoted(in, to, false, &is_bad);
}

/* RFC 2047 section 4.2: as quoted-printable, '_' is a blank, no line ends. */
static void
decode_q_word(struct span in, struct buf *to)
{
	for (size_t i = 0; i < in.n; i++) {
		int byte = in.p[i] == '=' ? hex_pair(in, i + 1) : -1;

		if (byte >= 0)
			i += 2;
		else
			byte = in.p[i] == '_' ? ' ' : (unsigned char)in.p[i];
		(void)buf_add_char(to, (char)byte); /* bounded by its max: cut */
	}
}

/* --- encoded words --------------------------------------------------------------------------- */

struct word {
	struct span charset, text;
	bool is_base64;
	size_t length; /* of the whole "=?…?=" */
};

/* An encoded word at the start of s.  Scans to the third '?' at most, so a row of broken ones is
 * read once. */
static bool
word_at(struct span s, struct word *w)
{
	struct span rest = span_skip(s, 2);
	size_t n;
	char kind;

	if (!span_starts(s, SPAN("=?")))
		return false;
	n = span_find(span_take(rest, CHARSET_NAME_MAX + 1), '?');
	if (n == 0 || n > CHARSET_NAME_MAX || n >= rest.n)
		return false;
	w->charset = span_take(rest, n);
	w->charset = span_take(w->charset, span_find(w->charset, '*')); /* RFC 2231: language */
	rest = span_skip(rest, n + 1);
	kind = rest.n >= 2 && rest.p[1] == '?' ? char_lower(rest.p[0]) : '\0';
	if (kind != 'b' && kind != 'q')
		return false;
	w->is_base64 = kind == 'b';
	rest = span_skip(rest, 2);
	n = span_find(rest, '?');
	if (n + 1 >= rest.n || rest.p[n + 1] != '=')
		return false;
	w->text = span_take(rest, n);
	w->length = (size_t)(rest.p + n + 2 - s.p);
	return true;
}

static void
word_add_raw(const struct word *w, struct buf *raw)
{
	bool is_bad = false;
	char *room;

	if (!w->is_base64) {
		decode_q_word(w->text, raw);
		return;
	}
	room = buf_room(raw, decode_base64_room(w->text.n));
	if (room != NULL)
		raw->n += decode_base64(w->text, room, &is_bad);
}

/* What a word decodes to must not break the line that it is shown in. */
static void
blank_line_ends(struct buf *raw)
{
	for (size_t i = 0; i < raw->n; i++)
		if (raw->p[i] == '\r' || raw->p[i] == '\n')
			raw->p[i] = ' ';
}

static void
add_plain(struct span text, struct buf *to)
{
	while (text.n > 0) {
		size_t n = 0;

		while (n < text.n && text.p[n] != '\r' && text.p[n] != '\n')
			n++;
		(void)charset_to_utf8(SPAN("utf-8"), span_take(text, n), to);
		text = span_skip(text, n + 1);
	}
}

/* The words at the start of `in` that belong together; returns the bytes taken. */
static size_t
take_words(struct span in, struct word first, struct buf *to)
{
	struct buf raw = BUF_INIT(in.n + 8);
	struct word next = first;
	size_t used = 0, gap = 0;
	bool is_wide = span_starts_nocase(first.charset, SPAN("utf-16")) ||
		       span_starts_nocase(first.charset, SPAN("utf-32"));

	do {
		word_add_raw(&next, &raw);
		used += gap + next.length;
		gap = 0;
		while (used + gap < in.n && strchr(" \t\r\n", in.p[used + gap]) != NULL &&
		       in.p[used + gap] != '\0')
			gap++;
	} while (word_at(span_skip(in, used + gap), &next) &&
		 span_eq_nocase(next.charset, first.charset));
	if (!is_wide)
		blank_line_ends(&raw);
	(void)charset_to_utf8(first.charset, buf_span(&raw), to);
	buf_free(&raw);
	/* Blanks between two words are no text, of whatever charset the second is. */
	return word_at(span_skip(in, used + gap), &next) ? used + gap : used;
}

void
decode_words(struct span in, struct buf *to)
{
	size_t from = 0, at = 0;
	struct word w;

	while (at < in.n && to->n < to->max) {
		at += span_find(span_skip(in, at), '=');
		if (!word_at(span_skip(in, at), &w)) {
			at++;
			continue;
		}
		add_plain(span_of(in.p + from, at - from), to);
		at += take_words(span_skip(in, at), w, to);
		from = at;
	}
	add_plain(span_skip(in, from), to);
}
