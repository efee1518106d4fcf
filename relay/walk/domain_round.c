#include "relay/walk/domain_round.h"
#include "relay/base/mem.h"
#include "relay/walk/findings.h"

/* One name that one list is asked for. */
struct domain_question {
	struct dns_request request;
	struct domain_round *round;
	size_t list;
	struct span name; /* what it is asked about, inside of the host */
	struct list_answer answer;
	bool is_lacking; /* it could not be had */
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
on_answer(struct dns_request *request, const struct dns_answer *a)
{
	struct domain_question *q = request->arg;
	struct domain_round *r = q->round;

	q->answer = findings_type_list(r->about.snapshot, q->list, a);
	/* A list that was caught listing everything is not believed: nothing is lacking. */
	q->is_lacking = q->answer.state == LIST_UNKNOWN && a->proof != DNS_PROOF_BAD;
	if (r->about.watch != NULL) {
		list_watch_answer(r->about.watch, zone_of(q), a);
		if (q->answer.state == LIST_ERROR)
			list_watch_error(r->about.watch, zone_of(q));
	}
	if (--r->n_waiting == 0)
		done(r);
}

static void
on_deadline(void *arg)
{
	struct domain_round *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		if (r->questions[i].request.client != NULL && r->about.watch != NULL)
			list_watch_late(r->about.watch, zone_of(&r->questions[i]));
		dns_cancel(&r->questions[i].request);
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
		struct dns_question question;

		*q = (struct domain_question){.round = r,
		    .list = list,
		    .request = {.on_answer = on_answer, .arg = q},
		    .is_lacking = true};
		question = findings_domain_question(
		    r->about.snapshot, list, hosts[i], r->about.conf, &q->name, &name);
		if (q->name.n > 0 && !is_asked(r, list, q->name)) {
			r->n++;
			r->n_waiting++;
			dns_ask(r->about.dns, &q->request, &question);
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
		loop_timer(about->loop, &r->deadline, about->conf->timeout_ms, on_deadline, r);
	return r;
}

/* --- what is made of it ------------------------------------------------------------------------- */

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
		if (sum.n_names++ == 0 || weight[q->answer.state] > weight[sum.state]) {
			sum.state = q->answer.state;
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
		if (r->questions[i].is_lacking)
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
	}
	timer_cancel(&(*r)->deadline);
	mem_free((*r)->questions);
	mem_free(*r);
	*r = NULL;
}
