#include "relay/front/sender_lookup.h"
#include "relay/base/mem.h"

struct sender_lookup {
	struct dns_client *dns;
	struct timer *deadline;
	struct dns_request mx, again, canary;
	struct dns_request hosts[SENDER_HOSTS_MAX][2]; /* A and AAAA */
	char names[SENDER_HOSTS_MAX][LOOKUP_NAME_MAX + 1];
	struct span domain, canary_name;
	uint32_t timeout_ms;
	size_t n_waiting;
	bool has_private, has_failed;
	enum sender_fact fact, suspected;
	bool is_denied_again;
	enum sender_canary canary_state;
	void (*on_done)(void *arg);
	void *arg;
};

static const struct {
	const char *net;
} PRIVATE[] = {{"0.0.0.0/8"}, {"10.0.0.0/8"}, {"100.64.0.0/10"}, {"127.0.0.0/8"},
    {"169.254.0.0/16"}, {"172.16.0.0/12"}, {"192.168.0.0/16"}, {"224.0.0.0/3"}, {"::/128"},
    {"::1/128"}, {"fc00::/7"}, {"fe80::/10"}, {"ff00::/8"}};

bool
sender_ip_is_private(const struct ip *ip)
{
	for (size_t i = 0; i < sizeof(PRIVATE) / sizeof(PRIVATE[0]); i++) {
		struct net net;

		if (net_parse(span_str(PRIVATE[i].net), &net) && net_has(&net, ip))
			return true;
	}
	return false;
}

enum sender_fact
sender_presumed(const struct config *config, struct span domain)
{
	if (domain.n > 0 && domain.p[0] == '[')
		return SENDER_FINE;
	return config_domain(config, domain) != NULL ? SENDER_OWN : SENDER_UNKNOWN;
}

static void
cancel(struct sender_lookup *l)
{
	timer_cancel(&l->deadline);
	dns_cancel(&l->mx);
	dns_cancel(&l->again);
	dns_cancel(&l->canary);
	for (size_t i = 0; i < SENDER_HOSTS_MAX; i++) {
		dns_cancel(&l->hosts[i][0]);
		dns_cancel(&l->hosts[i][1]);
	}
}

static void
done(struct sender_lookup *l, enum sender_fact fact)
{
	cancel(l);
	l->fact = fact;
	l->on_done(l->arg); /* may free l */
}

static void
ask(struct sender_lookup *l, struct dns_request *r, struct dns_question q,
    void (*on_answer)(struct dns_request *r, const struct dns_answer *a))
{
	q.timeout_ms = l->timeout_ms;
	*r = (struct dns_request){.on_answer = on_answer, .arg = l};
	l->n_waiting++;
	dns_ask(l->dns, r, &q);
}

static bool
is_known(const struct dns_answer *a)
{
	return a->status == DNS_FOUND || a->status == DNS_NONE;
}

/* A denial without the SOA of its zone (RFC 2308 section 3) is somebody's between us and the zone. */
static bool
is_proper(const struct dns_answer *a)
{
	return a->status == DNS_FOUND || (a->status == DNS_NONE && a->has_soa);
}

/* A null MX beside others is none: RFC 7505 section 3. */
static bool
is_null_mx(const struct dns_answer *a)
{
	return a->status == DNS_FOUND && a->n_names == 1 && strcmp(a->names[0], ".") == 0;
}

/* What an MX answer alone says. */
static enum sender_fact
fact_of(const struct dns_answer *a)
{
	if (is_null_mx(a))
		return SENDER_NULL_MX;
	return a->status == DNS_NONE && a->is_nxdomain && a->has_soa ? SENDER_MISSING
								     : SENDER_UNKNOWN;
}

static void
was_tried(struct sender_lookup *l)
{
	if (--l->n_waiting == 0)
		done(l, l->canary_state == CANARY_ALIVE && l->is_denied_again ? l->suspected
									      : SENDER_UNKNOWN);
}

static void
on_again(struct dns_request *r, const struct dns_answer *a)
{
	struct sender_lookup *l = r->arg;

	l->is_denied_again = fact_of(a) == l->suspected;
	was_tried(l);
}

enum sender_canary
sender_canary_of(const struct dns_answer *a)
{
	if (!is_known(a))
		return CANARY_SILENT;
	if (is_null_mx(a) || (a->status == DNS_NONE && (a->is_nxdomain || !a->has_soa)))
		return CANARY_DENIED;
	return CANARY_ALIVE;
}

