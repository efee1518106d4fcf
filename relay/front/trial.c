#include "relay/front/trial.h"
#include "relay/base/mem.h"

struct trial {
	struct list node;
	struct trials *trials;
	const struct conf_filter *filter;
	struct scan scan;
	struct timer *pause; /* until the next one */
	uint64_t policy;     /* which is held; 0: none */
};

struct trials {
	struct loop *loop;
	struct worker_pool *pool;
	struct breakers *breakers;
	struct list items; /* one a filter that has been doubted */
};

/* Of each kind that filters look at something: header fields, a text, a file with a name, in base64. */
static const char mail[] = "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
			   "From: <postmaster@localhost>\r\n"
			   "To: <postmaster@localhost>\r\n"
			   "Subject: Postern tries its filters\r\n"
			   "Message-ID: <trial@localhost>\r\n"
			   "MIME-Version: 1.0\r\n"
			   "Content-Type: multipart/mixed; boundary=\"trial\"\r\n"
			   "\r\n"
			   "--trial\r\n"
			   "Content-Type: text/plain; charset=us-ascii\r\n"
			   "\r\n"
			   "This mail was never sent.\r\n"
			   "--trial\r\n"
			   "Content-Type: text/plain; name=\"trial.txt\"\r\n"
			   "Content-Disposition: attachment; filename=\"trial.txt\"\r\n"
			   "Content-Transfer-Encoding: base64\r\n"
			   "\r\n"
			   "Tm90aGluZyB0byBzZWUuCg==\r\n"
			   "--trial--\r\n";

struct trials *
trials_new(struct loop *loop, struct worker_pool *pool, struct breakers *breakers)
{
	struct trials *t = mem_alloc(sizeof(*t));

	t->loop = loop;
	t->pool = pool;
	t->breakers = breakers;
	list_init(&t->items);
	return t;
}

static void
release_policy(struct trial *t)
{
	if (t->policy != 0)
		pool_release_policy(t->trials->pool, t->policy);
	t->policy = 0;
}

void
trials_free(struct trials **trials)
{
	if (*trials == NULL)
		return;
	LIST_FOR_SAFE (it, &(*trials)->items) {
		struct trial *t = LIST_ENTRY(it, struct trial, node);

		timer_cancel(&t->pause);
		pool_cancel(&t->scan);
		release_policy(t);
		list_remove(&t->node);
		mem_free(t);
	}
	mem_free(*trials);
	*trials = NULL;
}

static enum trial_end
end_of(const struct trial *t, const struct scan_result *r, uint32_t failed)
{
	if (r == NULL)
		return failed == t->scan.only ? TRIAL_FAILED : TRIAL_UNKNOWN;
	if (r->not_run & t->scan.only)
		return TRIAL_UNKNOWN;
	for (size_t i = 0; i < r->n_outcomes; i++)
		if (r->outcomes[i].outcome < 0 && t->scan.only == 1U << r->outcomes[i].filter)
			return TRIAL_FAILED;
	return TRIAL_WORKED;
}

static void begin(void *arg);

static void
on_done(struct scan *s, const struct scan_result *result, uint32_t failed)
{
	struct trial *t = s->arg;

	release_policy(t);
	if (breakers_tried(t->trials->breakers, t->filter, end_of(t, result, failed)))
		loop_timer(t->trials->loop, &t->pause, t->filter->pause_ms, begin, t);
}

static void
begin(void *arg)
{
	static const struct span postmaster = {"postmaster@localhost", 20};
	struct trial *t = arg;

	timer_cancel(&t->pause);
	t->policy = pool_hold_current(t->trials->pool);
	t->scan.on_done = on_done;
	t->scan.arg = t;
	t->scan.body_fd = -1;
	t->scan.request = (struct scan_request){.id = SPAN("trial"),
	    .flow = t->scan.request.flow,
	    .policy = t->policy,
	    .host = SPAN("localhost"),
	    .helo = SPAN("localhost"),
	    .from = postmaster,
	    .rcpts = &postmaster,
	    .n_rcpts = 1,
	    .is_inline = true,
	    .body = span_of(mail, sizeof(mail) - 1)};
	must(ip_parse(SPAN("127.0.0.1"), &t->scan.request.client));
	pool_scan(t->trials->pool, &t->scan);
}

static struct trial *
trial_of(struct trials *trials, const struct conf_filter *filter)
{
	struct trial *t;

	LIST_FOR (it, &trials->items) {
		t = LIST_ENTRY(it, struct trial, node);
		if (t->filter == filter)
			return t;
	}
	t = mem_alloc(sizeof(*t));
	t->trials = trials;
	t->filter = filter;
	list_append(&trials->items, &t->node);
	return t;
}

void
trials_begin(struct trials *trials, const struct scan *s, size_t i)
{
	struct trial *t = trial_of(trials, s->flow->filters[i].filter);

	if (t->scan.pool != NULL)
		return;
	t->scan.flow = s->flow;
	t->scan.request.flow = s->request.flow;
	t->scan.only = 1U << i;
	begin(t);
}
