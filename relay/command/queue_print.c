#include "relay/command/queue_print.h"
#include "policy/journal/filter.h"
#include "relay/base/clock.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

enum { CELL_MAX = 1024, SECOND_MS = 1000, MINUTE_MS = 60000, HOUR_MS = 3600000, DAY_MS = 86400000 };

/* --- pieces ------------------------------------------------------------------------------------ */

void
queue_lines_take(void *lines, struct span piece)
{
	struct queue_lines *l = lines;

	while (piece.n > 0) {
		size_t end = span_find(piece, '\n');

		(void)buf_add_span(
		    &l->rest, span_take(piece, end)); /* too long: the line is skipped */
		if (end == piece.n)
			return;
		piece = span_skip(piece, end + 1);
		if (!l->rest.failed && l->rest.n > 0)
			l->on_line(l->arg, buf_span(&l->rest));
		buf_clear(&l->rest);
	}
}

void
queue_lines_free(struct queue_lines *l)
{
	buf_free(&l->rest);
}

/* --- words ------------------------------------------------------------------------------------- */

void
queue_add_age(struct buf *to, int64_t ms)
{
	int64_t n = ms > 0 ? ms : 0;

	/* Fits, as a cell is made for it. */
	if (n < 100 * SECOND_MS)
		(void)buf_addf(to, "%" PRId64 "s", n / SECOND_MS);
	else if (n < 100 * (int64_t)MINUTE_MS)
		(void)buf_addf(to, "%" PRId64 "m", n / MINUTE_MS);
	else if (n < 48 * (int64_t)HOUR_MS)
		(void)buf_addf(to, "%" PRId64 "h", n / HOUR_MS);
	else
		(void)buf_addf(to, "%" PRId64 "d", n / DAY_MS);
}

void
queue_add_size(struct buf *to, int64_t bytes)
{
	static const char units[] = "KMGT";
	int64_t tenths = bytes * 10;
	size_t i = 0;

	if (bytes < 1000) {
		(void)buf_addf(to, "%" PRId64, bytes); /* fits, as below */
		return;
	}
	for (tenths /= 1024; tenths >= 10000 && i < sizeof(units) - 2; i++)
		tenths /= 1024;
	if (tenths < 100)
		(void)buf_addf(to, "%" PRId64 ".%" PRId64 "%c", tenths / 10, tenths % 10, units[i]);
	else
		(void)buf_addf(to, "%" PRId64 "%c", tenths / 10, units[i]);
}

static json_t *
load(struct span text)
{
	json_error_t error;

	return json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
}

static struct span
text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? span_of(json_string_value(value), json_string_length(value))
				     : (struct span){0};
}

static int64_t
number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* Milliseconds from now to the time of this key, below 0: it has passed; false: there is none. */
static bool
until(const json_t *object, const char *key, int64_t *ms)
{
	int64_t wall_ms, now_ms = clock_wall_ms();

	if (!journal_time_parse(text_of(object, key), now_ms, &wall_ms))
		return false;
	*ms = wall_ms - now_ms;
	return true;
}

/* What came from outside must not steer the terminal. */
static void
add_text(struct buf *to, struct span text)
{
	text = span_take(text, CELL_MAX / 2);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		(void)buf_add_char(to, c < ' ' || c == 0x7f ? ' ' : text.p[i]); /* fits */
	}
}

static void
add_next(struct buf *to, const json_t *object)
{
	int64_t ms;

	if (!until(object, "next_attempt", &ms)) {
		(void)buf_add_char(to, '-'); /* fits, as below */
	} else if (ms <= 0) {
		(void)buf_add_str(to, "now");
	} else {
		(void)buf_add_str(to, "in ");
		queue_add_age(to, ms);
	}
}

/* Prints the cell and empties it; width 0: as it is. Counts characters, not bytes. */
static void
put_cell(struct buf *cell, size_t width)
{
	size_t column = 0, i = 0;

	for (; i < cell->n && (width == 0 || column < width); i++)
		if (((unsigned char)cell->p[i] & 0xc0) != 0x80)
			column++;
	while (i < cell->n && ((unsigned char)cell->p[i] & 0xc0) == 0x80)
		i++; /* the rest of the last character */
	printf("%.*s", (int)i, i > 0 ? cell->p : "");
	if (width > 0)
		printf("%*s", (int)(width - column) + 1, "");
	buf_clear(cell);
}

/* --- list -------------------------------------------------------------------------------------- */

