#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/process/successor.h"

static const char *
state_name(const struct child *c)
{
	static const char *const names[] = {"down", "starting", "up", "stopping"};

	return names[c->state];
}

static void
add_roles(const struct supervisor *s, struct json *j)
{
	json_open(j, "roles", '[');
	for (int i = ROLE_FRONT; i < PLACES; i++) {
		const struct child *c = &s->children[i];
		const char *loading =
		    c->state == CHILD_DOWN ? NULL : loads_now(&c->loads, successor_config(c));

		if (!c->is_wanted && loading == NULL)
			continue;
		json_open(j, NULL, '{');
		json_str(j, "role", place_name(c->place));
		json_str(j, "state", state_name(c));
		json_int(j, "pid", c->pid);
		json_int(j, "restarts", (int64_t)c->restarts);
		if (loading != NULL)
			json_str(j, "loading", loading);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
add_silent(struct json *j, unsigned silent)
{
	for (int i = ROLE_FRONT; i < PLACES; i++) {
		struct buf what = BUF_INIT(256);

		if (!(silent & (1U << i)))
			continue;
		(void)buf_addf(&what, "%s does not answer", place_name((unsigned)i)); /* short */
		json_open(j, NULL, '{');
		json_text(j, "what", buf_span(&what));
		json_str(j, "do", "see what holds it up; if it hangs, end it: it is started again");
		json_close(j, '}');
		buf_free(&what);
	}
}

static void
add_problems(const struct supervisor *s, struct json *j, unsigned silent)
{
	json_open(j, "problems", '[');
	for (size_t i = 0; i < s->problems.n; i++) {
		json_open(j, NULL, '{');
		json_str(j, "what", s->problems.items[i].what);
		json_str(j, "do", s->problems.items[i].do_this);
		json_close(j, '}');
	}
	for (int i = ROLE_FRONT; i < PLACES; i++) {
		const struct child *c = &s->children[i];
		struct buf what = BUF_INIT(256);

		if (!c->is_wanted || c->state == CHILD_UP)
			continue;
		(void)buf_addf(&what, "%s is not running", place_name(c->place)); /* short */
		json_open(j, NULL, '{');
		json_text(j, "what", buf_span(&what));
		json_str(
		    j, "do", "look into the log for why it ended; it is started again by itself");
		json_close(j, '}');
		buf_free(&what);
	}
	add_silent(j, silent);
	json_close(j, ']');
}

void
status_write(const struct supervisor *s, unsigned silent, struct span members, struct buf *to)
{
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", supervisor_is_whole(s) && s->problems.n == 0 && silent == 0);
	json_time(&j, "started", s->started_wall_ms);
	json_time(&j, "now", clock_wall_ms());
	json_str(&j, "hostname", s->config->hostname);
	json_int(&j, "policy_version", (int64_t)s->policy_version);
	add_problems(s, &j, silent);
	add_roles(s, &j);
	(void)buf_add_span(to, members); /* sticky: bounded by whoever gathered them */
	(void)buf_add_str(to, "}\n");
}

static bool
is_count_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '_')
			return false;
	return s.n > 0 && s.n <= STATUS_NAME_MAX;
}

static void
add_count(struct status_counts *to, struct span name, uint64_t n)
{
	size_t at = 0;

	while (at < to->n && !span_eq(span_str(to->items[at].name), name))
		at++;
	if (at == STATUS_COUNTS_MAX)
		return;
	if (at == to->n) {
		to->n++;
		to->items[at].n = 0;
		(void)span_copy(name, to->items[at].name, sizeof(to->items[at].name)); /* fits */
	}
	to->items[at].n += n;
}

/* Up to the first `c`, which is dropped from `from`; all of it when there is none. */
static struct span
cut(struct span *from, char c)
{
	const char *at = from->n > 0 ? memchr(from->p, c, from->n) : NULL;
	struct span piece = span_take(*from, at != NULL ? (size_t)(at - from->p) : from->n);

	*from = span_skip(*from, piece.n + (at != NULL ? 1 : 0));
	return piece;
}

static const char *const zone_counts[STATUS_ZONE_COUNTS] = {
    "asked", "listed", "sole", "not_listed", "errors", "unanswered", "off"};

static bool
is_zone_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	return s.n > 0 && s.n <= STATUS_ZONE_MAX;
}

/* NULL: there are as many as a policy may have. */
static struct status_zone *
find_zone(struct status_counts *to, struct span name)
{
	for (size_t i = 0; i < to->n_zones; i++)
		if (span_eq(span_str(to->zones[i].zone), name))
			return &to->zones[i];
	if (to->n_zones == STATUS_ZONES_MAX)
		return NULL;
	(void)span_copy(name, to->zones[to->n_zones].zone, STATUS_ZONE_MAX + 1); /* fits */
	return &to->zones[to->n_zones++];
}

static void
add_zone(struct status_counts *to, struct span name, struct span members)
{
	struct status_zone *zone = is_zone_name(name) ? find_zone(to, name) : NULL;

	while (zone != NULL && members.n > 0) {
		struct span member = cut(&members, ','), word;
		uint64_t n;

		(void)cut(&member, '"');
		word = cut(&member, '"');
		(void)cut(&member, ':');
		for (size_t i = 0; i < STATUS_ZONE_COUNTS; i++)
			if (span_eq(word, span_str(zone_counts[i])) && span_to_u64(member, &n))
				zone->n[i] += n;
	}
}

static void
add_zones(struct status_counts *to, struct span object)
{
	(void)cut(&object, '{');
	while (object.n > 0) {
		struct span name;

		(void)cut(&object, '"');
		name = cut(&object, '"');
		(void)cut(&object, '{');
		add_zone(to, name, cut(&object, '}'));
	}
}

/* Members that are no plain counts are left out: a front that was taken over says what it likes. */
void
status_add_counts(struct status_counts *to, struct span object)
{
	struct span rest;

	(void)cut(&object, '{');
	(void)cut(&object, '{');
	rest = cut(&object, '}');
	while (rest.n > 0) {
		struct span member = cut(&rest, ','), name;
		uint64_t n;

		(void)cut(&member, '"');
		name = cut(&member, '"');
		(void)cut(&member, ':');
		if (is_count_name(name) && span_to_u64(member, &n))
			add_count(to, name, n);
	}
	add_zones(to, object);
}

static void
put_zones(const struct status_counts *c, struct json *j)
{
	json_open(j, "dnsbl", '[');
	for (size_t i = 0; i < c->n_zones; i++) {
		json_open(j, NULL, '{');
		json_str(j, "zone", c->zones[i].zone);
		for (size_t k = 0; k < STATUS_ZONE_COUNTS; k++)
			json_int(j, zone_counts[k], (int64_t)c->zones[i].n[k]);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
status_put_counts(const struct status_counts *c, struct buf *to)
{
	struct json j = {.to = to};

	if (c->n == 0)
		return;
	(void)buf_add_str(to, ","); /* sticky: the caller tests */
	json_open(&j, "front", '{');
	for (size_t i = 0; i < c->n; i++)
		json_int(&j, c->items[i].name, (int64_t)c->items[i].n);
	json_close(&j, '}');
	if (c->n_zones > 0)
		put_zones(c, &j);
}

/* A role answers with an object; its members become ours. */
void
status_add_role(struct buf *to, struct span object)
{
	object = span_trim(object);
	if (object.n <= 2 || object.p[0] != '{' || object.p[object.n - 1] != '}')
		return;
	(void)buf_add_char(to, ','); /* sticky: the caller tests */
	(void)buf_add(to, object.p + 1, object.n - 2);
}
