/*
 * A directory that says anything: the link ends or goes on, and never says that somebody does not
 * exist but for a result with success.  The first byte says which kind of session it is.
 */
#include "relay/base/clock.h"
#include "tests/unit/ldap_bytes.h"

static bool is_gone;

/* libldap 2.5.13 forgets the request (some 4 KiB) of a session that ends in the middle of a message:
 * at most one for each second that a broken directory is tried again.  Ours must not leak. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:liblber";
}

static void
on_ready(void *arg)
{
	struct ldap_link **l = arg;

	must(ldap_link_search(*l, SPAN("a@example.org"), false) != 0);
	must(ldap_link_search(*l, SPAN("@example.org"), true) != 0);
}

static void
on_result(void *arg, int msgid, enum recipient_state state, const char *why)
{
	(void)arg;
	must(msgid > 0 && why != NULL &&
	     (state != RECIPIENT_NONE || span_eq(span_str(why), SPAN("no entry"))));
}

static void
on_gone(void *arg, const char *why)
{
	(void)arg;
	for (const char *p = why; *p != '\0'; p++)
		must(*p >= ' ' && *p < 0x7f);
	is_gone = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct ldap_link_events events = {on_ready, on_result, on_gone};
	static const struct conf_ldap_server server = {
	    .text = "ldap://127.0.0.1", .host = "127.0.0.1", .port = 389};
	static struct loop *loop;
	struct conf_ldap conf = {.name = "f", .base = "dc=x", .filter = "(mail=%s)"};
	struct ldap_link_options options = {
	    .conf = &conf, .server = &server, .password = "x", .patience_ms = 1000};
	struct ldap_link *link;
	int ends[2];

	if (n < 1 || n > 8192)
		return 0;
	if (loop == NULL) {
		ldap_link_prepare();
		loop = loop_new();
	}
	clock_fake(1000, 1);
	if (data[0] & 1)
		conf.bind = "cn=x";
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	is_gone = false;
	link = ldap_link_new(loop, ends[0], &options, &events, &link);
	loop_turn(loop, 0);
	for (size_t at = 1, step; at < n && !is_gone; at += step) {
		step = data[0] & 2 ? 7 : n - at;
		step = step < n - at ? step : n - at;
		(void)!send(
		    ends[1], data + at, step, MSG_NOSIGNAL | MSG_DONTWAIT); /* or it has gone */
		loop_turn(loop, 0);
		loop_turn(loop, 0);
	}
	ldap_link_free(&link);
	(void)close(ends[1]);
	return 0;
}
