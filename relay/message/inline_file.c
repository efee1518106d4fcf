#include "relay/message/inline_file.h"
#include "relay/message/decode.h"

enum {
	YENC_SHIFT = 42,
	YENC_ESCAPED = 64,
	UU_SUM_MAX = 2,   /* digits of a sum that some write behind a line */
	UU_BLANKS_MAX = 8 /* at a line's end that are lost on the way, being zeros */
};

static struct span
line_at(struct span text, size_t at)
{
	struct span rest = span_skip(text, at);

	return span_take(rest, span_find(rest, '\n') + 1);
}

/* Whether a line has the form of uuencode's data: as many digits as its first one says, blanks at the end
 * or a sum behind them aside. */
static bool
is_uu_line(struct span line)
{
	size_t want;

	line = span_chomp(line);
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < ' ' || line.p[i] > '`')
			return false;
	if (line.n < 2 || line.p[0] == ' ' || line.p[0] == '`')
		return false;
	want = ((size_t)(unsigned char)line.p[0] - 32 + 2) / 3 * 4;
	return line.n - 1 <= want + UU_SUM_MAX && line.n - 1 + UU_BLANKS_MAX >= want;
}

/*
 * "begin 644 name", "begin-base64 644 name".  Some readers need no mode, or take any: there a text that only
 * begins with the word is told apart by what follows it.
 */
static bool
read_begin(struct span line, struct span behind, struct inline_file *file)
{
	struct span rest = span_chomp(line), mode, all;
	bool is_mode;

	if (span_starts_nocase(rest, SPAN("begin-base64 "))) {
		file->kind = INLINE_BASE64;
		rest = span_skip(rest, 13);
	} else if (span_starts_nocase(rest, SPAN("begin ")) ||
		   span_starts_nocase(rest, SPAN("begin\t"))) {
		file->kind = INLINE_UU;
		rest = span_skip(rest, 6);
	} else {
		return false;
	}
	all = rest;
	mode = span_word(&rest);
	is_mode = mode.n > 0;
	for (size_t i = 0; i < mode.n; i++)
		is_mode &= mode.p[i] >= '0' && mode.p[i] <= '7';
	file->name = span_trim(is_mode ? rest : all);
	if (is_mode && mode.n >= 3 && mode.n <= 6)
		return true;
	return file->kind == INLINE_UU && is_uu_line(line_at(behind, 0));
}

/* "=ybegin line=128 size=123456 name=report.exe": the name goes to the line's end. */
static bool
read_ybegin(struct span line, struct inline_file *file)
{
	struct span rest = span_chomp(line);

	if (!span_starts_nocase(rest, SPAN("=ybegin ")))
		return false;
	file->kind = INLINE_YENC;
	file->name = span_take(rest, 0);
	for (; rest.n > 0; rest = span_skip(rest, 1))
		if (span_starts_nocase(rest, SPAN(" name="))) {
			file->name = span_trim(span_skip(rest, 6));
			break;
		}
	return true;
}

/* Whether `line` ends the file; of uuencode not where data goes on behind it. */
static bool
is_end(const struct inline_file *file, struct span line, struct span behind)
{
	line = span_trim(line);
	switch (file->kind) {
	case INLINE_UU:
		return span_eq_nocase(line, SPAN("end")) && !is_uu_line(line_at(behind, 0));
	case INLINE_BASE64:
		return span_eq(line, SPAN("===="));
	case INLINE_YENC:
		break;
	}
	return span_starts_nocase(line, SPAN("=yend"));
}

/* Where a line may begin a file: at the start and behind a line end, at a 'b' or a '='. */
static size_t
next_candidate(struct span text, size_t at)
{
	while (at < text.n) {
		char c = char_lower(text.p[at]);

		if ((c == 'b' || c == '=') && (at == 0 || text.p[at - 1] == '\n'))
			return at;
		at += span_find(span_skip(text, at), '\n') + 1;
	}
	return text.n;
}

static bool
read_first_line(struct span text, size_t at, struct inline_file *file)
{
	struct span line = line_at(text, at);

	return read_begin(line, span_skip(text, at + line.n), file) || read_ybegin(line, file);
}

/* The place behind the file's last line; another first line ends it too. */
static size_t
data_end(struct span text, size_t at, const struct inline_file *file)
{
	struct inline_file next;

	while (at < text.n) {
		struct span line = line_at(text, at);

		if (is_end(file, line, span_skip(text, at + line.n)) ||
		    read_first_line(text, at, &next))
			break;
		at += line.n;
	}
	return at;
}

bool
inline_file_next(struct span text, size_t *at, struct inline_file *file)
{
	for (*at = next_candidate(text, *at); *at < text.n; *at = next_candidate(text, *at)) {
		size_t start = *at + line_at(text, *at).n;
		bool is_first = read_first_line(text, *at, file);

		*at = start;
		if (!is_first)
			continue;
		*at = data_end(text, start, file);
		file->data = span_of(text.p + start, *at - start);
		return true;
	}
	return false;
}

/* Six bits of a uuencode digit; anything else counts as zero. */
static unsigned
uu_digit(struct span line, size_t i)
{
	return i < line.n ? ((unsigned)(unsigned char)line.p[i] - 32u) & 63u : 0;
}

static size_t
uu_line(struct span line, char *to)
{
	size_t want, n = 0;

	line = span_chomp(line);
	if (line.n == 0 || line.p[0] < 32 || line.p[0] > 96)
		return 0;
	want = uu_digit(line, 0);
	if (want > line.n) /* more than its digits can hold: what is there */
		want = line.n;
	for (size_t i = 1; n < want; i += 4) {
		unsigned group = uu_digit(line, i) << 18 | uu_digit(line, i + 1) << 12 |
				 uu_digit(line, i + 2) << 6 | uu_digit(line, i + 3);

		for (int shift = 16; shift >= 0 && n < want; shift -= 8)
			to[n++] = (char)(group >> shift);
	}
	return n;
}

static size_t
yenc_line(struct span line, char *to)
{
	size_t n = 0;

	line = span_chomp(line);
	if (span_starts_nocase(line, SPAN("=ypart ")))
		return 0;
	for (size_t i = 0; i < line.n; i++) {
		unsigned byte = (unsigned char)line.p[i];

		if (byte == '=' && i + 1 < line.n)
			byte = (unsigned char)line.p[++i] - (unsigned)YENC_ESCAPED;
		to[n++] = (char)(byte - YENC_SHIFT);
	}
	return n;
}

size_t
inline_file_decode(const struct inline_file *file, char *to)
{
	bool is_bad = false;
	size_t n = 0;

	if (file->kind == INLINE_BASE64)
		return decode_base64(file->data, to, &is_bad);
	for (size_t at = 0; at < file->data.n;) {
		struct span line = line_at(file->data, at);

		n += file->kind == INLINE_UU ? uu_line(line, to + n) : yenc_line(line, to + n);
		at += line.n;
	}
	return n;
}
