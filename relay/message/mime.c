#include "relay/message/mime.h"
#include "relay/base/err.h"
#include "relay/message/boundary.h"
#include "relay/message/mime_parser.h"
#include "relay/message/param.h"

enum {
	PARTS_FIRST = 8,    /* room made at the beginning; doubles */
	DEPTH_CEILING = 64, /* whatever limits say: each level is a call */
	GUESSES_MAX = 4,    /* boundaries guessed for one body */
	ARENA_ROUNDING = 64 /* what an allocation may take beyond what was asked for */
};

/* Where a part stands, for all of its readings. */
struct place {
	struct span whole, fallback;   /* fallback: the type where none is given */
	uint32_t parent, depth, first; /* first: index of its first reading */
};

static void parse_part(
    struct parser *p, struct span whole, uint32_t parent, uint32_t depth, struct span default_type);

size_t
parser_room(const struct parser *p)
{
	size_t left = arena_left(p->arena);

	return left > ARENA_ROUNDING ? left - ARENA_ROUNDING : 0;
}

struct span
parser_keep(struct parser *p, struct span s)
{
	if (s.n >= parser_room(p)) {
		parser_flag(p, MIME_TOO_LARGE);
		return SPAN("");
	}
	return arena_copy(p->arena, s);
}

struct mime_part *
parser_part(struct parser *p)
{
	struct mime_message *m = p->out;

	if (m->n_parts >= p->limits.parts) {
		parser_flag(p, MIME_TOO_MANY_PARTS);
		return NULL;
	}
	if (m->n_parts == p->parts_cap) {
		size_t cap = p->parts_cap == 0 ? PARTS_FIRST : p->parts_cap * 2;
		struct mime_part *parts;

		if (p->parts_cap > 0 && cap * sizeof(*parts) > parser_room(p)) {
			parser_flag(p, MIME_TOO_LARGE);
			parser_flag(p, MIME_TOO_MANY_PARTS);
			return NULL;
		}
		parts = arena_alloc(p->arena, cap * sizeof(*parts));
		if (m->n_parts > 0)
			memcpy(parts, m->parts, m->n_parts * sizeof(*parts));
		m->parts = parts;
		p->parts_cap = cap;
	}
	m->parts[m->n_parts] = (struct mime_part){.parent = 0};
	return &m->parts[m->n_parts++];
}

struct mime_part *
parser_reading(struct parser *p, uint32_t of)
{
	struct mime_part *part;

	if (p->readings >= p->limits.readings) {
		parser_flag(p, MIME_TOO_MANY_READINGS);
		return NULL;
	}
	part = parser_part(p);
	if (part == NULL)
		return NULL;
	p->readings++;
	*part = p->out->parts[of];
	part->is_reading = true;
	part->whole = span_take(part->raw, 0);
	return part;
}

void
parser_message(struct parser *p, struct span whole, uint32_t parent, uint32_t depth)
{
	parse_part(p, whole, parent, depth, SPAN("text/plain"));
}

static void
read_headers(struct parser *p, struct span section)
{
	struct span rest = section;
	struct header_field field;
	size_t n = 0, most = parser_room(p) / 2 / sizeof(field);

	while (n < HEADER_FIELDS_MAX && header_next(&rest, &field))
		n++;
	if (n > most) {
		parser_flag(p, MIME_TOO_LARGE);
		n = most;
	}
	p->out->headers = arena_alloc(p->arena, n * sizeof(field));
	for (rest = section; p->out->n_headers < n; p->out->n_headers++)
		(void)header_next(&rest, &p->out->headers[p->out->n_headers]); /* counted above */
}

/* --- multipart ------------------------------------------------------------------------------- */

/* How one boundary divides one body. */
struct division {
	struct span body, boundary;
	bool is_lax;
};

static bool
may_look_through(struct parser *p, struct span body)
{
	p->work += body.n;
	if (p->work <= p->work_max)
		return true;
	parser_flag(p, MIME_TOO_LARGE);
	return false;
}

static void
flag_looks(struct parser *p)
{
	if (p->looks > BOUNDARY_LOOKS_MAX)
		parser_flag(p, MIME_TOO_LARGE);
}

