#include "tests/lib/sink_session.h"

#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/list.h"
#include "relay/base/mem.h"
#include "relay/tls/tls.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
	READ_PIECE = 65536,
	OUT_MAX = 1024 * 1024,
	ENVELOPE_MAX = 8 * 1024 * 1024,
	ENDLESS_PIECE = 4096
};

struct session {
	struct list node; /* among all_sessions */
	struct loop *loop;
	struct watch *watch;
	struct timer *timer; /* a reply that waits for its time */
	const struct sink_rules *rules;
	int fd;
	bool is_data;   /* between 354 and the final dot */
	bool is_ending; /* closes when everything is written */
	bool is_gone;
	bool is_mute, is_endless; /* faults that last */
	bool has_from;
	bool is_chunk, is_last; /* in BDAT; its LAST */
	uint64_t chunk;         /* bytes of it that are still to come */
	size_t n_rcpts;
	struct tls *tls;          /* from the 220 to STARTTLS on */
	bool is_starting_tls;     /* the 220 to STARTTLS has to go first */
	bool is_secured;          /* the handshake is over */
	struct buf in, out, late; /* late: the reply the timer holds back */
	struct buf helo, from, params, to, rcpt_params, body, client;
};

static struct list all_sessions = {&all_sessions, &all_sessions};

static const char *const stage_names[SINK_STAGES] = {
    "banner", "ehlo", "starttls", "tls", "mail", "rcpt", "data", "dot"};

enum sink_stage
sink_stage_parse(struct span name)
{
	unsigned i = 0;
	while (i < SINK_STAGES && !span_eq(name, span_str(stage_names[i])))
		i++;
	return (enum sink_stage)i;
}

static void
forget_transaction(struct session *s)
{
	s->is_data = s->is_chunk = false;
	s->has_from = false;
	s->n_rcpts = 0;
	buf_clear(&s->from);
	buf_clear(&s->params);
	buf_clear(&s->to);
	buf_clear(&s->rcpt_params);
	buf_clear(&s->body);
}

static void
session_free(struct session *s)
{
	list_remove(&s->node);
	timer_cancel(&s->timer);
	watch_remove(&s->watch);
	tls_free(&s->tls);
	close(s->fd);
	struct buf *all[] = {&s->in, &s->out, &s->late, &s->helo, &s->from, &s->params, &s->to,
	    &s->rcpt_params, &s->body, &s->client};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		buf_free(all[i]);
	mem_free(s);
}

static void go_on(struct session *s);

static void
on_late(void *arg)
{
	struct session *s = arg;
	buf_add_span(&s->out, buf_span(&s->late));
	buf_clear(&s->late);
	go_on(s);
}

/* What is said at this stage, which may be late. */
static void
say(struct session *s, enum sink_stage stage, const char *text)
{
	int64_t delay_ms = s->rules->at[stage].delay_ms;
	bool is_late = delay_ms > 0 || s->timer != NULL;
	buf_add_str(is_late ? &s->late : &s->out, text);
	if (is_late && s->timer == NULL)
		loop_timer(s->loop, &s->timer, delay_ms, on_late, s);
}

static void
say_code(struct session *s, enum sink_stage stage, int code)
{
	char line[80];
	snprintf(line, sizeof line, "%d %d.7.0 sink says so at %s\r\n", code, code / 100,
	    stage_names[stage]);
	say(s, stage, line);
	if (stage == SINK_BANNER || code == 421)
		s->is_ending = true;
}

/* The stage's own rule, if there is one: whether the usual answer is spared. */
static bool
answered_by_rule(struct session *s, enum sink_stage stage)
{
	switch (s->rules->at[stage].fault) {
	case FAULT_NONE:
		return false;
	case FAULT_REPLY:
		say_code(s, stage, s->rules->at[stage].code);
		break;
	case FAULT_CLOSE:
		s->is_gone = true;
		break;
	case FAULT_MUTE:
		s->is_mute = true;
		break;
	case FAULT_GARBAGE:
		say(s, stage, "\001\002 what a server of another protocol says\r\n");
		break;
	case FAULT_ENDLESS:
		s->is_endless = true;
		say(s, stage, "250-");
		break;
	}
	return true;
}

