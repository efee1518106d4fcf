#include "tests/lib/sink_session.h"

#include "relay/base/err.h"
#include "relay/base/ip.h"
#include "relay/base/list.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { READ_PIECE = 65536, OUT_MAX = 1024 * 1024, ENVELOPE_MAX = 8 * 1024 * 1024 };

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
	bool has_from;
	size_t n_rcpts;
	struct buf in, out, late; /* late: the reply the timer holds back */
	struct buf helo, from, params, to, body, client;
};

static struct list all_sessions = {&all_sessions, &all_sessions};

static const char *const stage_names[SINK_STAGES] = {
    "banner", "ehlo", "mail", "rcpt", "data", "dot"};

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
	s->is_data = false;
	s->has_from = false;
	s->n_rcpts = 0;
	buf_clear(&s->from);
	buf_clear(&s->params);
	buf_clear(&s->to);
	buf_clear(&s->body);
}

static void
session_free(struct session *s)
{
	list_remove(&s->node);
	timer_cancel(&s->timer);
	watch_remove(&s->watch);
	close(s->fd);
	struct buf *all[] = {&s->in, &s->out, &s->late, &s->helo, &s->from, &s->params, &s->to,
	    &s->body, &s->client};
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

static void
say(struct session *s, const char *text)
{
	bool is_late = s->rules->delay_ms > 0;
	buf_add_str(is_late ? &s->late : &s->out, text);
	if (is_late && s->timer == NULL)
		loop_timer(s->loop, &s->timer, s->rules->delay_ms, on_late, s);
}

/* The stage's own rule, if there is one: whether the usual answer is spared. */
static bool
answered_by_rule(struct session *s, enum sink_stage stage)
{
	if (s->rules->is_closed_at[stage]) {
		s->is_gone = true;
		return true;
	}
	int code = s->rules->code_at[stage];
	if (code == 0)
		return false;
	char line[80];
	snprintf(line, sizeof line, "%d %d.7.0 sink says so at %s\r\n", code, code / 100,
	    stage_names[stage]);
	say(s, line);
	if (stage == SINK_BANNER)
		s->is_ending = true;
	return true;
}

static void
on_ehlo(struct session *s, struct span name, bool is_extended)
{
	if (answered_by_rule(s, SINK_EHLO))
		return;
	forget_transaction(s);
	buf_clear(&s->helo);
	buf_add_span(&s->helo, name);
	if (!is_extended)
		say(s, "250 sink.example\r\n");
	else if (s->rules->has_no_pipelining)
		say(s, "250-sink.example\r\n250-SIZE 268435456\r\n250 8BITMIME\r\n");
	else
		say(s, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 268435456\r\n"
		       "250 8BITMIME\r\n");
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
		say(s, "503 5.5.1 not now\r\n");
	else if (!take_path(argument, SPAN("FROM:"), &path, &rest))
		say(s, "501 5.5.4 MAIL FROM:<address>\r\n");
	else if (!answered_by_rule(s, SINK_MAIL)) {
		s->has_from = true;
		buf_add_span(&s->from, path);
		buf_add_span(&s->params, rest);
		say(s, "250 2.1.0 sender ok\r\n");
	}
}

static bool
refused_by_address(struct session *s, struct span path)
{
	for (size_t i = 0; i < s->rules->n_rcpts; i++) {
		const struct sink_rcpt_rule *r = &s->rules->rcpts[i];
		if (!span_eq_nocase(path, span_str(r->address)))
			continue;
		char line[80];
		snprintf(line, sizeof line, "%d %d.1.1 sink does not want this recipient\r\n",
		    r->code, r->code / 100);
		say(s, line);
		return true;
	}
	return false;
}

static void
on_rcpt(struct session *s, struct span argument)
{
	struct span path, rest;
	if (!s->has_from)
		say(s, "503 5.5.1 MAIL first\r\n");
	else if (!take_path(argument, SPAN("TO:"), &path, &rest))
		say(s, "501 5.5.4 RCPT TO:<address>\r\n");
	else if (!refused_by_address(s, path) && !answered_by_rule(s, SINK_RCPT)) {
		if (s->n_rcpts++ > 0)
			buf_add_char(&s->to, ',');
		buf_add_json(&s->to, path);
		say(s, "250 2.1.5 recipient ok\r\n");
	}
}

static void
on_data(struct session *s)
{
	if (s->n_rcpts == 0)
		say(s, "503 5.5.1 RCPT first\r\n");
	else if (!answered_by_rule(s, SINK_DATA)) {
		s->is_data = true;
		say(s, "354 go ahead\r\n");
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
		    .client = buf_span(&s->client),
		    .body = buf_span(&s->body)};
		char line[64];
		bool is_kept = !s->body.failed && sink_store_put(s->rules->store, &m) == 0;
		snprintf(line, sizeof line, "250 2.0.0 kept as %06llu\r\n",
		    (unsigned long long)s->rules->store->last);
		say(s, is_kept ? line : "452 4.3.1 could not keep it\r\n");
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
	else if (span_eq_nocase(verb, SPAN("RSET"))) {
		forget_transaction(s);
		say(s, "250 2.0.0 forgotten\r\n");
	} else if (span_eq_nocase(verb, SPAN("NOOP")))
		say(s, "250 2.0.0 fine\r\n");
	else if (span_eq_nocase(verb, SPAN("QUIT"))) {
		s->is_ending = true;
		say(s, "221 2.0.0 bye\r\n");
	} else
		say(s, "500 5.5.1 what?\r\n");
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

static void
take_lines(struct session *s)
{
	struct span line, ending;
	size_t used = 0;
	while (s->timer == NULL && !s->is_ending && !s->is_gone &&
	       take_line(s, &used, &line, &ending)) {
		if (s->is_data)
			on_data_line(s, line, ending);
		else
			on_command(s, line);
	}
	buf_consume(&s->in, used);
}

static void
flush(struct session *s)
{
	while (s->out.n > 0 && !s->is_gone) {
		ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL);
		if (n > 0)
			buf_consume(&s->out, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (!(n < 0 && errno == EINTR))
			s->is_gone = true;
	}
}

/* What every event ends in; the session may be gone afterwards. */
static void
go_on(struct session *s)
{
	take_lines(s);
	flush(s);
	if (s->in.failed || s->out.failed || (s->is_ending && s->out.n == 0 && s->timer == NULL))
		s->is_gone = true;
	if (s->is_gone) {
		session_free(s);
		return;
	}
	watch_change(s->watch, s->out.n > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

static void
on_ready(void *arg, unsigned events)
{
	struct session *s = arg;
	char *room = (events & LOOP_READ) != 0 ? buf_room(&s->in, READ_PIECE) : NULL;
	if ((events & LOOP_READ) != 0 && room == NULL)
		s->is_gone = true;
	if (room != NULL) {
		ssize_t n = recv(s->fd, room, READ_PIECE, 0);
		if (n > 0)
			s->in.n += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			s->is_gone = true;
	}
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
	s->to = BUF_INIT(ENVELOPE_MAX);
	s->body = BUF_INIT(SINK_MESSAGE_MAX);
	s->watch = loop_watch(loop, fd, LOOP_READ, on_ready, s);
	add_client(&s->client, peer);
	if (!answered_by_rule(s, SINK_BANNER))
		say(s, "220 sink.example ESMTP\r\n");
	go_on(s);
}

void
sink_sessions_end(void)
{
	LIST_FOR_SAFE (node, &all_sessions)
		session_free(LIST_ENTRY(node, struct session, node));
}