static struct span
child_default(const struct parser *p, uint32_t index)
{
	return span_eq(p->out->parts[index].type, SPAN("multipart/digest")) ? SPAN("message/rfc822")
									    : SPAN("text/plain");
}

static size_t
next_dashes(const struct division *d, size_t at)
{
	return d->is_lax ? boundary_anywhere(d->body, at, d->boundary)
			 : boundary_dashes(d->body, at);
}

/* Behind a line that next_dashes found.  A lax hit is passed as a whole: a boundary with a line end in it is no
 * delimiter anyway, and could be met again at every step. */
static size_t
behind_dashes(const struct division *d, size_t at, struct span line)
{
	size_t hit = 2 + d->boundary.n;

	return at + (d->is_lax && hit > line.n ? hit : line.n);
}

/* Returns what delimiters there were, those of parts past a limit too. */
static struct boundary_map
parse_children(struct parser *p, const struct division *d, uint32_t index, uint32_t depth)
{
	struct span body = d->body, fallback = child_default(p, index), line;
	struct boundary_map map = {.n = 0};
	size_t start = SIZE_MAX, first = body.n, end = 0;
	bool is_closed = false;

	if (!may_look_through(p, body))
		return map;
	for (size_t at = next_dashes(d, 0); at < body.n;
	     at = next_dashes(d, behind_dashes(d, at, line))) {
		enum delimiter kind, lax;

		line = boundary_line(body, at);
		lax = boundary_lax(line, span_skip(body, at + line.n), d->boundary, &p->looks);
		kind = d->is_lax ? lax : delimiter_of(line, d->boundary, false);
		map.lax_n += lax == DELIMITER_NEXT && kind != lax;
		if (kind == DELIMITER_NONE)
			continue;
		if (first == body.n)
			first = at;
		end = at + line.n;
		if (start != SIZE_MAX) {
			struct span child = span_of(body.p + start, at - start);

			/* The line end before a delimiter belongs to it. */
			parse_part(p, span_chomp(child), index, depth + 1, fallback);
			if (p->out->anomalies & MIME_TOO_MANY_PARTS)
				return map;
		}
		if (kind == DELIMITER_NEXT) {
			map.n++;
			if (is_closed) /* behind the end: some readers show it */
				parser_flag(p, MIME_BAD_BOUNDARY);
		}
		is_closed |= kind == DELIMITER_CLOSE;
		start = kind == DELIMITER_NEXT ? at + line.n : SIZE_MAX;
	}
	flag_looks(p);
	if (start != SIZE_MAX) {
		parser_flag(p, MIME_BAD_BOUNDARY);
		parse_part(p, span_skip(body, start), index, depth + 1, fallback);
		end = body.n;
	}
	map.lax_n += !d->is_lax && boundary_is_astray(body, d->boundary);
	if (map.n > 0) {
		inside_files(p, span_take(body, first), index, depth);
		inside_files(p, span_skip(body, end), index, depth);
	}
	return map;
}

/* The children that one more division shows, below a part of its own; no part when all of them
 * were seen.  Returns whether it divides the body at all. */
static bool
add_division(struct parser *p, uint32_t index, const struct division *d, enum mime_anomaly anomaly)
{
	struct mime_part *part = parser_reading(p, index);
	unsigned before = p->out->anomalies;
	size_t n = p->out->n_parts;
	struct boundary_map map;

	if (part == NULL)
		return true;
	part->raw = part->decoded = d->body;
	part->is_malformed = false;
	map = parse_children(p, d, (uint32_t)n - 1, part->depth);
	if (p->out->n_parts > n) {
		parser_flag(p, anomaly);
		return true;
	}
	p->out->n_parts--;
	p->readings--;
	p->out->anomalies = before | (p->out->anomalies & (MIME_TOO_LARGE | MIME_TOO_MANY_PARTS));
	return map.n > 0;
}

