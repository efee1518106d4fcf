#include "relay/walk/domain_round.h"
#include "relay/base/mem.h"
#include "relay/walk/findings.h"

/* One name that one list is asked for. */
struct domain_question {
	struct dns_request request, canary;
	struct domain_round *round;
	size_t list;
	struct span name; /* what it is asked about, inside of the host */
	struct list_answer answer;
	bool is_believed; /* the canary was denied */
};

struct domain_round {
	struct domain_round_about about;
	enum list_of of;
	struct domain_question *questions;
	size_t n, n_waiting;
	struct timer *deadline;
	void (*on_done)(void *arg);
	void *arg;
};

static struct span
zone_of(const struct domain_question *q)
{
	return snapshot_list(q->round->about.snapshot, q->list)->zone;
}

static void
done(struct domain_round *r)
{
	timer_cancel(&r->deadline);
	r->on_done(r->arg); /* may free r */
}

static void
ask(struct domain_question *q, struct dns_request *request, const struct buf *name,
    void (*on_answer)(struct dns_request *r, const struct dns_answer *a))
{
	struct domain_round *r = q->round;
	struct dns_question question = {
	    .type = DNS_A, .name = buf_span(name), .timeout_ms = r->about.timeout_ms};

	*request = (struct dns_request){.on_answer = on_answer, .arg = q};
	r->n_waiting++;
	dns_ask(r->about.dns, request, &question);
}

static void
on_canary(struct dns_request *request, const struct dns_answer *a)
{
	struct domain_question *q = request->arg;

	if (q->round->about.watch != NULL)
		list_watch_canary(q->round->about.watch, zone_of(q), a);
	q->is_believed = a->status == DNS_NONE;
	if (--q->round->n_waiting == 0)
		done(q->round);
}

/* All have answered: those that have listed something must show that they do not list everything. */
static void
prove(struct domain_round *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct buf name = BUF_INIT(LOOKUP_NAME_MAX);

		if (r->questions[i].answer.state != LIST_LISTED)
			continue;
		list_watch_invalid_name(zone_of(&r->questions[i]), &name); /* a zone is shorter */
		ask(&r->questions[i], &r->questions[i].canary, &name, on_canary);
		buf_free(&name);
	}
	if (r->n_waiting == 0)
		done(r);
}

static void
on_answer(struct dns_request *request, const struct dns_answer *a)
{
	struct domain_question *q = request->arg;
	struct domain_round *r = q->round;

	q->answer = findings_type_list(r->about.snapshot, q->list, a);
	if (r->about.watch != NULL) {
		list_watch_heard(r->about.watch, zone_of(q), a->status);
		if (q->answer.state == LIST_ERROR)
			list_watch_error(r->about.watch, zone_of(q));
	}
	if (--r->n_waiting == 0)
		prove(r);
}

static void
on_deadline(void *arg)
{
	struct domain_round *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		if (r->questions[i].request.client != NULL && r->about.watch != NULL)
			list_watch_heard(r->about.watch, zone_of(&r->questions[i]), DNS_TIMEOUT);
		dns_cancel(&r->questions[i].request);
		dns_cancel(&r->questions[i].canary);
	}
	r->n_waiting = 0;
	done(r);
}

/* --- what is asked ----------------------------------------------------------------------------- */

static bool
is_asked(const struct domain_round *r, size_t list, struct span name)
{
	for (size_t i = r->n; i > 0 && r->questions[i - 1].list == list; i--)
		if (span_eq_nocase(r->questions[i - 1].name, name))
			return true;
	return false;
}

static void
ask_list(struct domain_round *r, size_t list, const struct span *hosts, size_t n_hosts)
{
	size_t first = r->n;

	for (size_t i = 0; i < n_hosts && r->n - first < DOMAIN_NAMES_MAX; i++) {
		struct buf name = BUF_INIT(LOOKUP_NAME_MAX);
		struct domain_question *q = &r->questions[r->n];

		*q = (struct domain_question){.round = r, .list = list};
		findings_domain_name(r->about.snapshot, list, hosts[i], &q->name, &name);
		if (q->name.n > 0 && !is_asked(r, list, q->name)) {
			r->n++;
			ask(q, &q->request, &name, on_answer);
		}
		buf_free(&name);
	}
}

