#include "relay/front/list_watch.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <stdio.h>

enum { NAME_MAX_BYTES = LOOKUP_NAME_MAX + 16 };

static const struct {
	enum dns_list_kind list;
	const char *test_entry; /* RFC 5782 section 5 */
	const char *suffix;     /* of the problems' names */
	const char *lists_all, *lacks_test;
} kinds[] = {
    [LIST_OF_ADDRESSES] = {DNS_LIST_IPV4, "2.0.0.127", "",
	"lists everyone: 127.0.0.1 is in it, or what else nobody can be",
	"does not list its test entry 127.0.0.2"},
    [LIST_OF_DOMAINS] = {DNS_LIST_DOMAIN, "test", "-domains",
	"lists everything: INVALID is in it, or what else nobody can have",
	"does not list its test entry TEST"},
};

struct watched {
	struct list node;
	struct list_watch *owner;
	char *zone;
	bool is_off, is_silent, lacks_test_entry, is_followed;
	int64_t window_ms, missed_ms; /* when the window began, and the last one missed */
	uint64_t n_heard, n_missed;   /* in the window */
	struct dns_request test_entry;
	struct timer *next;
	uint64_t n_asked, n_listed, n_sole, n_not_listed, n_errors, n_unanswered;
};

struct list_watch {
	struct loop *loop;
	struct dns_client *dns;
	enum list_kind kind;
	const struct conf_dns *conf;
	void (*report)(void *arg, const char *name, const char *what, const char *do_this);
	void *arg;
	struct list lists;
};

static void probe(void *arg);

static struct watched *
find(const struct list_watch *w, struct span zone)
{
	LIST_FOR (it, &w->lists) {
		struct watched *l = LIST_ENTRY(it, struct watched, node);

		if (span_eq(span_str(l->zone), zone))
			return l;
	}
	return NULL;
}

static void
report(struct watched *l, const char *kind, const char *what, const char *do_this)
{
	char name[NAME_MAX_BYTES + 32], text[NAME_MAX_BYTES + 128];

	(void)snprintf(name, sizeof(name), "%s%s %s", kind, kinds[l->owner->kind].suffix,
	    l->zone); /* cut is fine for both */
	(void)snprintf(text, sizeof(text), "DNS list %s %s", l->zone, what);
	l->owner->report(l->owner->arg, name, text, do_this);
}

static void
probe_later(struct watched *l)
{
	int64_t ms = l->owner->conf->probe_ms;

	loop_timer(l->owner->loop, &l->next,
	    l->is_off || l->is_silent ? ms / LIST_PROBE_OFF_SHARE : ms, probe, l);
}

static int64_t
look_at_window(struct watched *l)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms - l->window_ms >= LIST_WINDOW_MS) {
		l->window_ms = now_ms;
		l->n_heard = l->n_missed = 0;
	}
	return now_ms;
}

static void
hear(struct watched *l)
{
	int64_t now_ms = look_at_window(l);

	l->n_heard++;
	if (!l->is_silent || now_ms - l->missed_ms < LIST_QUIET_MS)
		return;
	l->is_silent = false;
	report(l, "dnsbl-silent", "answers again", NULL);
}

static void
miss(struct watched *l)
{
	l->missed_ms = look_at_window(l);
	l->n_missed++;
	if (l->is_silent || l->n_missed < LIST_SILENT_MAX || l->n_missed < l->n_heard)
		return;
	l->is_silent = true;
	report(l, "dnsbl-silent", "does not answer",
	    "what it would say counts as unknown, and hurts nobody; see to dns.servers, or remove "
	    "the list if it is gone");
	probe_later(l);
}

static void
switch_off(struct watched *l, const char *what)
{
	if (!l->is_off)
		report(l, "dnsbl", what,
		    "it is switched off and tried again by itself; remove it from the policy if "
		    "this stays");
	l->is_off = true;
	probe_later(l);
}

static void
switch_on(struct watched *l)
{
	if (l->is_off)
		report(l, "dnsbl", "is well again", NULL);
	l->is_off = false;
}

