/*
 * walk.h - the walk of a message through front, stage by stage: the structs that stages 1 to 6
 * share.  Stages 7 and 8 run in the spool role (delivery.h).
 *
 * Read 1_accept.c to 8_settle.c in order; they call the machinery below relay/front, relay/smtp,
 * relay/message and policy/, and nothing calls them but session.c.
 */
#ifndef WALK_WALK_H
#define WALK_WALK_H
#include "policy/decide/decide.h"
#include "policy/decide/kept.h"
#include "policy/geo/mmdb.h"
#include "policy/recipient/recipient.h"
#include "relay/base/id.h"
#include "relay/front/clients.h"
#include "relay/front/connection.h"
#include "relay/front/content.h"
#include "relay/front/dns_client.h"
#include "relay/front/farewell.h"
#include "relay/front/files.h"
#include "relay/front/guesses.h"
#include "relay/front/canary_watch.h"
#include "relay/front/grey_client.h"
#include "relay/front/hits.h"
#include "relay/front/host_lookup.h"
#include "relay/front/key_client.h"
#include "relay/front/limits.h"
#include "relay/front/list_watch.h"
#include "relay/front/spool_client.h"
#include "relay/front/worker_pool.h"
#include "relay/ipc/control.h"
#include "relay/smtp/params.h"
#include "relay/smtp/reader.h"

enum {
	WALK_SESSIONS_MAX = 20000,
	WALK_HOPS_MAX = 50,       /* Received fields: more is a loop (RFC 5321 6.3) */
	WALK_HANDSHAKES_MIN = 64, /* at once, or WALK_HANDSHAKES_SHARE of all sessions if more */
	WALK_HANDSHAKES_SHARE = 8,
	WALK_DRAIN_MS = 8000,    /* how long a message in hand may take when front ends */
	WALK_PROXY_MS = 10000,   /* for a balancer's header: it sends it at once */
	WALK_MISTAKE_MS = 1000,  /* pause after each mistake past half of those allowed */
	WALK_SKIP_MAX = 1 << 20, /* of one command line that is too long */
	WALK_IDLE_MAX =
	    100, /* commands that change nothing, since the last message: more are mistakes */
	WALK_STRESS_DIVISOR = 10, /* times are this much shorter when sessions run short */
	WALK_STRESS_MS_MIN = 5000,
	WALK_BUFFERS_SPARED = 8192, /* of one session, when memory has run out */
	WALK_SESSION_BYTES = 2048   /* of a session that waits for a command, buffers aside */
};

/* Everything the front role knows; one for the process. */
struct front {
	struct loop *loop;
	const struct config *config;
	struct snapshot *snapshot;
	bool needs_host; /* a rule of the snapshot looks at the reverse name */
	struct buf bundle;
	struct mmdb countries, networks; /* in the bundle */
	struct dns_client *dns;
	struct list_watch *lists, *domain_lists;
	struct canary_watch *canaries; /* of senders; NULL: nobody watches them */
	struct worker_pool *workers;
	struct spool_client *spool;
	struct channel *journal;
	struct key_client *keys;
	struct ssl_ctx_st *tls; /* NULL: no certificate */
	struct tls_tickets *tickets;
	struct tallies
	    *tallies; /* shared with the other fronts: limits, clients, failed sign-ins */
	struct limits *limits;
	struct hits *hits;              /* of rules; NULL: nobody counts them */
	struct grey_client *grey;       /* NULL: no flow has a greylist */
	struct recipients **recipients; /* one for each of config->domains; NULL: any */
	struct list sessions;
	struct list refilters;           /* held messages that are filtered again */
	struct clients *clients;         /* of the sessions that are counted */
	struct farewells *farewells;     /* to those there is no room for */
	size_t n_sessions, sessions_max; /* sessions_max 0: no limit */
	size_t n_handshakes;             /* sessions inside one */
	bool is_stressed;                /* sessions run short: nobody may dawdle */
	bool is_draining;
	uint64_t n_connections, n_accepted, n_refused, n_journal_dropped;
	uint64_t n_limits; /* decisions in which a rule's regex met its limit */
	uint32_t limited;  /* the first such rule of this policy, 0: none; it is reported */
	uint64_t
	    n_unread;    /* decisions for which a rule on the content was not tried (TRUTH_SPENT) */
	bool has_unread; /* one of this policy; it is reported */
	void (*report)(void *arg, const char *name, const char *what, const char *do_this);
	void *report_arg;
	uint64_t n_tls, n_tls_failed, n_auth_failed, n_turned_away;
};

struct domain_round;
struct inquiry; /* inquire.c */