static void
say_offers(struct session *s)
{
	const struct sink_rules *r = s->rules;
	struct buf text = BUF_INIT(SINK_LINE_MAX);
	buf_add_str(&text, "250-sink.example\r\n");
	if (!r->has_no_pipelining)
		buf_add_str(&text, "250-PIPELINING\r\n");
	if (!r->has_no_8bitmime)
		buf_add_str(&text, "250-8BITMIME\r\n");
	if (r->tls != NULL && s->tls == NULL)
		buf_add_str(&text, "250-STARTTLS\r\n");
	for (size_t i = 0; i < r->n_offers; i++)
		buf_addf(&text, "250-%s\r\n", r->offers[i]);
	buf_addf(&text, "250 SIZE %d\r\n%c", SINK_MESSAGE_MAX, '\0');
	say(s, SINK_EHLO, text.p);
	buf_free(&text);
}

static void
on_ehlo(struct session *s, struct span name, bool is_extended)
{
	if (answered_by_rule(s, SINK_EHLO))
		return;
	forget_transaction(s);
	buf_clear(&s->helo);
	buf_add_span(&s->helo, name);
	if (is_extended)
		say_offers(s);
	else
		say(s, SINK_EHLO, "250 sink.example\r\n");
}

/* "FROM:<a@b> X Y" or "TO:<a@b>": the path, and in *rest what follows it. */
static bool
take_path(struct span argument, struct span keyword, struct span *path, struct span *rest)
{
	if (!span_starts_nocase(argument, keyword))
		return false;
	*rest = span_trim(span_skip(argument, keyword.n));
	if (rest->n == 0 || rest->p[0] != '<' || span_find(*rest, '>') == rest->n)
		return false;
	*path = span_skip(span_cut(rest, '>'), 1);
	*rest = span_trim(*rest);
	return true;
}

static void
on_mail(struct session *s, struct span argument)
{
	struct span path, rest;
	if (s->helo.n == 0 || s->has_from)
		say(s, SINK_MAIL, "503 5.5.1 not now\r\n");
	else if (!take_path(argument, SPAN("FROM:"), &path, &rest))
		say(s, SINK_MAIL, "501 5.5.4 MAIL FROM:<address>\r\n");
	else if (!answered_by_rule(s, SINK_MAIL)) {
		s->has_from = true;
		buf_add_span(&s->from, path);
		buf_add_span(&s->params, rest);
		say(s, SINK_MAIL, "250 2.1.0 sender ok\r\n");
	}
}

static bool
refused_by_address(struct session *s, struct span path)
{
	for (size_t i = 0; i < s->rules->n_rcpts; i++) {
		const struct sink_rcpt_rule *r = &s->rules->rcpts[i];
		struct span wanted = span_str(r->address);
		bool is_start = wanted.n > 0 && wanted.p[wanted.n - 1] == '*';
		if (is_start ? !span_starts_nocase(path, span_take(wanted, wanted.n - 1))
			     : !span_eq_nocase(path, wanted))
			continue;
		char line[80];
		snprintf(line, sizeof line, "%d %d.1.1 sink does not want this recipient\r\n",
		    r->code, r->code / 100);
		say(s, SINK_RCPT, line);
		return true;
	}
	return false;
}

static void
on_rcpt(struct session *s, struct span argument)
{
	struct span path, rest;
	if (!s->has_from)
		say(s, SINK_RCPT, "503 5.5.1 MAIL first\r\n");
	else if (!take_path(argument, SPAN("TO:"), &path, &rest))
		say(s, SINK_RCPT, "501 5.5.4 RCPT TO:<address>\r\n");
	else if (!refused_by_address(s, path) && !answered_by_rule(s, SINK_RCPT)) {
		if (s->n_rcpts++ > 0) {
			buf_add_char(&s->to, ',');
			buf_add_char(&s->rcpt_params, ',');
		}
		buf_add_json(&s->to, path);
		buf_add_json(&s->rcpt_params, rest);
		say(s, SINK_RCPT, "250 2.1.5 recipient ok\r\n");
	}
}