static void
lists_everyone(struct watched *l)
{
	switch_off(l, kinds[l->owner->kind].lists_all);
}

static void
look_at_test_entry(struct watched *l, const struct dns_answer *a)
{
	bool lacks = a->status == DNS_NONE;

	if (lacks != l->lacks_test_entry && (lacks || a->status == DNS_FOUND)) {
		report(l, "dnsbl-test", lacks ? kinds[l->owner->kind].lacks_test : "is complete",
		    lacks ? "it stays on; ask its operators whether it still works" : NULL);
		l->lacks_test_entry = lacks;
	}
}

/* No answer proves nothing: a list that is away says nothing that could hurt. */
static void
on_probed(struct dns_request *r, const struct dns_answer *a)
{
	struct watched *l = r->arg;

	switch (a->proof) {
	case DNS_PROOF_GOOD:
		hear(l);
		switch_on(l);
		look_at_test_entry(l, a);
		break;
	case DNS_PROOF_BAD:
		hear(l);
		lists_everyone(l);
		break;
	case DNS_PROOF_NONE:
	case DNS_PROOF_MISSING:
		break;
	}
	probe_later(l);
}

static void
probe(void *arg)
{
	char name[NAME_MAX_BYTES];
	struct watched *l = arg;
	struct dns_question q = {.type = DNS_A,
	    .timeout_ms = (uint32_t)l->owner->conf->timeout_ms,
	    .list = kinds[l->owner->kind].list,
	    .zone = span_str(l->zone),
	    .is_fresh = true};

	dns_cancel(&l->test_entry);
	l->test_entry.on_answer = on_probed;
	l->test_entry.arg = l;
	(void)snprintf(name, sizeof(name), "%s.%s", kinds[l->owner->kind].test_entry,
	    l->zone); /* a zone is a name */
	q.name = span_str(name);
	dns_ask(l->owner->dns, &l->test_entry, &q);
}

struct list_watch *
list_watch_new(struct loop *loop, struct dns_client *dns, enum list_kind kind,
    const struct conf_dns *conf,
    void (*report_to)(void *arg, const char *name, const char *what, const char *do_this),
    void *arg)
{
	struct list_watch *w = mem_alloc(sizeof(*w));

	*w = (struct list_watch){loop, dns, kind, conf, report_to, arg, {0}};
	list_init(&w->lists);
	return w;
}

static void
forget(struct watched *l)
{
	if (l->is_off)
		report(l, "dnsbl", "is not asked any more", NULL);
	if (l->is_silent)
		report(l, "dnsbl-silent", "is not asked any more", NULL);
	if (l->lacks_test_entry)
		report(l, "dnsbl-test", "is not asked any more", NULL);
	dns_cancel(&l->test_entry);
	timer_cancel(&l->next);
	list_remove(&l->node);
	mem_free(l->zone);
	mem_free(l);
}

static void
watch(struct list_watch *w, struct span zone)
{
	struct watched *l = find(w, zone);

	if (l == NULL) {
		l = mem_alloc(sizeof(*l));
		l->owner = w;
		l->zone = mem_dup(zone);
		list_append(&w->lists, &l->node);
		loop_timer(w->loop, &l->next, 0, probe, l);
	}
	l->is_followed = true;
}

void
list_watch_follow(struct list_watch *w, const struct snapshot *s)
{
	LIST_FOR (it, &w->lists)
		LIST_ENTRY(it, struct watched, node)->is_followed = false;
	for (size_t i = 0; i < snapshot_list_count(s); i++)
		if ((snapshot_list(s, i)->of != LIST_OF_CLIENT) == (w->kind == LIST_OF_DOMAINS))
			watch(w, snapshot_list(s, i)->zone);
	LIST_FOR_SAFE (it, &w->lists)
		if (!LIST_ENTRY(it, struct watched, node)->is_followed)
			forget(LIST_ENTRY(it, struct watched, node));
}

bool
list_watch_is_off(const struct list_watch *w, struct span zone)
{
	const struct watched *l = find(w, zone);

	return l != NULL && l->is_off;
}