/* Boundaries that the body shows by itself. */
static size_t
try_guesses(struct parser *p, uint32_t index, struct span body)
{
	size_t found = 0, at = 0, n = 0;
	struct span guess, seen[GUESSES_MAX];

	while (n < GUESSES_MAX && (guess = boundary_guess(body, &at)).n > 0) {
		struct division d = {.body = body, .boundary = guess};
		bool is_old = false;

		for (size_t i = 0; i < n; i++)
			is_old |= span_eq(seen[i], guess);
		if (is_old)
			continue;
		seen[n++] = guess;
		found += add_division(p, index, &d, MIME_TWO_BOUNDARIES);
	}
	if (n == GUESSES_MAX && boundary_guess(body, &at).n > 0)
		parser_flag(p, MIME_TOO_MANY_READINGS);
	return found;
}

/* The first line that looks like a delimiter, for a multipart that names no boundary. */
static struct span
first_dashes(struct span body)
{
	struct span line;

	for (size_t at = boundary_dashes(body, 0); at < body.n;
	     at = boundary_dashes(body, at + line.n)) {
		line = boundary_line(body, at);
		if (span_trim(line).n > 2)
			return span_skip(span_trim(line), 2);
	}
	return span_take(body, 0);
}

/* Divides one body by all boundaries that may be meant.  Returns whether any did. */
static bool
divide(
    struct parser *p, uint32_t index, struct span body, const struct variants *words, bool is_first)
{
	uint64_t hashes[VARIANTS_MAX];
	uint32_t depth = p->out->parts[index].depth;
	size_t n_hashes = 0;
	bool has_lax = false;
	struct division d = {.body = body};

	for (size_t i = 0; i < words->n; i++) {
		struct boundary_map map = {.n = 1};
		bool is_old = false;

		d.boundary = words->items[i];
		if (words->n > 1) {
			if (!may_look_through(p, body))
				return n_hashes > 0;
			map = boundary_scan(body, d.boundary, &p->looks);
			flag_looks(p);
			has_lax |= map.lax_n > 0;
		}
		for (size_t k = 0; k < n_hashes; k++)
			is_old |= hashes[k] == map.hash;
		if (map.n == 0 || is_old)
			continue;
		if (n_hashes == 0 && is_first) {
			struct boundary_map found = parse_children(p, &d, index, depth);

			has_lax |= found.lax_n > 0;
			if (found.n == 0)
				continue;
			p->out->parts[index].boundary = d.boundary;
		} else if (!add_division(p, index, &d, MIME_TWO_BOUNDARIES)) {
			continue;
		}
		hashes[n_hashes++] = map.hash;
	}
	d.is_lax = true;
	for (size_t i = 0; has_lax && i < words->n; i++) {
		d.boundary = words->items[i];
		n_hashes += add_division(p, index, &d, MIME_LAX_BOUNDARY);
	}
	return n_hashes > 0;
}

/* A multipart may not be encoded (RFC 2045 section 6.4), but some readers decode it. */
static bool
divide_decoded(struct parser *p, uint32_t index, const struct claims_encodings *e,
    const struct variants *words, bool is_divided)
{
	struct span raw = p->out->parts[index].raw;

	for (unsigned bit = CLAIMS_BASE64; bit <= CLAIMS_YENC; bit <<= 1) {
		struct span decoded;
		char *bytes;
		size_t n = 0;

		if (!(e->all & bit))
			continue;
		parser_flag(p, MIME_BAD_ENCODING);
		bytes = leaf_decode_aside(p, raw, bit, &n);
		decoded = bytes != NULL ? parser_keep(p, span_of(bytes, n)) : span_take(raw, 0);
		mem_free(bytes);
		p->decoded += decoded.n <= p->limits.decoded_bytes - p->decoded ? decoded.n : 0;
		if (!is_divided) {
			p->out->parts[index].decoded = decoded;
			p->out->parts[index].encoding = bit;
		}
		is_divided |= divide(p, index, decoded, words, !is_divided);
	}
	return is_divided;
}

static void
parse_multipart(
    struct parser *p, uint32_t index, const struct claims_encodings *e, struct span type_value)
{
	struct span body = p->out->parts[index].raw;
	struct variants words = {.n = 0};
	struct buf word = BUF_INIT(PARAM_VALUE_MAX);
	struct param_about about = {.is_repeated = false};
	bool has_word = param_find(type_value, SPAN("boundary"), &word, &about), is_divided;

