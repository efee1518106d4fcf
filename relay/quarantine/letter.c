#include "relay/quarantine/letter.h"
#include "relay/base/err.h"
#include "relay/base/json.h"
#include "relay/base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define FIELD       "X-Postern-Quarantine"
#define TIME_MAX_MS 200000000000000LL /* the year 8307: later ones are damage */

enum { CRC_AT = LETTER_LINE - 10 /* eight digits and CRLF */ };

bool
letter_id_is_fine(struct span id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!(id.p[i] >= '0' && id.p[i] <= '9') && !(id.p[i] >= 'A' && id.p[i] <= 'Z') &&
		    id.p[i] != '-')
			return false;
	return id.n > 0 && id.n <= LETTER_ID_MAX && id.p[0] != '-';
}

struct span
letter_name(struct span id, size_t before, char to[LETTER_ID_MAX + 1])
{
	if (before == 0)
		(void)span_copy(id, to, LETTER_ID_MAX + 1); /* as long as an id */
	else /* ids of our own making are far shorter than the maximum */
		(void)snprintf(to, LETTER_ID_MAX + 1, "%.*s-%zu",
		    SPAN_ARG(span_take(id, LETTER_ID_MAX - 7)), before + 1);
	return span_str(to);
}

/* --- writing; all adds are sticky, the owner of the buf tests at the end ----------------------- */

/* is_word: blanks are escaped too, and nothing at all is a dash. */
static void
put_text(struct buf *to, struct span text, bool is_word)
{
	if (is_word && text.n == 0)
		(void)buf_add_char(to, '-');
	if (is_word && span_eq(text, SPAN("-"))) {
		(void)buf_add_str(to, "%2D");
		return;
	}
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 32 || c == 127 || c == '%' || (is_word && c == ' '))
			(void)buf_addf(to, "%%%02X", c);
		else
			(void)buf_add_char(to, (char)c);
	}
}

static void
put_field(struct buf *to, const char *name, struct span text)
{
	(void)buf_addf(to, FIELD "-%s: ", name);
	put_text(to, text, false);
	(void)buf_add_str(to, "\r\n");
}

static void
put_number(struct buf *to, const char *name, uint64_t number)
{
	(void)buf_addf(to, FIELD "-%s: %" PRIu64 "\r\n", name, number);
}

static void
put_rcpt(struct buf *to, const struct letter_rcpt *r)
{
	(void)buf_add_str(to, FIELD "-To: ");
	put_text(to, r->address, true);
	(void)buf_add_char(to, ' ');
	put_text(to, r->gateway, true);
	(void)buf_addf(to, " %u ", r->notify);
	put_text(to, r->orcpt, true);
	(void)buf_add_str(to, "\r\n");
}

static uint64_t
wall(int64_t ms)
{
	return ms > 0 ? (uint64_t)ms : 0;
}

void
letter_put(struct buf *to, const struct letter *l)
{
	size_t start = to->n;
	char line[LETTER_LINE + 1];

	for (size_t i = 0; i < LETTER_LINE; i++)
		(void)buf_add_char(to, '.'); /* written when the head's length is known */
	put_field(to, "Id", l->id);
	put_field(to, "Flow", l->flow);
	put_field(to, "From", l->from);
	put_field(to, "Envelope-Id", l->envid);
	put_number(to, "Received", wall(l->received_ms));
	put_number(to, "Stored", wall(l->stored_ms));
	put_number(to, "8bit", l->is_8bit);
	put_number(to, "Utf8", l->is_utf8);
	put_number(to, "Return", l->ret);
	put_number(to, "Releases", l->releases);
	put_field(to, "Reason", span_take(l->reason, LETTER_REASON_MAX));
	put_field(to, "Subject", span_take(l->subject, LETTER_SUBJECT_MAX));
	for (size_t i = 0; i < l->n_rcpts; i++)
		put_rcpt(to, &l->rcpts[i]);
	if (to->failed)
		return;
	must(snprintf(line, sizeof(line),
		 FIELD ": v=1 head=%08x section=%08x size=%016" PRIx64 " crc=00000000\r\n",
		 (unsigned)(to->n - start), (unsigned)l->section, l->size) == LETTER_LINE);
	memcpy(to->p + start, line, LETTER_LINE);
}

void
letter_set_crc(char *head, uint32_t crc)
{
	char digits[9];

	(void)snprintf(digits, sizeof(digits), "%08x", (unsigned)crc);
	memcpy(head + CRC_AT, digits, 8);
}

