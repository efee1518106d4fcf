/*
 * fuzz_dsn.c - a report whose every part came from outside: u8 flags, then spans of sender, address, ORCPT,
 * ENVID, reply, server, and the rest is the original.  Whatever they hold, the report has its three
 * parts, is 7-bit where it says so, and holds none of our own fields.
 */
#include "relay/base/err.h"
#include "relay/base/wire.h"
#include "relay/message/dsn.h"
#include "relay/message/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PART_MAX = 2000, OUT_MAX = 16 * 1024 * 1024 };

static bool
is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

static void
check_lines(struct span text, bool is_7bit)
{
	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		must(line.n <= 999 && memchr(line.p, '\0', line.n) == NULL);
		must(!is_7bit || is_ascii(line));
	}
}

/* The header section ends before the first part, and nothing given can add a field to it. */
static void
check_top(struct span text)
{
	size_t n_fields = 0;

	for (;;) {
		struct span line = span_cut(&text, '\n');

		if (line.n == 1)
			break;
		must(line.n > 1 && line.p[line.n - 1] == '\r');
		n_fields += line.p[0] != '\t' && line.p[0] != ' ';
	}
	must(n_fields == 8 || n_fields == 9);
}

static void
check(const struct dsn *d, const struct buf *out, bool is_8bit)
{
	struct arena arena;
	struct mime_message m;

	check_lines(buf_span(out), !is_8bit && is_ascii(d->sender) && is_ascii(d->postmaster));
	check_top(buf_span(out));
	arena_init(&arena, 64 * 1024 * 1024);
	mime_parse(buf_span(out), NULL, &arena, &m);
	must(m.n_parts >= 4);
	must(span_eq(m.parts[2].type,
	    d->is_utf8 ? SPAN("message/global-delivery-status") : SPAN("message/delivery-status")));
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire w = wire_over(span_of(data, size));
	uint8_t flags = get_u8(&w);
	struct dsn_recipient r = {.action = (enum dsn_action)((flags & 3) % 3)};
	struct dsn d = {.reporting_mta = SPAN("mx.example.org"),
	    .postmaster = SPAN("postmaster@example.org"),
	    .id = SPAN("01JD"),
	    .original_id = SPAN("01JC"),
	    .boundary = SPAN("b-0123456789"),
	    .is_utf8 = (flags & 4) != 0,
	    .is_whole = (flags & 8) != 0,
	    .recipients = &r,
	    .n_recipients = 1,
	    .now_ms = 1000};
	struct buf out = BUF_INIT(OUT_MAX);
	bool is_8bit;
	int rc;

	d.sender = get_span(&w, PART_MAX);
	r.address = get_span(&w, PART_MAX);
	r.orcpt = get_span(&w, PART_MAX);
	d.envelope_id = get_span(&w, PART_MAX);
	r.reply = get_span(&w, PART_MAX);
	r.server = get_span(&w, PART_MAX);
	if (w.failed)
		return 0;
	d.original = w.rest;
	rc = dsn_write(&d, &out, &is_8bit);
	must(rc == 0 || rc == -E_EXISTS);
	if (rc == 0)
		check(&d, &out, is_8bit);
	buf_free(&out);
	return 0;
}