void
list_watch_answer(struct list_watch *w, struct span zone, const struct dns_answer *a)
{
	struct watched *l = find(w, zone);

	if (l == NULL)
		return;
	if (a->proof == DNS_PROOF_BAD)
		lists_everyone(l);
	if (a->proof == DNS_PROOF_BAD || a->status == DNS_FOUND || a->status == DNS_NONE)
		hear(l);
	else
		miss(l);
}

void
list_watch_error(struct list_watch *w, struct span zone)
{
	struct watched *l = find(w, zone);

	if (l != NULL)
		switch_off(l, "answers with an error (127.255.255.x, 127.0.0.1 or outside 127/8)");
}

void
list_watch_late(struct list_watch *w, struct span zone)
{
	struct watched *l = find(w, zone);

	if (l != NULL)
		miss(l);
}

/* Whether list `i` is one of this zone that is asked about the same. */
static bool
is_same(const struct snapshot *s, size_t i, const struct dns_list *list)
{
	return snapshot_list(s, i)->of == list->of &&
	       span_eq(snapshot_list(s, i)->zone, list->zone);
}

/* What a zone said of the client: a zone of several lines has listed it when one of them matches. */
static enum list_state
zone_state(const struct snapshot *s, const struct list_answer *answers, const struct dns_list *list)
{
	enum list_state state = LIST_UNKNOWN;

	for (size_t i = 0; i < snapshot_list_count(s); i++) {
		if (!is_same(s, i, list))
			continue;
		if (answers[i].state == LIST_LISTED)
			return LIST_LISTED;
		if (state != LIST_ERROR && answers[i].state != LIST_UNKNOWN)
			state = answers[i].state;
	}
	return state;
}

static void
count_state(struct watched *l, enum list_state state)
{
	l->n_asked++;
	switch (state) {
	case LIST_UNKNOWN:
		l->n_unanswered++;
		return;
	case LIST_NOT_LISTED:
		l->n_not_listed++;
		return;
	case LIST_LISTED:
		l->n_listed++;
		return;
	case LIST_ERROR:
		l->n_errors++;
		return;
	}
}

static bool
is_first_of_zone(const struct snapshot *s, size_t list)
{
	size_t i = 0;

	while (!is_same(s, i, snapshot_list(s, list)))
		i++;
	return i == list;
}

void
list_watch_count(struct list_watch *w, const struct snapshot *s, enum list_of of,
    const struct list_answer *answers)
{
	struct watched *sole = NULL;
	size_t n_listed = 0;

	for (size_t i = 0; i < snapshot_list_count(s); i++) {
		const struct dns_list *list = snapshot_list(s, i);
		struct watched *l = find(w, list->zone);
		enum list_state state;

		if (l == NULL || list->of != of || !is_first_of_zone(s, i))
			continue;
		if (of != LIST_OF_CLIENT && answers[i].n_names == 0)
			continue; /* nothing to ask it about */
		state = zone_state(s, answers, list);
		if (l->is_off && state == LIST_UNKNOWN)
			continue; /* it was not asked */
		count_state(l, state);
		if (state == LIST_LISTED && !list->is_white) {
			sole = l;
			n_listed++;
		}
	}
	if (n_listed == 1)
		sole->n_sole++;
}

void
list_watch_counts(const struct list_watch *w, struct json *j)
{
	LIST_FOR (it, &w->lists) {
		const struct watched *l = LIST_ENTRY(it, struct watched, node);

		json_open(j, l->zone, '{');
		json_int(j, "asked", (int64_t)l->n_asked);
		json_int(j, "listed", (int64_t)l->n_listed);
		json_int(j, "sole", (int64_t)l->n_sole);
		json_int(j, "not_listed", (int64_t)l->n_not_listed);
		json_int(j, "errors", (int64_t)l->n_errors);
		json_int(j, "unanswered", (int64_t)l->n_unanswered);
		json_int(j, "off", l->is_off);
		json_close(j, '}');
	}
}