static bool
is_to_be_asked(const struct domain_round *r, const struct dns_list *list)
{
	return list->of == r->of &&
	       (r->about.watch == NULL || !list_watch_is_off(r->about.watch, list->zone));
}

struct domain_round *
domain_round_start(const struct domain_round_about *about, enum list_of of,
    const struct span *hosts, size_t n_hosts, void (*on_done)(void *arg), void *arg)
{
	size_t n_lists = snapshot_list_count(about->snapshot), n = 0;
	size_t each = n_hosts < DOMAIN_NAMES_MAX ? n_hosts : DOMAIN_NAMES_MAX;
	struct domain_round *r = mem_alloc(sizeof(*r));

	*r = (struct domain_round){.about = *about, .of = of, .on_done = on_done, .arg = arg};
	for (size_t i = 0; i < n_lists; i++)
		n += is_to_be_asked(r, snapshot_list(about->snapshot, i)) ? each : 0;
	r->questions = mem_array(n + 1, sizeof(*r->questions)); /* one to try a name in */
	for (size_t i = 0; i < n_lists; i++)
		if (is_to_be_asked(r, snapshot_list(about->snapshot, i)))
			ask_list(r, i, hosts, n_hosts);
	if (r->n == 0)
		domain_round_free(&r);
	else
		loop_timer(about->loop, &r->deadline, about->timeout_ms, on_deadline, r);
	return r;
}

/* --- what is made of it ------------------------------------------------------------------------- */

static enum list_state
state_of(const struct domain_question *q)
{
	return q->answer.state == LIST_LISTED && !q->is_believed ? LIST_UNKNOWN : q->answer.state;
}

/* Of one list: an error counts for all it says, then the first name that is listed. */
static struct list_answer
sum_up(const struct domain_round *r, size_t list)
{
	static const int weight[] = {
	    [LIST_NOT_LISTED] = 0, [LIST_UNKNOWN] = 1, [LIST_LISTED] = 2, [LIST_ERROR] = 3};
	struct list_answer sum = {.state = LIST_NOT_LISTED};

	for (size_t i = 0; i < r->n; i++) {
		const struct domain_question *q = &r->questions[i];

		if (q->list != list)
			continue;
		if (sum.n_names++ == 0 || weight[state_of(q)] > weight[sum.state]) {
			sum.state = state_of(q);
			sum.address = q->answer.address;
			sum.name = q->name;
		}
	}
	if (sum.n_names > 1 && sum.state != LIST_LISTED)
		sum.name = (struct span){0}; /* all of them */
	return sum;
}

void
domain_round_take(const struct domain_round *r, struct list_answer *answers)
{
	const struct snapshot *s = r->about.snapshot;

	for (size_t i = 0; i < snapshot_list_count(s); i++) {
		if (snapshot_list(s, i)->of != r->of)
			continue;
		answers[i] = sum_up(r, i);
		/* One that was found out meanwhile is not believed, whatever it has answered. */
		if (answers[i].state != LIST_ERROR && r->about.watch != NULL &&
		    list_watch_is_off(r->about.watch, snapshot_list(s, i)->zone))
			answers[i] = (struct list_answer){.state = LIST_UNKNOWN};
	}
	if (r->about.watch != NULL)
		list_watch_count(r->about.watch, s, r->of, answers);
}

bool
domain_round_lacks(const struct domain_round *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->questions[i].answer.state == LIST_UNKNOWN)
			return true;
	return false;
}

void
domain_round_free(struct domain_round **r)
{
	if (*r == NULL)
		return;
	for (size_t i = 0; i < (*r)->n; i++) {
		dns_cancel(&(*r)->questions[i].request);
		dns_cancel(&(*r)->questions[i].canary);
	}
	timer_cancel(&(*r)->deadline);
	mem_free((*r)->questions);
	mem_free(*r);
	*r = NULL;
}