/* --- reading ----------------------------------------------------------------------------------- */

/* `n` lower-case hexadecimal digits behind `name`. */
static bool
take_hex(struct span *rest, struct span name, size_t n, uint64_t *out)
{
	if (!span_starts(*rest, name) || rest->n < name.n + n)
		return false;
	*rest = span_skip(*rest, name.n);
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		int digit = rest->p[i] >= 'A' && rest->p[i] <= 'F' ? -1 : char_hex(rest->p[i]);

		if (digit < 0)
			return false;
		*out = *out << 4 | (uint64_t)digit;
	}
	*rest = span_skip(*rest, n);
	return true;
}

int
letter_line_get(struct span bytes, struct letter_line *out)
{
	struct span rest = span_take(bytes, LETTER_LINE);
	uint64_t head, section, size, crc;

	if (!take_hex(&rest, SPAN(FIELD ": v=1 head="), 8, &head) ||
	    !take_hex(&rest, SPAN(" section="), 8, &section) ||
	    !take_hex(&rest, SPAN(" size="), 16, &size) ||
	    !take_hex(&rest, SPAN(" crc="), 8, &crc) || !span_eq(rest, SPAN("\r\n")))
		return -E_CORRUPT;
	if (head < LETTER_LINE || head > LETTER_HEAD_MAX || section > COMMIT_HEADER_MAX ||
	    section > size || size > (uint64_t)INT64_MAX - head)
		return -E_CORRUPT;
	*out = (struct letter_line){(uint32_t)head, (uint32_t)section, (uint32_t)crc, size};
	return 0;
}

/* What is left of a head, whose bytes it may write over; after the first thing that is not as it
 * should be every take gives nothing. */
struct head_reader {
	char *at;
	size_t left;
	bool failed;
};

/* Undoes put_text where it stands. */
static struct span
take_text(struct head_reader *r, char *text, size_t n, size_t max)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] != '%') {
			text[out++] = text[i];
			continue;
		}
		if (n - i < 3 || char_hex(text[i + 1]) < 0 || char_hex(text[i + 2]) < 0) {
			r->failed = true;
			return (struct span){0};
		}
		text[out++] = (char)(char_hex(text[i + 1]) << 4 | char_hex(text[i + 2]));
		i += 2;
	}
	if (out > max)
		r->failed = true;
	return span_of(text, r->failed ? 0 : out);
}

/* The rest of a line that begins with the field's name; without its CRLF. */
static struct span
take_line(struct head_reader *r, const char *name)
{
	struct span rest = span_of(r->at, r->left), line = span_take(rest, span_find(rest, '\n'));
	struct span begin = span_str(name);

	if (r->failed || line.n == rest.n || line.n == 0 || line.p[line.n - 1] != '\r' ||
	    !span_starts(line, SPAN(FIELD "-"))) {
		r->failed = true;
		return (struct span){0};
	}
	r->at += line.n + 1;
	r->left -= line.n + 1;
	line = span_skip(span_take(line, line.n - 1), sizeof(FIELD "-") - 1);
	if (!span_starts(line, begin) || !span_starts(span_skip(line, begin.n), SPAN(": "))) {
		r->failed = true;
		return (struct span){0};
	}
	return span_skip(line, begin.n + 2);
}

static char *
in_head(const struct letter *l, struct span text)
{
	return l->memory + (text.p - l->memory);
}

static struct span
take_field(struct letter *l, struct head_reader *r, const char *name, size_t max)
{
	struct span line = take_line(r, name);

	return r->failed ? line : take_text(r, in_head(l, line), line.n, max);
}

static uint64_t
take_number(struct head_reader *r, const char *name, uint64_t max)
{
	struct span line = take_line(r, name);
	uint64_t number = 0;

	if (!r->failed && (!span_to_u64(line, &number) || number > max))
		r->failed = true;
	return r->failed ? 0 : number;
}

static struct span
take_word(struct letter *l, struct head_reader *r, struct span *rest, size_t max)
{
	struct span word = span_cut(rest, ' ');

	if (word.n == 0)
		r->failed = true;
	if (r->failed || span_eq(word, SPAN("-")))
		return (struct span){0};
	return take_text(r, in_head(l, word), word.n, max);
}