static void
on_data(struct session *s)
{
	if (s->n_rcpts == 0)
		say(s, SINK_DATA, "503 5.5.1 RCPT first\r\n");
	else if (!answered_by_rule(s, SINK_DATA)) {
		s->is_data = true;
		say(s, SINK_DATA, "354 go ahead\r\n");
	}
}

static bool
offers(const struct session *s, const char *word)
{
	for (size_t i = 0; i < s->rules->n_offers; i++)
		if (span_eq_nocase(span_str(s->rules->offers[i]), span_str(word)))
			return true;
	return false;
}

static void
on_bdat(struct session *s, struct span argument)
{
	if (!offers(s, "CHUNKING") || !span_to_u64(span_word(&argument), &s->chunk) ||
	    s->chunk > SINK_MESSAGE_MAX) {
		say(s, SINK_STAGES, "501 5.5.4 BDAT is not offered, or not so\r\n");
		return;
	}
	s->is_chunk = true;
	s->is_last = span_eq_nocase(span_word(&argument), SPAN("LAST"));
}

static void
on_starttls(struct session *s)
{
	if (s->rules->tls == NULL || s->tls != NULL)
		say(s, SINK_STARTTLS, "502 5.5.1 not offered\r\n");
	else if (!answered_by_rule(s, SINK_STARTTLS)) {
		say(s, SINK_STARTTLS, "220 2.0.0 go ahead\r\n");
		s->is_starting_tls = true;
	}
}

static void
on_dot(struct session *s)
{
	s->is_data = false;
	if (!answered_by_rule(s, SINK_DOT)) {
		struct sink_message m = {.helo = buf_span(&s->helo),
		    .from = buf_span(&s->from),
		    .to = buf_span(&s->to),
		    .params = buf_span(&s->params),
		    .rcpt_params = buf_span(&s->rcpt_params),
		    .tls = s->tls != NULL ? tls_version(s->tls) : (struct span){0},
		    .is_chunk = s->is_chunk,
		    .client = buf_span(&s->client),
		    .body = buf_span(&s->body)};
		char line[64];
		bool is_kept = !s->body.failed && sink_store_put(s->rules->store, &m) == 0;
		snprintf(line, sizeof line, "250 2.0.0 kept as %06llu\r\n",
		    (unsigned long long)s->rules->store->last);
		say(s, SINK_DOT, is_kept ? line : "452 4.3.1 could not keep it\r\n");
	}
	forget_transaction(s);
}

static void
on_command(struct session *s, struct span line)
{
	struct span rest = line, verb = span_word(&rest);
	rest = span_trim(rest);
	if (span_eq_nocase(verb, SPAN("EHLO")) || span_eq_nocase(verb, SPAN("HELO")))
		on_ehlo(s, rest, char_lower(verb.p[0]) == 'e');
	else if (span_eq_nocase(verb, SPAN("MAIL")))
		on_mail(s, rest);
	else if (span_eq_nocase(verb, SPAN("RCPT")))
		on_rcpt(s, rest);
	else if (span_eq_nocase(verb, SPAN("DATA")))
		on_data(s);
	else if (span_eq_nocase(verb, SPAN("BDAT")))
		on_bdat(s, rest);
	else if (span_eq_nocase(verb, SPAN("STARTTLS")))
		on_starttls(s);
	else if (span_eq_nocase(verb, SPAN("RSET"))) {
		forget_transaction(s);
		say(s, SINK_STAGES, "250 2.0.0 forgotten\r\n");
	} else if (span_eq_nocase(verb, SPAN("NOOP")))
		say(s, SINK_STAGES, "250 2.0.0 fine\r\n");
	else if (span_eq_nocase(verb, SPAN("QUIT"))) {
		s->is_ending = true;
		say(s, SINK_STAGES, "221 2.0.0 bye\r\n");
	} else
		say(s, SINK_STAGES, "500 5.5.1 what?\r\n");
}