enum {
	ID_COLUMNS = 26,
	STATE_COLUMNS = 8,
	AGE_COLUMNS = 4,
	SIZE_COLUMNS = 5,
	TRIES_COLUMNS = 5,
	NEXT_COLUMNS = 7,
	ADDRESS_COLUMNS = 28,
	GATEWAY_COLUMNS = 12
};

void
queue_print_titles(void)
{
	printf("%-*s %-*s %-*s %-*s %-*s %-*s %-*s %-*s %-*s %s\n", ID_COLUMNS, "ID", STATE_COLUMNS,
	    "STATE", AGE_COLUMNS, "AGE", SIZE_COLUMNS, "SIZE", TRIES_COLUMNS, "TRIES", NEXT_COLUMNS,
	    "NEXT", ADDRESS_COLUMNS, "FROM", ADDRESS_COLUMNS, "TO", GATEWAY_COLUMNS, "GATEWAY",
	    "LAST REPLY");
}

static void
add_to(struct buf *to, const json_t *list)
{
	const json_t *first = json_array_get(list, 0);

	if (first == NULL)
		return;
	add_text(to, span_of(json_string_value(first), json_string_length(first)));
	if (json_array_size(list) > 1)
		(void)buf_addf(to, " +%zu", json_array_size(list) - 1); /* fits */
}

void
queue_print_row(struct span line)
{
	json_t *o = load(line);
	struct buf cell = BUF_INIT(CELL_MAX);
	int64_t ms;

	if (o == NULL)
		return;
	add_text(&cell, text_of(o, "id"));
	put_cell(&cell, ID_COLUMNS);
	add_text(&cell, text_of(o, "state"));
	put_cell(&cell, STATE_COLUMNS);
	if (until(o, "received", &ms))
		queue_add_age(&cell, -ms);
	put_cell(&cell, AGE_COLUMNS);
	queue_add_size(&cell, number_of(o, "size"));
	put_cell(&cell, SIZE_COLUMNS);
	(void)buf_addf(&cell, "%" PRId64, number_of(o, "attempts")); /* fits */
	put_cell(&cell, TRIES_COLUMNS);
	add_next(&cell, o);
	put_cell(&cell, NEXT_COLUMNS);
	add_text(&cell, text_of(o, "from").n > 0 ? text_of(o, "from") : SPAN("<>"));
	put_cell(&cell, ADDRESS_COLUMNS);
	add_to(&cell, json_object_get(o, "to"));
	put_cell(&cell, ADDRESS_COLUMNS);
	add_text(&cell, text_of(o, "gateway"));
	put_cell(&cell, GATEWAY_COLUMNS);
	add_text(&cell, text_of(o, "last_reply"));
	put_cell(&cell, 0);
	printf("\n");
	buf_free(&cell);
	json_decref(o);
}

/* --- show -------------------------------------------------------------------------------------- */

static void
put_line(const char *name, struct buf *cell)
{
	printf("%-10s ", name);
	put_cell(cell, 0);
	printf("\n");
}

static void
put_text(const char *name, const json_t *o, const char *key, const char *absent)
{
	struct buf cell = BUF_INIT(CELL_MAX);
	struct span text = text_of(o, key);

	add_text(&cell, text.n > 0 ? text : span_str(absent));
	put_line(name, &cell);
	buf_free(&cell);
}

static void
put_words(const json_t *list)
{
	size_t i;
	const json_t *word;

	printf("    asked for reports of:");
	json_array_foreach(list, i, word) printf(" %s", json_string_value(word));
	printf("\n");
}

static void
put_recipient(const json_t *r)
{
	struct buf cell = BUF_INIT(CELL_MAX);

	printf("  ");
	add_text(&cell, text_of(r, "to"));
	put_cell(&cell, 0);
	printf("\n    %s, gateway ", json_string_value(json_object_get(r, "state")));
	add_text(&cell, text_of(r, "gateway"));
	put_cell(&cell, 0);
	printf(", attempts %" PRId64 ", next ", number_of(r, "attempts"));
	add_next(&cell, r);
	put_cell(&cell, 0);
	printf("\n");
	if (text_of(r, "reply").n > 0) {
		printf("    last reply");
		if (text_of(r, "server").n > 0) {
			printf(" of ");
			add_text(&cell, text_of(r, "server"));
			put_cell(&cell, 0);
		}
		printf(": ");
		add_text(&cell, text_of(r, "reply"));
		put_cell(&cell, 0);
		printf("\n");
	}
	if (json_object_get(r, "notify") != NULL)
		put_words(json_object_get(r, "notify"));
	buf_free(&cell);
}

