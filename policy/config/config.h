/*
 * config.h - postern.conf as data: what one parse of the text yields.
 *
 * Every role parses the same text, handed over by the supervisor as a sealed memfd, so nothing
 * of it travels in a codec.  Immutable after config_parse; config_free drops all of it at once.
 * Strings are NUL-terminated and live as long as the config.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H
#include "filters/postern_filter.h"
#include "policy/config/action.h"
#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/mem.h"

enum {
	CONFIG_TEXT_MAX = 1024 * 1024,
	CONFIG_FILTERS_MAX = 32, /* filters in one flow */
	CONFIG_RETRY_MAX = 64,
	CONFIG_CERTIFICATES_MAX = 16,
	CONFIG_FRONTS_MAX = 8
};

struct endpoint {
	struct ip ip;
	uint16_t port;
	const char *text; /* as written */
};

struct nets {
	struct net *items;
	size_t n;
};

enum listen_tls { LISTEN_PLAIN, LISTEN_STARTTLS, LISTEN_IMPLICIT };
enum { AUTH_PLAIN = 1, AUTH_LOGIN = 2, AUTH_SCRAM_SHA256 = 4 };
/* What a session may take of us. */
struct conf_limits {
	uint32_t sessions_per_client; /* at once, from one IPv4 address or IPv6 /64 */
	uint32_t messages;            /* MAIL commands of one session (MAILMAX of RFC 9422) */
	uint32_t mistakes;            /* before 421 */
	int64_t command_ms;           /* for the next command (RFC 5321 section 4.5.3.2.7) */
	int64_t data_ms;              /* for the next bytes of a message (4.5.3.2.5) */
	int64_t message_ms;           /* for one message, however often bytes come */
	uint64_t data_rate;           /* bytes a second that a message must bring */
};

struct conf_listen {
	const char *name;
	struct endpoint *addresses;
	size_t n_addresses;
	const struct conf_flow *flow;
	struct nets xclient; /* who may send XCLIENT */
	struct nets proxies; /* who must send a PROXY header */
	enum listen_tls tls;
	unsigned auth;     /* AUTH_ bits; PLAIN and LOGIN inside TLS only */
	const char *users; /* a file; NULL: nobody signs in here */
	struct conf_limits limits;
};

/* Certificate chains and their private keys, one of each with the same index. */
struct conf_tls {
	const char *certificates[CONFIG_CERTIFICATES_MAX], *keys[CONFIG_CERTIFICATES_MAX];
	size_t n_certificates, n_keys; /* the same once config_parse has agreed */
	bool is_13_only;
};

extern const struct conf_limits conf_limits_default;

struct conf_dns {
	struct endpoint *servers; /* none given: those of /etc/resolv.conf at start */
	size_t n_servers;
	int64_t timeout_ms, banner_wait_ms;
	int64_t probe_ms; /* between probes of a DNS list that is well */
};

/* Databases (.mmdb) of what is known of an address; NULL: none. */
struct conf_geoip {
	const char *country, *asn;
};

enum relay_rule { RELAY_DOMAINS, RELAY_ANY };
enum refuse_at { REFUSE_AT_RCPT, REFUSE_AT_BANNER };
enum {
	CONNECT_ACCESS = 1,
	CONNECT_DNSBL = 2,
	CONNECT_PTR = 4,
	CONNECT_GREET = 8,
	CONNECT_RATE = 16,
	CONNECT_GREYLIST = 32,
	CONNECT_SENDER = 64
};

/* How many in how long; n == 0: no limit. */
struct conf_allowance {
	uint32_t n;
	int64_t per_ms;
	const char *text; /* as written: "100/1m" */
};

/* For each client: an IPv4 address or an IPv6 /64. */
struct conf_rate {
	uint32_t connections; /* at once; 0: no limit */
	struct conf_allowance messages, recipients, errors;
};

/* What is done when the DNS says of the sender's domain that it cannot be written to. */
struct conf_sender {
	enum action missing, null_mx;     /* pass, tag, tempfail or reject */
	enum action unreachable, private; /* pass or tag */
	const char *canary;               /* a name that exists, and takes mail or has no MX */
};

