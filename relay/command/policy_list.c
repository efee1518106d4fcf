#include "relay/command/policy_list.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/mem.h"
#include "relay/base/table.h"
#include "relay/command/ask.h"

#include <stddef.h>
#include <stdio.h>

struct hit {
	uint64_t rule;
	struct store_hit of;
};

/* With which version a run of rules has come in. */
struct origin {
	struct store_origin of;
	char author[STORE_WORD_MAX + 1];
};

struct printer {
	const struct snapshot *snapshot;
	bool is_json;
	int64_t now_ms;
	struct table hits; /* of struct hit */
	struct origin *origins;
	size_t n_origins;
};

static void
add_hit(void *arg, const struct store_hit *h)
{
	struct printer *p = arg;
	struct hit *hit = mem_alloc(sizeof(*hit));

	*hit = (struct hit){h->rule, *h};
	must(table_add(&p->hits, hit)); /* it is the key of its table */
}

static void
add_origin(void *arg, const struct store_origin *o)
{
	struct printer *p = arg;
	struct origin *mine;

	p->origins = mem_grow(p->origins, (p->n_origins + 1) * sizeof(*p->origins));
	mine = &p->origins[p->n_origins++];
	mine->of = *o;
	(void)span_copy(o->author, mine->author, sizeof(mine->author)); /* as long */
}

/* NULL: of the default, or older than origins are kept. */
static const struct origin *
origin_of(const struct printer *p, uint32_t id)
{
	size_t low = 0, high = p->n_origins;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->origins[middle].of.next_id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->n_origins && p->origins[low].of.first_id <= id ? &p->origins[low] : NULL;
}

/* What fronts have counted since they last told is told now. */
static void
gather_hits(const struct config *config)
{
	static const char *const words[] = {"policy", "hits"};
	struct buf nothing = BUF_INIT(0);

	/* It has said what failed; then the last seconds are missing. */
	if (ask_is_running(config))
		(void)ask_relay(config, words, 2, &nothing);
	buf_free(&nothing);
}

static int
printer_open(struct printer *p, const struct config *config, const struct snapshot *s, bool is_json)
{
	struct err err = {0};
	struct store *store;
	int rc = -E_IO;

	*p = (struct printer){.snapshot = s,
	    .is_json = is_json,
	    .now_ms = clock_wall_ms(),
	    .hits = {.key_at = offsetof(struct hit, rule)}};
	gather_hits(config);
	store = store_open(config->state_dir, false, &err);
	if (store != NULL)
		rc = store_hits(store, add_hit, p, &err);
	if (rc == 0)
		rc = store_origins(store, add_origin, p, &err);
	store_close(&store);
	return rc < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static void
printer_close(struct printer *p)
{
	struct hit *hit;
	size_t at = 0;

	while ((hit = table_next(&p->hits, &at)) != NULL)
		mem_free(hit);
	table_free(&p->hits);
	mem_free(p->origins);
}

static void
print_json(const struct printer *p, uint32_t id, bool is_expired, const struct hit *hit)
{
	const struct origin *origin = origin_of(p, id);
	struct buf b = BUF_INIT(POLICY_TEXT_MAX);
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_int(&j, "id", id);
	json_text(&j, "rule", snapshot_rule_text(p->snapshot, id));
	json_bool(&j, "expired", is_expired);
	json_str(&j, "author", origin != NULL ? origin->author : "postern");
	if (origin != NULL)
		json_time(&j, "created", origin->of.wall_ms);
	else
		json_none(&j, "created");
	json_int(&j, "hits", hit != NULL ? (int64_t)hit->of.hits : 0);
	if (hit != NULL)
		json_time(&j, "last_hit", hit->of.last_ms);
	else
		json_none(&j, "last_hit");
	json_close(&j, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static void
print_text(const struct printer *p, uint32_t id, bool is_expired, const struct hit *hit)
{
	char room[64] = "-";
	struct buf last = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

	if (hit != NULL)
		(void)clock_add_rfc3339(&last, hit->of.last_ms); /* short */
	printf("%5u %9llu  %-24.*s  %s%.*s\n", id,
	    hit != NULL ? (unsigned long long)hit->of.hits : 0, hit != NULL ? (int)last.n : 1, room,
	    is_expired ? "(expired) " : "", SPAN_ARG(snapshot_rule_text(p->snapshot, id)));
}

static void
print_rule(void *arg, uint32_t id)
{
	const struct printer *p = arg;
	const struct hit *hit = table_get(&p->hits, id);
	bool is_expired = snapshot_rule_expires_ms(p->snapshot, id) <= p->now_ms;

	if (p->is_json)
		print_json(p, id, is_expired, hit);
	else
		print_text(p, id, is_expired, hit);
}

static void
print_head(const struct printer *p)
{
	if (!p->is_json)
		printf("%5s %9s  %-24s  %s\n", "id", "hits", "last hit", "rule");
}

int
policy_list_all(const struct config *config, const struct snapshot *s, bool is_json)
{
	struct printer p;
	int status = printer_open(&p, config, s, is_json);

	if (status == EXIT_OK)
		print_head(&p);
	for (size_t i = 0; status == EXIT_OK && i < snapshot_rule_count(s); i++)
		print_rule(&p, snapshot_rule_id(s, i));
	printer_close(&p);
	return status;
}

int
policy_list_found(const struct config *config, const struct snapshot *s, struct span facet,
    struct span value, bool is_json)
{
	struct printer p;
	struct err err = {0};
	int status = printer_open(&p, config, s, is_json);

	if (status == EXIT_OK && snapshot_query(s, facet, value, print_rule, &p, &err) < 0)
		status = command_fail(EXIT_USAGE, "%s", err.text);
	printer_close(&p);
	return status;
}