struct rcpt {
	struct span address; /* in the transaction's arena */
	const struct conf_gateway *gateway;
	struct kept_verdict *verdict; /* NULL: the transaction's */
	bool is_postmaster;           /* not refused by what was decided before RCPT */
	unsigned notify;              /* NOTIFY_ of smtp/notify.h, 0: not given */
	struct span orcpt;            /* "type;xtext" in ASCII, in the arena; empty: not given */
};

/* Recipients whose copies are the same. */
struct group {
	struct verdict verdict;
	uint32_t *rcpts; /* indexes */
	size_t n_rcpts;
};

/* A RCPT that waits for whoever knows the recipients of its domain. */
struct rcpt_question {
	struct recipient_request request;
	struct session *session;
	const struct conf_domain *domain;
	struct rcpt rcpt; /* taken already by the rules */
};

/* From MAIL to the answer after DATA. */
struct transaction {
	struct arena memory;
	uint64_t held; /* by it and its recipients, as the memory budget knows it (content.h) */
	size_t verdict_bytes; /* of recipients */
	struct id id;
	struct span from;
	bool is_8bit, had_rcpt; /* RCPT was said, if only to be refused */
	bool has_said_utf8;     /* SMTPUTF8 at MAIL */
	bool is_utf8;           /* ... and needed: an address or the content is beyond ASCII */
	bool is_chunked;        /* BDAT was said */
	enum notify_ret ret;
	struct span envid;      /* xtext, in the arena; empty: not given */
	struct verdict verdict; /* session's, then what MAIL has added */
	struct rcpt *rcpts;
	size_t n_rcpts, rcpts_size;
	uint64_t rcpts_bytes;          /* of them in the spool's envelope */
	struct rcpt_question question; /* in SESSION_ASKING */
	uint64_t announced;            /* SIZE of MAIL, 0: not given */
	struct reader_data data;
	struct content content;
	int content_error; /* -E_ of content_add: the rest is read and dropped */
	bool is_too_large;
	struct scan scan;
	bool is_unseen; /* nobody could look at it, and a rule on the content might refuse it */
	const struct span *addresses; /* of rcpts, for the scan */
	struct group *groups;
	size_t n_groups;
	int64_t data_end_ms; /* monotonic */
	enum sender_fact sender;
	struct buf kept;               /* the scan's result, while lists are asked about its URLs */
	const struct verdict *refusal; /* every group refuses: the strongest of them; else NULL */
	struct spool_request commit;
};

/* A message, or a chunk that nobody wants, while it comes in. */
struct pace {
	struct timer *timer;
	int64_t began_ms;
	uint64_t bytes; /* since the timer's last look */
};

/* What the banner waits for; gone when it is spoken. */
struct checks {
	struct dns_request questions[POLICY_LISTS_MAX];
	struct host_lookup host_lookup;
	struct domain_round *host_round; /* NULL: no list is asked about the name */
	struct timer *banner_wait, *greet_wait;
	size_t n_waiting;
};

enum session_state {
	SESSION_PROXY,    /* 1: the balancer's header comes first */
	SESSION_CHECKING, /* 1: the banner waits for the connection's checks */
	SESSION_COMMAND,  /* 2 and 3 */
	SESSION_ASKING,   /* 2 and 3: a command waits for an answer of the lookup role */
	SESSION_DATA,     /* 4 */
	SESSION_CHUNK,    /* 4: the bytes behind a BDAT, wanted or not */
	SESSION_WAITING,  /* 5 and 6 */
	SESSION_SECURING, /* a TLS handshake */
	SESSION_AUTH,     /* a line of a sign-in */
	SESSION_ENDING
};