struct conf_greylist {
	int64_t delay_ms;  /* from the first try on, refused */
	int64_t window_ms; /* from the first try on, in which it may come again */
	int64_t keep_ms;   /* after its last use, what has passed stays known */
	uint32_t clients;  /* mails that passed, and their client's network is known; 0: never */
};

/* outcome -> action of one filter, for a flow, after all overrides; outcomes in the order of the
 * filter's about, and `failure` apart. */
struct conf_actions {
	enum action *outcomes;
	enum action failure;
};

struct conf_flow_filter {
	const struct conf_filter *filter;
	struct conf_actions actions;
	const bool *is_said; /* one for each of actions.outcomes: in the flow; NULL: none is */
	bool is_failure_said;
};

/* What a domain has written over one filter's actions, whatever the flow. */
struct conf_override {
	const struct conf_filter *filter;
	struct conf_actions actions; /* valid where said */
	bool *is_said;               /* one for each of actions.outcomes */
	bool is_failure_said;
};

/* The least sum of scores for each action above pass. */
struct conf_score {
	bool has[ACTION_COUNT];
	int64_t milli[ACTION_COUNT];
};

struct conf_flow {
	const char *name;
	struct nets clients; /* n == 0: anyone may connect */
	enum relay_rule relay;
	const struct conf_gateway
	    *gateway; /* for relay = "any": what matches no domain; else NULL */
	enum refuse_at refuse_at;
	unsigned connect;      /* CONNECT_ bits */
	int64_t greet_wait_ms; /* the banner waits that long for who talks too early */
	struct conf_rate rate;
	struct conf_greylist greylist;
	struct conf_sender sender;
	struct conf_flow_filter filters[CONFIG_FILTERS_MAX];
	size_t n_filters;
	struct conf_score score;
	uint64_t max_size; /* bytes */
	uint32_t max_recipients;
	bool strip_tags;
};

/* How long answers about recipients are kept. */
struct conf_keep {
	int64_t positive_ms, negative_ms;
	int64_t stale_ms; /* past its time, while the source is away: positive answers only */
	int64_t probe_ms; /* between random addresses that nobody can have */
};

enum directory_scope { DIRECTORY_SUB, DIRECTORY_ONE, DIRECTORY_BASE };

struct conf_ldap_server {
	const char *text; /* as written: "ldap://dc1.example.org", "ldaps://10.0.0.9:636" */
	const char *host; /* name or address text without port and brackets */
	uint16_t port;
	bool is_ldaps; /* TLS from the first byte */
	bool is_name;  /* host must be looked up */
	struct ip ip;  /* when !is_name */
};

/* A directory that knows recipients. */
struct conf_ldap {
	const char *name;
	struct conf_ldap_server *servers; /* the first one that answers is asked */
	size_t n_servers;
	const char *base, *filter; /* %s in the filter stands for the address */
	enum directory_scope scope;
	const char *bind, *password_file; /* both NULL: nobody signs in */
	bool starttls;                    /* with ldap:// */
	const char *ca;                   /* NULL: the system's */
	int64_t timeout_ms;               /* of one question, all servers together */
	struct conf_keep keep;
};

struct conf_callout {
	int64_t timeout_ms; /* of one question, all servers together */
	struct conf_keep keep;
};

enum recipients_kind { RECIPIENTS_ANY, RECIPIENTS_FILE, RECIPIENTS_LDAP, RECIPIENTS_CALLOUT };

struct conf_domain {
	const char *name;    /* lower case, without the leading dot */
	bool has_subdomains; /* ".example.org": it and everything below */
	const struct conf_gateway *gateway;
	enum recipients_kind recipients;
	const char *recipients_file;
	struct conf_override *overrides; /* the action matrix: for mail to this domain */
	size_t n_overrides;
	const struct conf_ldap *ldap; /* with RECIPIENTS_LDAP */
	bool takes_unknown;           /* while the source cannot say: 250, else 451 */
	const char *canary; /* an address that must exist, or NULL: a source that denies it
				       * is not believed */
};

