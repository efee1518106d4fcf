#include "relay/smtp/reply.h"
#include "relay/base/err.h"

enum {
	REPLY_LINE_WIRE_MAX = 512, /* RFC 5321 section 4.5.3.1.5, CRLF included */
	ENHANCED_MAX = 11,         /* "5.999.999" and some room */
	REPLY_ID_MAX = 64
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
add_text_byte(struct smtp_reply *r, char c)
{
	if (r->text_n < SMTP_REPLY_TEXT_MAX)
		r->text[r->text_n++] = c;
}

static int
take_line(struct smtp_reply *r)
{
	struct span line = span_of(r->line, r->line_n);
	int code;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 3 || !is_digit(line.p[0]) || !is_digit(line.p[1]) || !is_digit(line.p[2]))
		return -E_SYNTAX;
	code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	if (code < 200 || code > 599 || (r->lines > 0 && code != r->code))
		return -E_SYNTAX;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return -E_SYNTAX;
	if (r->lines == SMTP_REPLY_LINES_MAX)
		return -E_LIMIT;

	r->code = code;
	if (r->lines++ > 0)
		add_text_byte(r, '\n');
	for (size_t i = 4; i < line.n; i++) {
		char c = line.p[i] == '\t' ? ' ' : line.p[i];

		add_text_byte(r, c < 0x20 || c > 0x7e ? '?' : c);
	}
	r->text[r->text_n] = '\0';
	r->line_n = 0;
	r->is_complete = line.n == 3 || line.p[3] == ' ';
	return 0;
}

ssize_t
smtp_reply_push(struct smtp_reply *r, struct span input)
{
	size_t used = 0;

	while (used < input.n && !r->is_complete) {
		struct span rest = span_skip(input, used);
		size_t n = span_find(rest, '\n');
		int status;

		if (r->line_n + n > sizeof(r->line))
			return -E_LIMIT;
		memcpy(r->line + r->line_n, rest.p, n);
		r->line_n += n;
		used += n;
		if (n == rest.n)
			break;
		used++;
		status = take_line(r);
		if (status != 0)
			return status;
	}
	return (ssize_t)used;
}

bool
smtp_reply_line(const struct smtp_reply *r, size_t i, struct span *line)
{
	struct span rest = span_of(r->text, r->text_n);

	if (r->lines == 0)
		return false;
	for (;; i--) {
		size_t n = span_find(rest, '\n');

		*line = span_take(rest, n);
		if (i == 0)
			return true;
		if (n == rest.n)
			return false;
		rest = span_skip(rest, n + 1);
	}
}

/* One to three digits at `at`, without a zero that leads; how many. */
static size_t
digits_at(struct span s, size_t at)
{
	size_t n = 0;

	while (n < 4 && at + n < s.n && is_digit(s.p[at + n]))
		n++;
	return n <= 3 && (n < 2 || s.p[at] != '0') ? n : 0;
}

struct span
smtp_enhanced_code(struct span text, char class)
{
	struct span none = span_take(text, 0);
	size_t subject, detail, end;

	if (text.n < 5 || text.p[0] != class || text.p[1] != '.')
		return none;
	if (class != '2' && class != '4' && class != '5')
		return none;
	subject = digits_at(text, 2);
	if (subject == 0 || 2 + subject >= text.n || text.p[2 + subject] != '.')
		return none;
	detail = digits_at(text, 3 + subject);
	end = 3 + subject + detail;
	if (detail == 0 || (end < text.n && text.p[end] != ' ' && text.p[end] != '\n'))
		return none;
	return span_take(text, end);
}

struct span
smtp_reply_enhanced(const struct smtp_reply *r)
{
	return smtp_enhanced_code(span_of(r->text, r->text_n), (char)('0' + r->code / 100));
}

static void
add_clean(struct buf *to, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		(void)buf_add_char(
		    to, c == '\t' || (c >= 0x20 && c <= 0x7e) ? c : '?'); /* sticky */
	}
}

static void
add_line(struct buf *to, int code, char divider, struct span enhanced, struct span text)
{
	(void)buf_addf(to, "%03d", code); /* sticky, as all below */
	if (divider == ' ' && enhanced.n == 0 && text.n == 0) {
		(void)buf_add_str(to, "\r\n");
		return;
	}
	(void)buf_add_char(to, divider);
	if (enhanced.n > 0) {
		add_clean(to, enhanced);
		if (text.n > 0)
			(void)buf_add_char(to, ' ');
	}
	add_clean(to, text);
	(void)buf_add_str(to, "\r\n");
}

/* How much of one line of text goes into a reply line of `room` bytes, and the blanks behind it. */
static size_t
fold_at(struct span text, size_t room, size_t *skip)
{
	size_t n;

	*skip = 0;
	if (text.n <= room)
		return text.n;
	n = span_rfind(span_take(text, room + 1), ' ');
	if (n == 0 || n > room)
		return room;
	*skip = 1;
	return n;
}

int
smtp_reply_add(struct buf *to, int code, struct span enhanced, struct span text, struct span id)
{
	char last[REPLY_LINE_WIRE_MAX];
	size_t room;
	struct span line, rest = span_take(text, SMTP_REPLY_TEXT_MAX);

	must(code >= 200 && code <= 599);
	enhanced = span_take(enhanced, ENHANCED_MAX);
	id = span_take(id, REPLY_ID_MAX);
	room = REPLY_LINE_WIRE_MAX - strlen("550-\r\n") - (enhanced.n > 0 ? enhanced.n + 1 : 0);

	for (;;) {
		size_t tail = id.n > 0 ? id.n + 3 : 0, skip, n = span_find(rest, '\n');
		bool is_end = n == rest.n;

		line = span_take(rest, n);
		n = fold_at(line, room, &skip);
		if (n == line.n && is_end && n + tail <= room)
			break;
		if (n == line.n && is_end) /* fits, but for the id: that takes a line of its own */
			n = fold_at(line, room - tail, &skip);
		add_line(to, code, '-', enhanced, span_take(line, n));
		rest = span_skip(rest, n + (n == line.n && !is_end ? 1 : skip));
	}

	if (line.n > 0)
		memcpy(last, line.p, line.n);
	if (id.n > 0) {
		size_t n = line.n;

		if (n > 0)
			last[n++] = ' ';
		last[n++] = '[';
		memcpy(last + n, id.p, id.n);
		n += id.n;
		last[n++] = ']';
		line = span_of(last, n);
	}
	add_line(to, code, ' ', enhanced, line);
	return to->failed ? -E_LIMIT : 0;
}
