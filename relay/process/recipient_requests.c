#include "relay/process/recipient_requests.h"
#include "policy/recipient/route.h"
#include "relay/base/json.h"

enum { ANSWER_MAX = 1024 * 1024 };

static const char *
result_name(enum route_result found, const struct route *route)
{
	switch (found) {
	case ROUTE_FOUND:
		return route->is_postmaster ? "postmaster" : "known";
	case ROUTE_NO_SUCH:
		return "unknown";
	case ROUTE_DENIED:
		break;
	}
	return "not ours";
}

static void
add_source(struct json *j, const struct front *f, const struct conf_domain *d)
{
	const struct recipients *table;

	if (d == NULL) {
		json_none(j, "domain");
		json_none(j, "source");
		return;
	}
	table = f->recipients[d - f->config->domains];
	json_str(j, "domain", d->name);
	json_bool(j, "subdomains", d->has_subdomains);
	json_str(j, "source", table != NULL ? d->recipients_file : "any");
	if (table != NULL)
		json_int(j, "entries", (int64_t)recipients_count(table));
}

static void
show(struct role *role, const struct front *f, uint64_t id, struct span address)
{
	/* Whether it is one of ours, whoever asks: no flow that relays to anybody. */
	static const struct conf_flow ours = {.relay = RELAY_DOMAINS};
	size_t at = span_rfind(address, '@');
	struct buf b = BUF_INIT(ANSWER_MAX);
	struct json j = {.to = &b};
	struct route route;
	enum route_result found = route_find(f->config, &ours, f->recipients, address, &route);

	json_open(&j, NULL, '{');
	json_text(&j, "address", address);
	json_str(&j, "result", result_name(found, &route));
	add_source(&j, f, config_domain(f->config, span_skip(address, at + 1)));
	if (found == ROUTE_FOUND)
		json_str(&j, "gateway", route.gateway->name);
	else
		json_none(&j, "gateway");
	json_close(&j, '}');
	(void)buf_add_char(&b, '\n'); /* bounded: an address and names of the configuration */
	role_reply(role, id, buf_span(&b));
	role_reply_end(role, id, found == ROUTE_FOUND ? EXIT_OK : EXIT_NO, (struct span){0});
	buf_free(&b);
}

/* Files are read as a whole, so there is nothing that was asked for and remembered. */
static void
clear(struct role *role, uint64_t id)
{
	role_reply(role, id, SPAN("{\"cleared\":0}\n"));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
}

void
recipient_request(
    struct role *role, const struct front *f, uint64_t id, const struct control_request *r)
{
	struct span verb = r->n_words > 1 ? r->words[1] : (struct span){0};

	if (r->n_words == 3 && span_eq(verb, SPAN("show")) &&
	    (smtp_address_is_valid(r->words[2]) || span_eq_nocase(r->words[2], SPAN("postmaster"))))
		show(role, f, id, r->words[2]);
	else if (r->n_words <= 3 && span_eq(verb, SPAN("clear")))
		clear(role, id);
	else
		role_reply_end(
		    role, id, EXIT_USAGE, SPAN("recipient knows show ADDRESS and clear"));
}
