/*
 * explain.h - what the files of `postern explain` share: one mail, what was found out about it, and the
 * steps of its walk.
 */
#ifndef COMMAND_EXPLAIN_H
#define COMMAND_EXPLAIN_H
#include "policy/decide/decide.h"
#include "policy/geo/mmdb.h"
#include "policy/recipient/recipient.h"
#include "relay/base/id.h"
#include "relay/base/json.h"
#include "relay/command/conduct_told.h"
#include "relay/front/content.h"
#include "relay/front/dns_client.h"
#include "relay/walk/findings.h"

enum { OUTPUT_MAX = 16 * 1024 * 1024 };

struct explanation;

struct outcome {
	struct explanation *explanation;
	const char *to;
	struct verdict verdict;
	bool is_turned_away; /* at RCPT or before: the reply after DATA is not to it */
	const struct conf_gateway *gateway;
	struct recipient_answer known; /* RECIPIENT_UNKNOWN: not asked for, or nobody could say */
};

struct explanation {
	struct explain_options options;
	const struct command_line *line;
	struct buf config_text, bundle, steps;
	struct json steps_json;
	struct config *config;
	const struct conf_flow *flow;
	struct snapshot *snapshot;
	struct recipients **recipients;
	struct mmdb countries, networks; /* in the bundle */
	struct id id;
	struct list_answer answers[POLICY_LISTS_MAX];
	char host[LOOKUP_NAME_MAX + 1];
	size_t n_waiting;
	bool lacks_fact; /* something could not be had: status 75 */
	struct loop *loop;
	struct dns_client *dns;            /* NULL: offline */
	struct span hosts[SCAN_HOSTS_MAX]; /* of the URLs */
	size_t n_hosts;
	enum sender_fact sender;
	struct content content;
	struct findings findings;
	const struct scan_result *result; /* NULL: no filter has run */
	struct conduct conduct;
	struct verdict verdict; /* of the session and the sender */
	bool is_ended;          /* the client hears of it before it can name a sender */
	struct outcome outcomes[EXPLAIN_TO_MAX];
};

/* explain_names.c: asks the lists of domains, and the DNS about the sender's domain; waits. */
void explain_ask_names(struct explanation *e);
void explain_ask_urls(struct explanation *e); /* once the filters have told of hosts */
/* explain_print.c */
bool explain_is_delivered(const struct verdict *v);
void explain_print_json(struct explanation *e);
void explain_print_text(struct explanation *e);

#endif