struct conf_server {
	const char *text; /* as written: "10.0.0.11:25", "dr.example:25", "[2001:db8::1]:25" */
	const char *host; /* name or address text without port and brackets */
	uint16_t port;
	bool is_name; /* host must be looked up */
	struct ip ip; /* when !is_name */
	uint32_t preference, weight;
	const char
	    *tls_name; /* SNI, and what its certificate is for: its own, the gateway's, host */
};

enum gateway_tls {
	GATEWAY_TLS_OFF,
	GATEWAY_TLS_MAY,     /* when it is offered and works; any certificate */
	GATEWAY_TLS_REQUIRE, /* or not at all; any certificate */
	GATEWAY_TLS_VERIFY   /* or not at all; the right certificate */
};

enum gateway_accept {
	GATEWAY_QUEUE,  /* 250 when the message is durable here */
	GATEWAY_THROUGH /* 250 when the gateway has said so, or durable after through_wait_ms */
};

/* How long a server may take before it counts as gone. */
struct conf_timeouts {
	int64_t connect_ms;
	int64_t greeting_ms; /* banner, EHLO, STARTTLS and the handshake, RSET */
	int64_t command_ms;  /* each reply to MAIL, RCPT and DATA */
	int64_t data_ms;     /* it takes no byte of the message */
	int64_t final_ms;    /* the reply to the whole message (RFC 5321 4.5.3.2.6) */
};

extern const struct conf_timeouts conf_timeouts_default;

struct conf_gateway {
	const char *name;
	struct conf_server *servers;
	size_t n_servers;
	enum gateway_tls tls;
	const char *tls_name; /* for servers without one of their own; NULL: their host */
	const char *ca; /* PEM file of authorities; NULL: the system's.  With GATEWAY_TLS_VERIFY */
	struct ip
	    *sources; /* to connect from, at most one of each family; none: the system's choice */
	size_t n_sources;
	enum gateway_accept accept;
	int64_t through_wait_ms;
	uint32_t connections; /* at most, to each address of a server */
	struct conf_timeouts timeouts;
	unsigned line; /* of the section */
};

/* A plugin's own option: all values as written (a scalar has one). */
struct conf_option {
	const struct pnf_option *about;
	const char **values;
	size_t n_values;
	int64_t number; /* for bool, number, size (bytes), time (ms) */
	bool is_given;  /* false: the fallback */
};

struct conf_filter {
	const char *name; /* of the section; messages and headers say this */
	const struct pnf_about *plugin;
	struct conf_actions actions; /* without overrides */
	bool *is_said;               /* one for each of actions.outcomes: false, the plugin's own */
	bool is_failure_said;
	int64_t deadline_ms;
	uint32_t max_failures; /* in a row; then it is not asked for pause_ms */
	int64_t pause_ms;
	int64_t load_ms;             /* its load may take that long */
	struct conf_option *options; /* one for each of plugin->options, in that order */
	size_t n_options;
	unsigned line; /* of the section, or of the list that names it */
};

struct conf_queue {
	int64_t retry_ms[CONFIG_RETRY_MAX]; /* the last one repeats */
	size_t n_retry;
	int64_t warn_after_ms, expire_after_ms;
	uint64_t min_free; /* bytes */
};

struct conf_quarantine {
	int64_t keep_ms;
	uint64_t max; /* bytes */
};

struct conf_web {
	bool is_on; /* the section is there */
	struct endpoint address;
};

/* Where a path or another file's name stands. */
struct conf_place {
	struct conf_place *next;
	const char *text;
	unsigned line;
	bool is_read; /* a file or folder that must be there, not one that we make */
};

struct config {
	struct arena memory;
	const char *file;
	struct conf_place *places; /* for config_line_of */
	const char *hostname, *postmaster, *state_dir, *run_dir;
	const char *plugins; /* folder of shared objects with filters; NULL: none */
	uint32_t fronts;     /* processes that talk to clients */
	struct conf_listen *listens;
	size_t n_listens;
	struct conf_tls tls;
	struct conf_dns dns;
	struct conf_geoip geoip;
	struct conf_flow *flows;
	size_t n_flows;
	struct conf_domain *domains; /* sorted by name, the one without subdomains first */
	size_t n_domains;
	struct conf_gateway *gateways;
	size_t n_gateways;
	struct conf_ldap *ldaps;
	size_t n_ldaps;
	struct conf_callout callout;
	struct conf_filter *filters; /* every filter any flow names, and every section */
	size_t n_filters;
	struct conf_queue queue;
	struct conf_quarantine quarantine;
	struct conf_web web;
};

