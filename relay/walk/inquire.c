/*
 * inquire.c - questions about names, between the banner and the decision on a message: the lists of
 * domains, and what the DNS says of the sender's domain.  The session waits for the answers, for
 * dns.timeout at the most; commands behind wait with it and are answered in their order.
 */
#include "policy/dnsbl/domain.h"
#include "relay/base/log.h"
#include "relay/front/sender_lookup.h"
#include "relay/smtp/address.h"
#include "relay/walk/domain_round.h"
#include "relay/walk/walk.h"

struct inquiry {
	struct session *session;
	struct domain_round *round;   /* NULL: none is asked */
	struct sender_lookup *sender; /* NULL: not asked for */
	size_t n_waiting;
	void (*go_on)(struct session *s);
};

static bool
has_lists(const struct session *s, enum list_of of)
{
	return (s->listen->flow->connect & CONNECT_DNSBL) && snapshot_has_list(s->snapshot, of);
}

struct domain_round *
inquire_lists(struct session *s, enum list_of of, const struct span *hosts, size_t n_hosts,
    void (*on_done)(void *arg), void *arg)
{
	const struct domain_round_about about = {.loop = s->front->loop,
	    .dns = s->front->dns,
	    .watch = s->front->domain_lists,
	    .snapshot = s->snapshot,
	    .conf = &s->front->config->dns};

	if (!has_lists(s, of))
		return NULL;
	if (s->answers == NULL)
		s->answers = mem_array(snapshot_list_count(s->snapshot), sizeof(*s->answers));
	inquire_forget(s, of);
	return domain_round_start(&about, of, hosts, n_hosts, on_done, arg);
}

void
inquire_forget(struct session *s, enum list_of of)
{
	for (size_t i = 0; s->answers != NULL && i < snapshot_list_count(s->snapshot); i++)
		if (snapshot_list(s->snapshot, i)->of == of)
			s->answers[i] = (struct list_answer){.state = LIST_UNKNOWN};
}

/* --- whoever waits ------------------------------------------------------------------------------ */

static void
answer_came(void *arg)
{
	struct inquiry *q = arg;
	struct session *s = q->session;
	void (*go_on)(struct session *) = q->go_on;

	if (--q->n_waiting > 0)
		return;
	if (q->round != NULL)
		domain_round_take(q->round, s->answers);
	if (q->sender != NULL)
		s->transaction->sender = sender_lookup_fact(q->sender);
	inquire_cancel(s);
	go_on(s);
}

static struct inquiry *
begin(struct session *s, void (*go_on)(struct session *s))
{
	must(s->inquiry == NULL);
	s->inquiry = mem_alloc(sizeof(*s->inquiry));
	*s->inquiry = (struct inquiry){.session = s, .go_on = go_on};
	return s->inquiry;
}

/* Whether anything is asked; else the inquiry is over at once. */
static bool
waits(struct session *s)
{
	struct inquiry *q = s->inquiry;

	q->n_waiting = (q->round != NULL ? 1U : 0U) + (q->sender != NULL ? 1U : 0U);
	if (q->n_waiting == 0)
		inquire_cancel(s);
	return s->inquiry != NULL;
}

void
inquire_cancel(struct session *s)
{
	if (s->inquiry == NULL)
		return;
	domain_round_free(&s->inquiry->round);
	sender_lookup_free(&s->inquiry->sender);
	mem_free(s->inquiry);
	s->inquiry = NULL;
}

/* Whom a rule has refused already costs no more questions. */
static bool
is_refused(enum action action)
{
	return action >= ACTION_REJECT;
}

static bool
wait_for_command(struct session *s)
{
	if (!waits(s))
		return false;
	s->state = SESSION_ASKING;
	connection_expect(&s->connection, 0);
	return true;
}

/* --- HELO --------------------------------------------------------------------------------------- */

bool
inquire_helo(struct session *s, void (*go_on)(struct session *s))
{
	struct span helo = span_str(s->helo);
	struct inquiry *q;

	inquire_forget(s, LIST_OF_HELO);
	if (!has_lists(s, LIST_OF_HELO) || is_refused(kept_action(s->connected)))
		return false;
	q = begin(s, go_on);
	q->round = inquire_lists(s, LIST_OF_HELO, &helo, 1, answer_came, q);
	return wait_for_command(s);
}

/* --- the sender --------------------------------------------------------------------------------- */

static void
on_sender(void *arg)
{
	struct inquiry *q = arg;
	struct session *s = q->session;

	if (s->front->canaries != NULL)
		canary_watch_note(s->front->canaries, sender_lookup_canary(q->sender),
		    span_str(s->listen->flow->sender.canary));
	answer_came(q);
}

static void
ask_sender(struct session *s, struct inquiry *q, struct span domain)
{
	const struct conf_flow *flow = s->listen->flow;

	s->transaction->sender = sender_presumed(s->front->config, domain);
	if (s->transaction->sender == SENDER_UNKNOWN)
		q->sender = sender_lookup_start(s->front->loop, s->front->dns, domain,
		    span_str(flow->sender.canary), (uint32_t)s->front->config->dns.timeout_ms,
		    on_sender, q);
}

bool
inquire_sender(struct session *s, void (*go_on)(struct session *s))
{
	struct transaction *t = s->transaction;
	struct span domain = smtp_address_domain(t->from);
	bool asks_dns = s->listen->flow->connect & CONNECT_SENDER;
	struct inquiry *q;

	inquire_forget(s, LIST_OF_FROM);
	if (domain.n == 0 || is_refused(t->verdict.action) ||
	    (!asks_dns && !has_lists(s, LIST_OF_FROM)))
		return false;
	q = begin(s, go_on);
	q->round = inquire_lists(s, LIST_OF_FROM, &domain, 1, answer_came, q);
	if (asks_dns)
		ask_sender(s, q, domain);
	return wait_for_command(s);
}

/* --- URLs --------------------------------------------------------------------------------------- */

bool
inquire_needs_hosts(const struct session *s)
{
	return has_lists(s, LIST_OF_URL);
}

bool
inquire_urls(
    struct session *s, const struct span *hosts, size_t n_hosts, void (*go_on)(struct session *s))
{
	struct inquiry *q = begin(s, go_on);

	inquire_forget(s, LIST_OF_URL);
	q->round = inquire_lists(s, LIST_OF_URL, hosts, n_hosts, answer_came, q);
	return waits(s);
}