static void
on_canary(struct dns_request *r, const struct dns_answer *a)
{
	struct sender_lookup *l = r->arg;

	l->canary_state = sender_canary_of(a);
	was_tried(l);
}

/*
 * A fault is believed when the same resolver says the same again now, and does not deny what is known
 * to exist: both past our cache, which may remember what it said in a bad hour.
 */
static void
suspect(struct sender_lookup *l, enum sender_fact fact)
{
	l->suspected = fact;
	l->is_denied_again = fact != SENDER_MISSING && fact != SENDER_NULL_MX; /* nothing denied */
	if (!l->is_denied_again)
		ask(l, &l->again,
		    (struct dns_question){.type = DNS_MX, .name = l->domain, .is_fresh = true},
		    on_again);
	ask(l, &l->canary,
	    (struct dns_question){.type = DNS_MX, .name = l->canary_name, .is_fresh = true},
	    on_canary);
}

static void
on_address(struct dns_request *r, const struct dns_answer *a)
{
	struct sender_lookup *l = r->arg;

	l->has_failed |= !is_proper(a);
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n_addresses; i++) {
		if (!sender_ip_is_private(&a->addresses[i])) {
			done(l, SENDER_FINE);
			return;
		}
		l->has_private = true;
	}
	if (--l->n_waiting > 0)
		return;
	if (l->has_failed)
		done(l, SENDER_UNKNOWN);
	else
		suspect(l, l->has_private ? SENDER_PRIVATE : SENDER_UNREACHABLE);
}

static void
ask_host(struct sender_lookup *l, size_t i)
{
	struct dns_question q = {.type = DNS_A, .name = span_str(l->names[i])};

	ask(l, &l->hosts[i][0], q, on_address);
	q.type = DNS_AAAA;
	ask(l, &l->hosts[i][1], q, on_address);
}

static void
on_mx(struct dns_request *r, const struct dns_answer *a)
{
	struct sender_lookup *l = r->arg;

	l->n_waiting--;
	if (!is_known(a)) {
		done(l, SENDER_UNKNOWN);
	} else if (fact_of(a) != SENDER_UNKNOWN) {
		suspect(l, fact_of(a));
	} else if (a->status == DNS_FOUND && a->n_names > SENDER_HOSTS_MAX) {
		done(l, SENDER_FINE);
	} else if (a->status == DNS_FOUND) {
		for (size_t i = 0; i < a->n_names; i++)
			(void)span_copy(
			    span_str(a->names[i]), l->names[i], sizeof(l->names[i])); /* as long */
		for (size_t i = 0; i < a->n_names; i++)
			ask_host(l, i);
	} else { /* RFC 5321 section 5.1: its own address is as good as an MX */
		l->has_failed |= !is_proper(a);
		(void)span_copy(l->domain, l->names[0], sizeof(l->names[0])); /* start has looked */
		ask_host(l, 0);
	}
}

static void
on_deadline(void *arg)
{
	done(arg, SENDER_UNKNOWN);
}

struct sender_lookup *
sender_lookup_start(struct loop *loop, struct dns_client *dns, struct span domain,
    struct span canary, uint32_t timeout_ms, void (*on_done)(void *arg), void *arg)
{
	struct sender_lookup *l = mem_alloc(sizeof(*l));

	l->dns = dns;
	/* What is too long to be asked for is an empty name, which the lookup role fails. */
	l->domain = domain.n <= LOOKUP_NAME_MAX ? domain : (struct span){0};
	l->canary_name = canary;
	l->timeout_ms = timeout_ms;
	l->on_done = on_done;
	l->arg = arg;
	loop_timer(loop, &l->deadline, timeout_ms, on_deadline, l);
	ask(l, &l->mx, (struct dns_question){.type = DNS_MX, .name = l->domain}, on_mx);
	return l;
}

enum sender_fact
sender_lookup_fact(const struct sender_lookup *l)
{
	return l->fact;
}

enum sender_canary
sender_lookup_canary(const struct sender_lookup *l)
{
	return l->canary_state;
}

void
sender_lookup_free(struct sender_lookup **l)
{
	if (*l == NULL)
		return;
	cancel(*l);
	mem_free(*l);
	*l = NULL;
}
