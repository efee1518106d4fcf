/* sender.c - what the DNS says of the sender's domain, as far as the flow's connect asks. */
#include "policy/decide/walk.h"

#include <stdio.h>

struct fault {
	const char *tag, *why;
	enum action action;
	const char *reject, *tempfail; /* enhanced codes */
	const char *text;              /* behind the domain */
};

/* Only for the faults, from SENDER_MISSING on. */
static struct fault
fault_of(enum sender_fact fact, const struct conf_sender *conf)
{
	struct fault f = {.tag = "sender-missing",
	    .why = "the sender's domain does not exist",
	    .action = conf->missing,
	    .reject = "5.1.8",
	    .tempfail = "4.1.8",
	    .text = "does not exist; check the sender's address"};

	switch (fact) {
	case SENDER_NULL_MX:
		f = (struct fault){.tag = "sender-null-mx",
		    .why = "the sender's domain takes no mail (null MX)",
		    .action = conf->null_mx,
		    .reject = "5.7.27",
		    .tempfail = "4.7.27",
		    .text = "takes no mail (null MX, RFC 7505) and so cannot send any"};
		break;
	case SENDER_UNREACHABLE:
		f.tag = "sender-unreachable";
		f.why = "the sender's domain has no mail server and no address";
		f.action = conf->unreachable;
		break;
	case SENDER_PRIVATE:
		f.tag = "sender-private";
		f.why = "the sender's mail servers have private addresses only";
		f.action = conf->private;
		break;
	case SENDER_MISSING:
	case SENDER_UNKNOWN:
	case SENDER_FINE:
	case SENDER_OWN:
		break;
	}
	return f;
}

static void
refuse(struct decide_walk *w, const struct fault *f, struct span domain)
{
	char text[VERDICT_REPLY_MAX];
	struct ruling ruling = {.action = f->action,
	    .by = SPAN("sender"),
	    .enhanced = f->action == ACTION_TEMPFAIL ? f->tempfail : f->reject,
	    .why = span_str(f->why)};

	(void)snprintf(text, sizeof(text), "Domain %.*s %s", SPAN_ARG(domain), f->text); /* cut */
	ruling.text = span_str(text);
	walk_rule(w, &ruling);
}

static void
weigh(struct decide_walk *w, const struct fault *f, struct span domain)
{
	struct verdict_tag tag = {
	    .name = span_str(f->tag), .by = SPAN("sender"), .why = span_str(f->why)};

	if (f->action == ACTION_TAG)
		walk_tag(w, &tag, 0);
	else if (f->action > ACTION_TAG && w->v->is_accepted) {
		walk_trace(w, "sender", domain, 0, "skipped: accepted");
		return;
	} else if (f->action > ACTION_TAG)
		refuse(w, f, domain);
	walk_trace(w, "sender", tag.why, 0, action_name(f->action));
}

void
walk_sender(struct decide_walk *w)
{
	const struct facts *facts = w->facts;
	struct span domain = span_skip(facts->from, span_rfind(facts->from, '@') + 1);
	struct fault f;

	if (w->stage != STAGE_MAIL || facts->flow == NULL ||
	    !(facts->flow->connect & CONNECT_SENDER) || facts->from.n == 0)
		return;
	switch (facts->sender) {
	case SENDER_UNKNOWN:
		walk_trace(w, "sender", domain, 0, "unknown");
		return;
	case SENDER_FINE:
		walk_trace(w, "sender", domain, 0, "no match");
		return;
	case SENDER_OWN:
		walk_trace(w, "sender", domain, 0, "skipped: one of ours");
		return;
	case SENDER_MISSING:
	case SENDER_NULL_MX:
	case SENDER_UNREACHABLE:
	case SENDER_PRIVATE:
		break;
	}
	f = fault_of(facts->sender, &facts->flow->sender);
	weigh(w, &f, domain);
}