/* Small: there may be 20,000.  What only some of them need hangs on a pointer. */
struct session {
	struct list node;
	struct front *front;
	struct connection connection;
	enum session_state state;
	bool is_processing; /* session_go_on is at work further up the stack */
	bool is_skipping;   /* the rest of a command line that is too long */
	bool is_delayed;    /* after a mistake: input waits */
	bool is_securing;   /* counted in front->n_handshakes */
	size_t skipped;     /* bytes of that line */
	struct id id;
	struct ip peer;   /* who is connected; behind a balancer, who is connected there */
	struct ip client; /* who counts: the peer, or whom XCLIENT names */
	bool may_xclient, is_counted; /* is_counted: the peer is, in front->clients */
	bool is_named;                /* `client` is whom XCLIENT has named */
	bool is_limited;              /* the client is counted, in front->limits */
	const struct conf_listen *listen;
	struct snapshot *snapshot; /* the session keeps the one it began with */
	bool has_host, is_esmtp;   /* has_host: `host` is verified, or named by XCLIENT */
	bool has_greeted;          /* EHLO was said: said again it is no further hit of a rule */
	bool is_host_told;         /* XCLIENT has said what there is to say of it */
	char host[LOOKUP_NAME_MAX + 1];
	char helo[SMTP_HELO_MAX + 1]; /* empty: not yet said */
	struct kept_verdict
	    *connected;               /* after connect: what each EHLO begins with; NULL: nothing */
	struct kept_verdict *verdict; /* after connect and helo; NULL: nothing */
	uint64_t held;                /* by these two, as the memory budget knows it */
	struct list_answer *answers;  /* one for each list of the snapshot; NULL: none was asked */
	struct checks *checks;        /* NULL: none are running */
	struct inquiry *inquiry;      /* NULL: no question about names is under way */
	struct timer *drain, *delay;
	struct pace pace;
	struct reader_chunks chunks; /* of the transaction's message, or of nobody's */
	const struct smtp_fault
	    *chunk_fault; /* why the chunk at hand is dropped; NULL: it is not */
	unsigned errors;
	unsigned n_idle;                 /* commands that change nothing, since the last message */
	uint64_t n_messages, n_mails;    /* n_mails: MAIL commands */
	struct transaction *transaction; /* NULL outside */
	struct authentication *authentication; /* NULL: none goes on */
	unsigned n_failed_auth;
	char *user;             /* who has signed in; NULL: nobody */
	struct refilter *again; /* nobody is connected: a held message; NULL: a client's session */
};
_Static_assert(sizeof(struct session) <= WALK_SESSION_BYTES, "a waiting session is small");

/* --- session.c: the life of a session, and which command goes to which stage --- */
/* Whether sessions of this peer count as its own: those of our host and of who speaks for others
 * (XCLIENT) do not. */
bool session_is_counted(const struct ip *peer, const struct conf_listen *listen);
/* How many sessions there may be now: fewer where messages have taken the descriptors. */
size_t session_room(const struct front *f);
void session_new(struct front *f, int fd, const struct ip *peer, const struct conf_listen *listen);
/* Who is connected, once that is known: it counts. */
void session_set_peer(struct session *s, const struct ip *peer);
void session_reply(struct session *s, int code, const char *enhanced, const char *text);
/* The same with the session's or the transaction's id behind the text. */
void session_refuse(struct session *s, int code, struct span enhanced, struct span text);
/* A refusal that no rule has decided: the same, and the journal is told. */
void session_refuse_rcpt(
    struct session *s, int code, const char *enhanced, const char *text, struct span to);
void session_refuse_client(struct session *s, int code, const char *enhanced, const char *text);
void session_mistake(struct session *s, int code, const char *enhanced, const char *text);
/* The later ones cost time, the last one ends the session. */
void session_count_error(struct session *s);
/* `ms`, or less when sessions run short. */
int64_t session_patience(const struct session *s, int64_t ms);
void session_expect_line(struct session *s); /* a whole one, in its time */
void session_expect_bytes(
    struct session *s); /* of a message: each in time (data_stop: and at some rate) */
/* A command that changes nothing; too many of them without a message are mistakes. */
void session_count_idle(struct session *s);
/* The version of TLS, "TLSv1.3"; empty: in the clear. */
struct span session_tls(const struct session *s);
/* How Received names what was spoken (RFC 3848, RFC 6531 section 4.3). */
struct span session_protocol(const struct session *s);
/* Keeps a verdict as it is now; one that says nothing costs nothing. */
void session_keep_verdict(struct session *s, struct kept_verdict **slot, const struct verdict *v);
void session_finish(struct session *s); /* after the replies have left */
void session_await_command(struct session *s);
void session_go_on(struct session *s); /* an answer has come: handle the input that waits */
void session_end_transaction(struct session *s);
void session_drain(struct session *s); /* front is ending */
struct facts session_facts(const struct session *s);
/* One stage of the decision; a rule whose regex met its limit is reported. */
void session_decide(
    struct session *s, enum stage stage, const struct facts *facts, struct verdict *v);
struct span session_current_id(const struct session *s);
/* Speaks a verdict that refuses (tempfail or stronger). */
void session_speak(struct session *s, const struct verdict *v);

/* --- the stages --- */
void accept_proxy(struct session *s); /* 1_accept.c: the balancer's header, then accept_begin */
void accept_begin(struct session *s); /* checks, then the banner */
void accept_cancel(struct session *s);

/* secure.c: TLS */
/* The session begins: with a handshake where the listener says so, then with its checks. */
void secure_welcome(struct session *s);
void secure_command(struct session *s, const struct smtp_command *c);
void secure_begin(struct session *s); /* the reply to STARTTLS, and the handshake */
void secure_done(struct session *s);
void secure_leave(struct session *s); /* the session ends, perhaps inside a handshake */
void secure_failed(struct session *s);
bool secure_is_offered(const struct session *s);
bool secure_is_on(const struct session *s);