static void
on_data_line(struct session *s, struct span line, struct span ending)
{
	if (line.n == 1 && line.p[0] == '.') {
		on_dot(s);
		return;
	}
	if (line.n > 0 && line.p[0] == '.')
		line = span_skip(line, 1);
	buf_add_span(&s->body, line);
	buf_add_span(&s->body, ending);
}

/* One whole line from the input: false when there is none yet. */
static bool
take_line(struct session *s, size_t *from, struct span *line, struct span *ending)
{
	struct span rest = span_skip(buf_span(&s->in), *from);
	for (size_t at = 0; at < rest.n; at++) {
		at += span_find(span_skip(rest, at), '\n');
		if (at >= rest.n)
			return false;
		bool has_cr = at > 0 && rest.p[at - 1] == '\r';
		if (!has_cr && !s->rules->is_lenient)
			continue;
		*line = span_take(rest, has_cr ? at - 1 : at);
		*ending = span_take(span_skip(rest, line->n), has_cr ? 2 : 1);
		*from += at + 1;
		return true;
	}
	return false;
}

/* The bytes of BDAT that are here; a chunk without a recipient is swallowed (RFC 3030 section 2). */
static void
take_chunk(struct session *s, size_t *used)
{
	struct span rest = span_skip(buf_span(&s->in), *used);
	struct span piece = span_take(rest, s->chunk < rest.n ? (size_t)s->chunk : rest.n);
	buf_add_span(&s->body, piece);
	s->chunk -= piece.n;
	*used += piece.n;
	if (s->chunk > 0)
		return;
	if (s->n_rcpts == 0) {
		s->is_chunk = false;
		say(s, SINK_DOT, "503 5.5.1 RCPT first\r\n");
	} else if (s->is_last) {
		on_dot(s);
	} else {
		s->is_chunk = false;
		say(s, SINK_DOT, "250 2.0.0 go on\r\n");
	}
}

static bool
is_listening(const struct session *s)
{
	return s->timer == NULL && !s->is_ending && !s->is_gone && !s->is_mute && !s->is_endless &&
	       !s->is_starting_tls;
}

static void
take_input(struct session *s)
{
	struct span line, ending;
	size_t used = 0;
	while (is_listening(s)) {
		if (s->is_chunk) {
			if (used == s->in.n && s->chunk > 0)
				break;
			take_chunk(s, &used);
		} else if (!take_line(s, &used, &line, &ending)) {
			break;
		} else if (s->is_data) {
			on_data_line(s, line, ending);
		} else {
			on_command(s, line);
		}
	}
	buf_consume(&s->in, used);
}