/* Every error of a text, sorted by line: "FILE:LINE: what is wrong; what would be right".
 * All zeros is valid; the functions below append to it. */
struct config_errors {
	struct buf lines; /* each ends with \n */
	size_t n;
	/* Files of plugins that could not be read, which is an error already: filters named like one (without .so)
	 * are not called unknown as well.  NULL, or NULL at its end. */
	const char *const *unread;
	/* Of a text in error, asked of each file that it names: why it cannot be read, NULL: it can.  What
	 * cannot is told with the rest.  NULL: nobody asks. */
	const char *(*unreadable)(const char *path);
};

/*
 * Parses and checks the whole text.  `plugins` ends with NULL: the filters this build has.
 * `file` is what errors are prefixed with.  Returns NULL when there were errors (all of them in
 * `errors`, which the caller frees with buf_free(&errors->lines)), or a filter is `unread`.  Pure: touches no file; what
 * needs the machine (paths, ports) is config_check_machine's.
 */
struct config *config_parse(struct span text, const char *file,
    const struct pnf_about *const *plugins, struct config_errors *errors);
/* Of a text that may be full of errors, only what is needed to find the relay that runs by an earlier one and its
 * folders: run_dir and state_dir, and how long the quarantine keeps.  All else is as if it were not there.  What the
 * grammar is not kept in stands in `errors`; NULL where that, or what they are, leaves it open which folders are meant. */
struct config *config_parse_places(
    struct span text, const char *file, struct config_errors *errors);
void config_free(struct config **c);
/* The folder that the top-level word `plugins` names, and its line; false when there is none.  What
 * is wrong with the text is config_parse's to say: it needs the plugins first.  Pure. */
bool config_plugins_folder(struct span text, char *folder, size_t size, unsigned *line);

/* Where Debian keeps the authorities that everybody trusts (package ca-certificates). */
#define CONFIG_SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* What only the machine can tell: authorities of gateways and directories sound, passwords readable, parents of state_dir
 * and run_dir there, each problem as a line in `errors` with what to do.  Files that are read at the
 * start (recipients, certificates, databases) are told of by who reads them.  0 or -E_CONFIG. */
int config_check_machine(const struct config *c, struct config_errors *errors);

/* The first line that names this path; 1 where it is a default. */
unsigned config_line_of(const struct config *c, const char *path);
const struct conf_flow *config_flow(const struct config *c, struct span name);
const struct conf_gateway *config_gateway(const struct config *c, struct span name);
const struct conf_ldap *config_ldap(const struct config *c, struct span name);
/* Whether the domain's recipients are asked for one by one, of the lookup role. */
bool config_asks_recipients(const struct conf_domain *d);
/* The domain section that an address's domain falls under (longest wins), NULL: none. */
const struct conf_domain *config_domain(const struct config *c, struct span domain);
/* The same for a whole address. */
const struct conf_domain *config_domain_of(const struct config *c, struct span address);
/* What is done for an outcome (its index; -1: failure) of a filter in a flow, for mail to `domain`
 * (NULL: to none of ours): the domain's word, else the flow's, else the filter's. */
enum action config_action(
    const struct conf_flow_filter *filter, const struct conf_domain *domain, int outcome);
/* Whether it is that for mail to anybody. */
bool config_may_be(
    const struct config *c, const struct conf_flow_filter *filter, int outcome, enum action action);
/* Whether this outcome of a plugin says how a message can be read, so that it may be normalised for it. */
bool config_can_normalise(const struct pnf_about *about, struct span outcome);
bool nets_have(const struct nets *nets, const struct ip *ip);
/* Whether there is work for the key role: a listener with TLS or with users. */
bool config_needs_key(const struct config *c);

#endif