/* authenticate.c: AUTH */
void authenticate_command(struct session *s, const struct smtp_command *c);
void authenticate_line(struct session *s, struct span line);
void authenticate_abort(struct session *s); /* a line that is none has come: a command is next */
void authenticate_cancel(struct session *s);
void authenticate_offer(const struct session *s, struct buf *to); /* its line of EHLO's reply */
/* Whether the session may use its flow: as one of its clients, or signed in. */
bool authenticate_is_member(const struct session *s);

/* conduct.c: facts of how the client behaves.  Each is asked once for each thing it counts. */
enum rate_fact conduct_connection(struct session *s); /* it counts until conduct_leave */
void conduct_leave(struct session *s);
bool conduct_needs_patience(struct session *s); /* the banner waits for who may talk too early */
enum greet_fact conduct_greeting(struct session *s); /* the banner is due */
enum rate_fact conduct_mail(struct session *s);
/* Rate and greylist, for one recipient. */
void conduct_rcpt(struct session *s, struct facts *facts);
void conduct_error(struct session *s);
/* The answer to a request of ipc/conduct.h: one line. 0, or -E_SYNTAX with what is wrong. */
int conduct_tell(struct front *f, const struct control_request *r, struct buf *to, struct err *err);
void conduct_sent(struct session *s); /* the transaction's message was taken */

/* inquire.c: the lists of domains, and the DNS about the sender's domain.  True: go_on is called when the
 * answers are there; false: there is nothing to wait for, and it is not. */
bool inquire_helo(struct session *s, void (*go_on)(struct session *s));
bool inquire_sender(struct session *s, void (*go_on)(struct session *s));
bool inquire_needs_hosts(const struct session *s);
bool inquire_urls(
    struct session *s, const struct span *hosts, size_t n_hosts, void (*go_on)(struct session *s));
void inquire_cancel(struct session *s);
/* What the lists of `of` have said counts no more. */
void inquire_forget(struct session *s, enum list_of of);
/* As domain_round_start, for this session: NULL when there is nothing to ask. */
struct domain_round *inquire_lists(struct session *s, enum list_of of, const struct span *hosts,
    size_t n_hosts, void (*on_done)(void *arg), void *arg);

void greet_command(struct session *s, const struct smtp_command *c); /* 2_greet.c */

void envelope_mail(struct session *s, const struct smtp_command *c); /* 3_envelope.c */
void envelope_rcpt(struct session *s, const struct smtp_command *c);
void envelope_cancel(struct session *s); /* what is asked about a recipient */

void data_begin(struct session *s); /* 4_data.c */
void data_input(struct session *s);
void data_chunk(struct session *s, const struct smtp_command *c); /* BDAT */
void data_chunk_input(struct session *s);
void data_stop(struct session *s); /* no more bytes are watched for their pace */

void filter_begin(struct session *s); /* 5_filter.c */
void filter_scan(struct session *s);  /* commit_begin follows */
void filter_cancel(struct session *s);

/* 6_commit.c: the only place that answers 250 after DATA. */
void commit_begin(struct session *s, const struct scan_result *result);
void commit_refuse(struct session *s, const struct verdict *v); /* for all recipients */
void commit_cancel(struct session *s);
/* All recipients are one group, with this verdict. */
void commit_regroup(struct session *s, const struct verdict *v);

/* refilter.c: a message that was held, once more through 5 and 6. */
void refilter_begin(struct front *f, uint64_t job, struct span payload, int fd); /* takes the fd */
/* What 6_commit.c has decided, for the spool; the session is gone afterwards.  `asked`: for each of the
 * commit's recipients its index in the transaction; one whose message is stripped is there twice. */
void refilter_answer(struct session *s, struct commit *c, const uint32_t *asked);
void refilter_keep(struct session *s, const struct verdict *v); /* it stays held, for this */
void refilter_split(struct session *s); /* too many recipients for one answer */
struct span refilter_received(const struct session *s);
struct span refilter_tls(const struct session *s);
/* The id that what goes on will have, when some are held again (`some_stay`) or nobody is. */
struct span refilter_name(const struct session *s, bool some_stay);
/* The spool has gone, or (tells) we are about to end: others shall do it. */
void refilter_stop(struct front *f, bool tells);
/* What is kept with a message that is held, so that all this can be done. */
void refilter_facts(const struct session *s, struct buf *to);

/* --- record.c: what the journal is told --- */
void record_refusal(struct session *s, const struct verdict *v, struct span to);
/* group NULL: the outcome is everybody's. */
void record_message(struct session *s, const char *event, const struct verdict *v, int code,
    const struct group *group);

#endif