/* > 0; 0: none go now; -1: it is over. */
static ssize_t
write_some(struct session *s)
{
	enum tls_wait wait;
	ssize_t n;
	if (s->is_secured)
		n = tls_write(s->tls, s->out.p, s->out.n, &wait);
	else
		n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
	if (n > 0)
		return n;
	return (s->is_secured ? wait != TLS_FAILED : errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void
flush(struct session *s)
{
	while (s->out.n > 0 && !s->is_gone) {
		ssize_t n = write_some(s);
		if (n == 0)
			break;
		if (n < 0)
			s->is_gone = true;
		else
			buf_consume(&s->out, (size_t)n);
	}
}

/* The 220 has gone: what comes next is not in clear. */
static void
begin_tls(struct session *s)
{
	s->is_starting_tls = false;
	buf_clear(&s->in);
	forget_transaction(s);
	buf_clear(&s->helo);
	if (!answered_by_rule(s, SINK_TLS))
		s->tls = tls_new_server(s->rules->tls, s->fd);
}

/* What every event ends in; the session may be gone afterwards. */
static void
go_on(struct session *s)
{
	take_input(s);
	if (s->is_endless && s->out.n == 0 && s->timer == NULL)
		for (size_t i = 0; i < ENDLESS_PIECE; i++)
			buf_add_char(&s->out, 'x');
	flush(s);
	if (s->is_starting_tls && s->out.n == 0 && s->timer == NULL)
		begin_tls(s);
	if (s->in.failed || s->out.failed || (s->is_ending && s->out.n == 0 && s->timer == NULL))
		s->is_gone = true;
	if (s->is_gone) {
		if (s->is_secured && s->is_ending)
			tls_bye(s->tls);
		session_free(s);
		return;
	}
	unsigned reads = s->rules->is_stalling && (s->is_data || s->is_chunk) ? 0 : LOOP_READ;
	watch_change(s->watch, s->out.n > 0 || s->is_endless ? reads | LOOP_WRITE : reads);
}

static void
shake_hands(struct session *s)
{
	enum tls_wait wait = tls_handshake(s->tls);
	if (wait == TLS_FAILED) {
		session_free(s);
		return;
	}
	watch_change(s->watch, wait == TLS_WANT_WRITE ? LOOP_WRITE : LOOP_READ);
	s->is_secured = wait == TLS_DONE;
}

/* > 0; 0: nothing now; -1: it is over. */
static ssize_t
read_some(struct session *s, char *room)
{
	enum tls_wait wait;
	bool is_cut;
	ssize_t n;
	if (s->is_secured)
		n = tls_read(s->tls, room, READ_PIECE, &wait, &is_cut);
	else
		n = recv(s->fd, room, READ_PIECE, 0);
	if (n > 0)
		return n;
	if (n < 0 && (s->is_secured ? wait != TLS_FAILED : errno == EAGAIN || errno == EINTR))
		return 0;
	return -1;
}

static void
on_ready(void *arg, unsigned events)
{
	struct session *s = arg;
	ssize_t n;
	if (s->tls != NULL && !s->is_secured) {
		shake_hands(s);
		return;
	}
	do {
		char *room =
		    (events & (LOOP_READ | LOOP_GONE)) != 0 ? buf_room(&s->in, READ_PIECE) : NULL;
		n = room != NULL ? read_some(s, room) : 0;
		if (n > 0)
			s->in.n += (size_t)n;
		else if (n < 0)
			s->is_gone = true;
	} while (n > 0 && s->is_secured && tls_has_pending(s->tls));
	go_on(s);
}

static void
add_client(struct buf *to, const struct sockaddr_storage *peer)
{
	struct ip ip;
	uint16_t port;
	char text[IP_TEXT_MAX];
	if (ip_from_sockaddr(peer, &ip, &port))
		buf_addf(to, "%.*s:%u", SPAN_ARG(ip_format(&ip, text)), port);
}

void
sink_session_new(
    struct loop *loop, int fd, const struct sockaddr_storage *peer, const struct sink_rules *rules)
{
	struct session *s = mem_alloc(sizeof *s);
	list_append(&all_sessions, &s->node);
	s->loop = loop;
	s->fd = fd;
	s->rules = rules;
	s->in = BUF_INIT(READ_PIECE + SINK_LINE_MAX + (size_t)SINK_MESSAGE_MAX);
	s->out = s->late = BUF_INIT(OUT_MAX);
	s->helo = s->from = s->params = s->client = BUF_INIT(SINK_LINE_MAX);
	s->to = s->rcpt_params = BUF_INIT(ENVELOPE_MAX);
	s->body = BUF_INIT(SINK_MESSAGE_MAX);
	s->watch = loop_watch(loop, fd, LOOP_READ, on_ready, s);
	add_client(&s->client, peer);
	if (!answered_by_rule(s, SINK_BANNER))
		say(s, SINK_BANNER, "220 sink.example ESMTP\r\n");
	go_on(s);
}

void
sink_sessions_end(void)
{
	LIST_FOR_SAFE (node, &all_sessions)
		session_free(LIST_ENTRY(node, struct session, node));
}
