/*
 * fuzz_edit.c - after the strip nothing a tolerant reader takes for ours is left, wherever it looks
 * for the field; an applied edit parses to what was asked.
 */
#include "relay/base/err.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"
#include "relay/message/received.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A reader of another make: takes lines as they come, forgets all that is not a letter or '-'. */
static bool
line_is_ours(struct span line)
{
	char name[200];
	size_t n = 0, colon = span_find(line, ':');

	if (colon == line.n)
		return false;
	for (size_t i = 0; i < colon && n < sizeof(name); i++) {
		char c = char_lower(line.p[i]);

		if (c == '-' || (c >= 'a' && c <= 'z'))
			name[n++] = c;
		else if (c > ' ' && c < 0x7f)
			return false;
	}
	return span_eq(span_of(name, n), SPAN("x-spam-flag")) ||
	       span_starts(span_of(name, n), SPAN("x-postern-"));
}

static void
check_stripped(struct span section)
{
	struct header_field f;
	struct buf again = BUF_INIT(HEADER_SECTION_MAX);
	struct span rest = section;
	bool is_first = true;

	while (header_next(&rest, &f)) {
		must(!is_first || (f.whole.p[0] != ' ' && f.whole.p[0] != '\t'));
		is_first = false;
		must(!line_is_ours(f.whole));
	}
	for (rest = section; rest.n > 0;) {
		struct span line = span_cut(&rest, '\n');

		must(
		    (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) || !line_is_ours(line));
	}
	must(edit_strip_foreign(section, SPAN("mx.example"), &again) == 0);
	must(span_eq(buf_span(&again), section));
	buf_free(&again);
}

static size_t
count_fields(struct span section)
{
	struct header_field f;
	size_t n = 0;

	while (header_next(&section, &f))
		n++;
	return n;
}

static void
check_edits(struct span section, struct span name, struct span value, uint32_t index)
{
	struct header_edit e[2] = {{.kind = EDIT_ADD, .name = name, .value = value},
	    {.kind = EDIT_REMOVE, .index = index}};
	struct buf out = BUF_INIT(HEADER_SECTION_MAX * 2);
	size_t before = count_fields(section), most = before + (edit_is_fine(&e[0]) ? 1 : 0);
	struct header_field f;
	struct span rest;

	if (edit_apply(section, e, 2, false, &out) == 0) {
		size_t after = count_fields(buf_span(&out));

		must(after == most || (index < before && after + 1 == most));
		rest = buf_span(&out);
		if (edit_is_fine(&e[0])) {
			must(header_next(&rest, &f) && span_eq(f.name, name));
			must(span_eq(span_trim(f.value), span_trim(value)));
		}
	}
	buf_clear(&out);
	if (edit_add_field(&out, SPAN("X-Test"), value) == 0) {
		rest = buf_span(&out);
		must(header_next(&rest, &f) && rest.n == 0 && !f.is_malformed);
		for (rest = buf_span(&out); rest.n > 0;) {
			struct span line = span_cut(&rest, '\n');

			must(line.n <= 999 && span_trim(line).n > 0);
		}
	}
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size), name, value;
	struct buf out = BUF_INIT(HEADER_SECTION_MAX);
	uint32_t index;

	if (size < 2)
		return 0;
	index = data[0] % 8;
	input = span_skip(input, 1);
	input = span_take(input, 20000);
	/* "name|value|message" */
	name = span_cut(&input, '|');
	value = span_cut(&input, '|');
	input = span_take(input, header_section_length(input));
	if (input.n > 0 && input.p[input.n - 1] != '\n')
		return 0; /* the reader gives whole lines */
	if (edit_strip_foreign(input, SPAN("mx.example"), &out) >= 0) {
		check_stripped(buf_span(&out));
		check_edits(buf_span(&out), name, value, index);
	}
	(void)received_count(input);
	buf_free(&out);
	return 0;
}