/* The header section, line by line. */
static void
put_headers(struct span text)
{
	printf("Headers:\n");
	while (text.n > 0) {
		struct span line = span_chomp(span_cut(&text, '\n'));

		printf("  ");
		for (size_t i = 0; i < line.n; i++)
			(void)putchar((unsigned char)line.p[i] < ' ' && line.p[i] != '\t'
					  ? ' '
					  : line.p[i]); /* main looks whether all was written */
		printf("\n");
	}
}

void
queue_print_detail(struct span line)
{
	json_t *o = load(line);
	const json_t *r;
	struct buf cell = BUF_INIT(CELL_MAX);
	size_t i;
	int64_t ms;

	if (o == NULL)
		return;
	put_text("ID", o, "id", "");
	put_text("State", o, "state", "");
	put_text("From", o, "from", "<>");
	queue_add_size(&cell, number_of(o, "size"));
	put_line("Size", &cell);
	add_text(&cell, text_of(o, "received"));
	if (until(o, "received", &ms)) {
		(void)buf_add_str(&cell, ", "); /* fits, as below */
		queue_add_age(&cell, -ms);
		(void)buf_add_str(&cell, " ago");
	}
	put_line("Received", &cell);
	add_next(&cell, o);
	put_line("Next try", &cell);
	put_text("Flow", o, "flow", "");
	printf("Recipients:\n");
	json_array_foreach(json_object_get(o, "recipients"), i, r) put_recipient(r);
	if (text_of(o, "headers").n > 0)
		put_headers(text_of(o, "headers"));
	buf_free(&cell);
	json_decref(o);
}

/* --- what an order came to --------------------------------------------------------------------- */

static void
add_reasons(struct queue_outcome *o, const json_t *reasons)
{
	size_t i;
	const json_t *reason;

	json_array_foreach(reasons, i, reason)
	{
		char *text;

		if (o->n_reasons == QUEUE_REASONS_MAX)
			return;
		text = json_dumps(reason, JSON_COMPACT);
		(void)buf_addf(&o->json, "%s%s", o->n_reasons > 0 ? "," : "",
		    text != NULL ? text : "{}"); /* made for as many; as below */
		free(text);
		add_text(&o->reasons, text_of(reason, "id"));
		(void)buf_add_str(&o->reasons, ": ");
		add_text(&o->reasons, text_of(reason, "why"));
		(void)buf_add_char(&o->reasons, '\n');
		o->n_reasons++;
	}
}

void
queue_outcome_add(struct queue_outcome *o, struct span line)
{
	json_t *page = load(line);

	o->messages += number_of(page, "messages");
	o->done += number_of(page, "done");
	o->unchanged += number_of(page, "unchanged");
	o->active += number_of(page, "active");
	o->refused += number_of(page, "refused");
	o->not_found += number_of(page, "not_found");
	add_reasons(o, json_object_get(page, "reasons"));
	json_decref(page);
}

void
queue_outcome_print(const struct queue_outcome *o, const char *done_word, bool is_json)
{
	const struct {
		const char *word;
		int64_t n;
	} parts[] = {{done_word, o->done}, {"nothing to do for", o->unchanged},
	    {"being delivered now", o->active}, {"refused", o->refused},
	    {"not found", o->not_found}};
	const char *divider = ": ";

	if (is_json) {
		printf("{\"messages\":%" PRId64 ",\"%s\":%" PRId64 ",\"unchanged\":%" PRId64
		       ",\"active\":%" PRId64 ",\"refused\":%" PRId64 ",\"not_found\":%" PRId64
		       ",\"reasons\":[%.*s]}\n",
		    o->messages, done_word, o->done, o->unchanged, o->active, o->refused,
		    o->not_found, SPAN_ARG(buf_span(&o->json)));
		return;
	}
	printf("%" PRId64 " message%s", o->messages, o->messages == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].n == 0)
			continue;
		printf("%s%s %" PRId64, divider, parts[i].word, parts[i].n);
		divider = ", ";
	}
	printf("%s\n", o->messages == 0 ? ": nothing matched" : "");
	fprintf(stderr, "%.*s%s", SPAN_ARG(buf_span(&o->reasons)),
	    o->n_reasons == QUEUE_REASONS_MAX ? "and perhaps others\n" : "");
}