static void
take_rcpt(struct letter *l, struct head_reader *r, struct letter_rcpt *to)
{
	struct span line = take_line(r, "To"), bits;
	uint64_t notify = 0;

	if (r->failed)
		return;
	to->address = take_word(l, r, &line, COMMIT_ADDRESS_MAX);
	to->gateway = take_word(l, r, &line, LETTER_NAME_MAX);
	bits = span_cut(&line, ' ');
	to->orcpt = take_word(l, r, &line, NOTIFY_ORCPT_MAX);
	if (line.n > 0 || !span_to_u64(bits, &notify) || notify > NOTIFY_ALL)
		r->failed = true;
	to->notify = (unsigned)notify;
}

static void
take_rcpts(struct letter *l, struct head_reader *r)
{
	size_t size = 0;

	while (r->left > 0 && !r->failed) {
		if (l->n_rcpts == COMMIT_RCPTS_MAX) {
			r->failed = true;
			return;
		}
		if (l->n_rcpts == size) {
			size = size > 0 ? size * 2 : 4;
			l->rcpts = mem_grow(l->rcpts, size * sizeof(*l->rcpts));
		}
		l->rcpts[l->n_rcpts] = (struct letter_rcpt){0};
		take_rcpt(l, r, &l->rcpts[l->n_rcpts++]);
	}
	if (l->n_rcpts == 0)
		r->failed = true;
}

int
letter_get(struct span head, struct letter *out)
{
	struct letter l = {0};
	struct letter_line line;
	struct head_reader r;

	if (letter_line_get(head, &line) < 0 || head.n != line.head)
		return -E_CORRUPT;
	l.memory = mem_dup(head);
	r = (struct head_reader){.at = l.memory + LETTER_LINE, .left = head.n - LETTER_LINE};
	l.head = line.head;
	l.section = line.section;
	l.size = line.size;
	l.id = take_field(&l, &r, "Id", LETTER_ID_MAX);
	l.flow = take_field(&l, &r, "Flow", LETTER_NAME_MAX);
	l.from = take_field(&l, &r, "From", COMMIT_ADDRESS_MAX);
	l.envid = take_field(&l, &r, "Envelope-Id", NOTIFY_ENVID_MAX);
	l.received_ms = (int64_t)take_number(&r, "Received", TIME_MAX_MS);
	l.stored_ms = (int64_t)take_number(&r, "Stored", TIME_MAX_MS);
	l.is_8bit = take_number(&r, "8bit", 1) == 1;
	l.is_utf8 = take_number(&r, "Utf8", 1) == 1;
	l.ret = (enum notify_ret)take_number(&r, "Return", RET_HDRS);
	l.releases = (uint32_t)take_number(&r, "Releases", UINT32_MAX);
	l.reason = take_field(&l, &r, "Reason", LETTER_REASON_MAX);
	l.subject = take_field(&l, &r, "Subject", LETTER_SUBJECT_MAX);
	take_rcpts(&l, &r);
	if (r.failed || !letter_id_is_fine(l.id)) {
		letter_free(&l);
		return -E_CORRUPT;
	}
	*out = l;
	return 0;
}

void
letter_free(struct letter *l)
{
	mem_free(l->rcpts);
	mem_free(l->memory);
	*l = (struct letter){0};
}

/* --- showing ----------------------------------------------------------------------------------- */

static void
show_rcpts(struct json *j, const struct letter *l)
{
	json_open(j, "recipients", '[');
	for (size_t i = 0; i < l->n_rcpts; i++) {
		json_open(j, NULL, '{');
		json_text(j, "to", l->rcpts[i].address);
		json_text(j, "gateway", l->rcpts[i].gateway);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
letter_show(struct buf *to, const struct letter *l, int64_t keep_ms, bool has_detail)
{
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_text(&j, "id", l->id);
	json_text(&j, "from", l->from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < l->n_rcpts; i++)
		json_text(&j, NULL, l->rcpts[i].address);
	json_close(&j, ']');
	json_text(&j, "subject", l->subject);
	json_int(&j, "size", (int64_t)l->size);
	json_time(&j, "received", l->received_ms);
	json_text(&j, "reason", l->reason);
	json_time(&j, "expires", l->stored_ms + keep_ms);
	if (has_detail) {
		json_time(&j, "stored", l->stored_ms);
		json_text(&j, "flow", l->flow);
		json_int(&j, "releases", l->releases);
		show_rcpts(&j, l);
	}
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}
