#include "relay/front/canary_watch.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <stdio.h>

/* One that is denied. */
struct canary {
	struct list node;
	struct canary_watch *watch;
	struct timer *again;
	struct dns_request request;
	char name[LOOKUP_NAME_MAX + 1];
};

struct canary_watch {
	struct loop *loop;
	struct dns_client *dns;
	uint32_t timeout_ms;
	void (*report)(void *arg, const char *name, const char *what, const char *do_this);
	void *arg;
	struct list denied; /* struct canary; as many as the configuration names, at most */
};

static struct canary *
find(const struct canary_watch *w, struct span name)
{
	LIST_FOR (it, &w->denied) {
		struct canary *c = LIST_ENTRY(it, struct canary, node);

		if (span_eq_nocase(span_str(c->name), name))
			return c;
	}
	return NULL;
}

static void
report(const struct canary *c, bool is_denied)
{
	char name[LOOKUP_NAME_MAX + 32], what[LOOKUP_NAME_MAX + 128];

	(void)snprintf(name, sizeof(name), "sender-canary %s", c->name); /* fits, and below */
	(void)snprintf(what, sizeof(what),
	    is_denied ? "the resolver denies %s, which exists: what it denies of senders' domains "
			"is not believed"
		      : "the resolver knows %s again",
	    c->name);
	c->watch->report(c->watch->arg, name, what,
	    is_denied ? "see to dns.servers, or name what exists for it: sender { canary = \"…\" }"
		      : NULL);
}

static void on_again(void *arg);

static void
wait(struct canary *c)
{
	loop_timer(c->watch->loop, &c->again, CANARY_AGAIN_MS, on_again, c);
}

static void
on_answer(struct dns_request *r, const struct dns_answer *a)
{
	struct canary *c = r->arg;

	wait(c);
	canary_watch_note(
	    c->watch, sender_canary_of(a), span_str(c->name)); /* c may have ended with it */
}

static void
on_again(void *arg)
{
	struct canary *c = arg;
	struct dns_question q = {.type = DNS_MX,
	    .name = span_str(c->name),
	    .is_fresh = true,
	    .timeout_ms = c->watch->timeout_ms};

	c->request = (struct dns_request){.on_answer = on_answer, .arg = c};
	dns_ask(c->watch->dns, &c->request, &q);
}

void
canary_watch_note(struct canary_watch *w, enum sender_canary state, struct span name)
{
	struct canary *c = find(w, name);

	if (state == CANARY_DENIED && c == NULL) {
		c = mem_alloc(sizeof(*c));
		c->watch = w;
		must(span_copy(
		    name, c->name, sizeof(c->name))); /* the configuration's are askable */
		list_append(&w->denied, &c->node);
		report(c, true);
		wait(c);
	} else if (state == CANARY_ALIVE && c != NULL) {
		report(c, false);
		timer_cancel(&c->again);
		dns_cancel(&c->request);
		list_remove(&c->node);
		mem_free(c);
	}
}

struct canary_watch *
canary_watch_new(struct loop *loop, struct dns_client *dns, uint32_t timeout_ms,
    void (*report_to)(void *arg, const char *name, const char *what, const char *do_this),
    void *arg)
{
	struct canary_watch *w = mem_alloc(sizeof(*w));

	w->loop = loop;
	w->dns = dns;
	w->timeout_ms = timeout_ms;
	w->report = report_to;
	w->arg = arg;
	list_init(&w->denied);
	return w;
}