	param_readings(type_value, SPAN("boundary"), p->arena, &words);
	if (words.is_full)
		parser_flag(p, MIME_TOO_MANY_READINGS);
	if (!has_word || word.n == 0 || word.n > BOUNDARY_MAX || about.is_repeated)
		parser_flag(p, MIME_BAD_BOUNDARY);
	/* Too long: some readers look at its start only. */
	if (words.n > 0 && words.items[0].n > BOUNDARY_MAX)
		variants_add(&words, p->arena, span_take(words.items[0], BOUNDARY_MAX));
	if (words.n == 0)
		variants_add(&words, p->arena, first_dashes(body));
	is_divided = divide(p, index, body, &words, true);
	if (is_divided && !span_eq(p->out->parts[index].boundary, words.items[0]))
		parser_flag(p, MIME_BAD_BOUNDARY); /* who looks for the proper one sees nothing */
	if (has_word && word.n == 0 && !is_divided)
		is_divided = add_division(p, index,
		    &(struct division){.body = body, .boundary = SPAN("")}, MIME_TWO_BOUNDARIES);
	if (!divide_decoded(p, index, e, &words, is_divided)) {
		struct mime_part *part = &p->out->parts[index];

		part->is_malformed = true;
		part->is_multipart = false; /* nothing else shows its content */
		parser_flag(p, MIME_BAD_BOUNDARY);
		if (span_trim(body).n > 0)
			parser_flag(p, MIME_UNDIVIDED);
		if (try_guesses(p, index, part->decoded) == 0)
			inside_files(p, body, index, p->out->parts[index].depth);
	}
	buf_free(&word);
}

/* --- the tree -------------------------------------------------------------------------------- */

static bool
type_is_message(struct span type)
{
	return span_eq(type, SPAN("message/rfc822")) || span_eq(type, SPAN("message/global")) ||
	       span_eq(type, SPAN("message/news")) || span_eq(type, SPAN("message/partial"));
}

static void
parse_body(
    struct parser *p, uint32_t index, const struct claims_encodings *e, struct span type_value)
{
	struct mime_part *part = &p->out->parts[index];
	bool is_deepest = part->depth >= p->limits.depth, is_bad;

	part->is_multipart = span_starts(part->type, SPAN("multipart/"));
	part->is_message = type_is_message(part->type);
	if (span_eq(part->type, SPAN("message/partial")))
		parser_flag(p, MIME_PARTIAL);
	if (part->is_multipart && !is_deepest) {
		part->decoded = part->raw;
		part->encoding = CLAIMS_PLAIN;
		parse_multipart(p, index, e, type_value);
		return;
	}
	if (part->is_multipart) {
		part->is_multipart = false; /* nothing else shows its content */
		part->is_truncated = true;
		parser_flag(p, MIME_TOO_DEEP);
	}
	leaf_decode(p, index, e->first);
	is_bad = p->out->parts[index].is_malformed;
	leaf_finish(p, index, type_value);
	leaf_readings(p, index, e, is_bad, type_value);
}

/* A reading that shows nothing new is taken back. */
static bool
is_seen(const struct parser *p, const struct place *at, uint32_t index)
{
	const struct mime_part *own = &p->out->parts[index];

	for (size_t i = at->first; i < index; i++) {
		const struct mime_part *part = &p->out->parts[i];

		if (part->parent == own->parent && part->depth == own->depth &&
		    span_eq(part->type, own->type) && span_eq(part->decoded, own->decoded) &&
		    span_eq(part->text, own->text))
			return true;
	}
	return false;
}

/* One Content-Type of one way to find the header's end. */
static void
parse_reading(struct parser *p, const struct place *at, struct span body, const struct claims *c,
    const struct claims_type *type, enum mime_anomaly anomaly)
{
	const struct claims_encodings e = claims_encodings(c);
	bool is_first = p->out->n_parts == at->first;
	struct mime_part *part;
	uint32_t index;

	if (!is_first && p->readings >= p->limits.readings) {
		parser_flag(p, MIME_TOO_MANY_READINGS);
		return;
	}
	part = parser_part(p);
	if (part == NULL)
		return;
	index = (uint32_t)(part - p->out->parts);
	part->parent = at->parent;
	part->depth = at->depth;
	part->whole = is_first ? at->whole : span_take(at->whole, 0);
	part->raw = body;
	part->type = type->name;
	part->is_reading = !is_first;
	p->readings += !is_first;
	leaf_names(p, index, c);
	if (e.is_unknown) {
		p->out->parts[index].is_malformed = true;
		parser_flag(p, MIME_UNKNOWN_ENCODING);
	}
	parse_body(p, index, &e, type->value);
	if (is_first)
		return;
	if (p->out->n_parts == index + 1 &&
	    (p->out->parts[index].is_multipart || is_seen(p, at, index))) {
		p->out->n_parts--;
		p->readings--;
		return;
	}
	parser_flag(p, anomaly);
}

static void
parse_view(struct parser *p, const struct place *at, const struct claims_view *view,
    enum mime_anomaly anomaly)
{
	struct claims_types types;
	struct claims c;

	claims_read(view->section, &c);
	claims_types(&c, at->fallback, p->arena, &types);
	if (c.is_full || types.is_full)
		parser_flag(p, MIME_TOO_MANY_READINGS);
	if (c.type.n > 1 || c.encoding.n > 1)
		parser_flag(p, MIME_DUPLICATE_HEADER);
	if (types.is_bad) {
		parser_flag(p, MIME_BAD_HEADER);
		parser_flag(p, MIME_GUESSED_TYPE);
	}
	for (size_t i = 0; i < types.n; i++)
		parse_reading(
		    p, at, view->body, &c, &types.items[i], i == 0 ? anomaly : MIME_TWO_TYPES);
}

/* Whether the very same bytes are a part already, by another reading of what is around them. */
static bool
is_parsed(const struct parser *p, struct span whole)
{
	for (size_t i = 0; i < p->out->n_parts; i++)
		if (p->out->parts[i].whole.p == whole.p && p->out->parts[i].whole.n == whole.n &&
		    whole.n > 0)
			return true;
	return false;
}

static void
parse_part(
    struct parser *p, struct span whole, uint32_t parent, uint32_t depth, struct span default_type)
{
	const struct place at = {.whole = whole,
	    .fallback = default_type,
	    .parent = parent,
	    .depth = depth,
	    .first = (uint32_t)p->out->n_parts};
	struct claims_split split;

	if (is_parsed(p, whole) && p->readings > 0)
		return;
	claims_split(whole, &split);
	if (split.is_bad)
		parser_flag(p, MIME_BAD_HEADER);
	if (split.is_long)
		parser_flag(p, MIME_TOO_LARGE);
	if (depth == 0)
		read_headers(p, split.views[0].section);
	for (size_t i = 0; i < split.n; i++)
		parse_view(p, &at, &split.views[i],
		    split.views[i].is_late ? MIME_BAD_HEADER : MIME_TWO_HEADERS);
}

void
mime_parse(struct span message, const struct mime_limits *limits, struct arena *arena,
    struct mime_message *out)
{
	struct parser p = {.arena = arena, .out = out};

	must(arena_left(arena) >= MIME_ARENA_MIN);
	if (limits != NULL)
		p.limits = *limits;
	if (p.limits.parts == 0)
		p.limits.parts = MIME_PARTS;
	if (p.limits.depth == 0)
		p.limits.depth = MIME_DEPTH;
	if (p.limits.depth > DEPTH_CEILING)
		p.limits.depth = DEPTH_CEILING;
	if (p.limits.decoded_bytes == 0)
		p.limits.decoded_bytes = MIME_DECODED;
	if (p.limits.readings == 0)
		p.limits.readings = MIME_READINGS;
	p.work_max = (uint64_t)message.n * MIME_WORK_TIMES + MIME_WORK_MORE;
	*out = (struct mime_message){.anomalies = 0};
	parse_part(&p, message, 0, 0, SPAN("text/plain"));
}
