#include "relay/message/dsn_status.h"
#include "relay/smtp/reply.h"

enum { REPLY_CODE_DIGITS = 3 };

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
dsn_is_smtp_reply(struct span reply)
{
	for (size_t i = 0; i < REPLY_CODE_DIGITS; i++)
		if (i >= reply.n || !is_digit(reply.p[i]))
			return false;
	return reply.n == REPLY_CODE_DIGITS || reply.p[3] == ' ' || reply.p[3] == '-' ||
	       reply.p[3] == '\n';
}

static bool
class_fits(char class, enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return class == '5' || class == '4';
	case DSN_DELAYED:
		return class == '4';
	case DSN_RELAYED:
		return class == '2';
	}
	return false;
}

/*
 * What RFC 5321 section 4.2.2 means by a code, as far as it means one thing.  550 and 554 mean anything from
 * an unknown mailbox to a listed client: for them it stays at 5.0.0, and the reply's text tells.
 */
static struct span
status_of_code(struct span code)
{
	static const struct {
		struct span code, status;
	} table[] = {{SPAN("421"), SPAN("4.3.2")}, {SPAN("450"), SPAN("4.2.0")},
	    {SPAN("451"), SPAN("4.3.0")}, {SPAN("452"), SPAN("4.3.1")},
	    {SPAN("454"), SPAN("4.7.0")}, {SPAN("455"), SPAN("4.5.4")},
	    {SPAN("500"), SPAN("5.5.2")}, {SPAN("501"), SPAN("5.5.4")},
	    {SPAN("502"), SPAN("5.5.1")}, {SPAN("503"), SPAN("5.5.1")},
	    {SPAN("504"), SPAN("5.5.4")}, {SPAN("521"), SPAN("5.3.2")},
	    {SPAN("530"), SPAN("5.7.0")}, {SPAN("551"), SPAN("5.1.6")},
	    {SPAN("552"), SPAN("5.2.2")}, {SPAN("553"), SPAN("5.1.3")},
	    {SPAN("555"), SPAN("5.5.4")}, {SPAN("556"), SPAN("5.1.10")}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (span_eq(table[i].code, code))
			return table[i].status;
	return (struct span){0};
}

/* Nobody has answered at all, or not in words of SMTP. */
static struct span
status_of_silence(bool is_explained, enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return is_explained ? SPAN("4.4.7")
				    : SPAN("5.0.0"); /* tried until it was too old */
	case DSN_DELAYED:
		return is_explained ? SPAN("4.4.1") : SPAN("4.0.0");
	case DSN_RELAYED:
		break;
	}
	return SPAN("2.0.0");
}

struct span
dsn_status(struct span reply, enum dsn_action action)
{
	static const struct span other[] = {[DSN_FAILED] = SPAN("5.0.0"),
	    [DSN_DELAYED] = SPAN("4.0.0"),
	    [DSN_RELAYED] = SPAN("2.0.0")};
	bool is_smtp = dsn_is_smtp_reply(reply);
	struct span code = span_take(reply, REPLY_CODE_DIGITS), found;
	struct span rest = is_smtp && reply.n > REPLY_CODE_DIGITS
			       ? span_skip(reply, REPLY_CODE_DIGITS + 1)
			       : reply;

	/* Words of our own have no code; a server's two must agree. */
	found = smtp_enhanced_code(rest, is_smtp ? reply.p[0] : rest.n > 0 ? rest.p[0] : '\0');
	if (found.n > 0 && class_fits(found.p[0], action))
		return found;
	if (!is_smtp)
		return status_of_silence(reply.n > 0, action);
	found = status_of_code(code);
	return found.n > 0 && class_fits(found.p[0], action) ? found : other[action];
}

const char *
dsn_advice(struct span status)
{
	static const struct {
		const char *tail, *text;
	} texts[] = {
	    {".1.1", "There is no such mailbox. Please check the address for typing errors."},
	    {".1.2", "There is no such mail domain. Please check what stands behind the @."},
	    {".1.6", "The mailbox has moved, and left no new address."},
	    {".1.10", "That domain does not take any mail."},
	    {".1.", "The address was not accepted. Please check it for typing errors."},
	    {".2.1", "The mailbox is switched off."},
	    {".2.2",
		"The mailbox is full. Please try again later or reach the person another way."},
	    {".2.3", "The message is too large for that mailbox."},
	    {".3.4", "The message is too large for the receiving server."},
	    {".4.7", "The receiving server could not be reached in time."},
	    {".4.", "The receiving server could not be reached."},
	    {".6.3", "The receiving server cannot take messages with 8-bit text."},
	    {".6.7", "The receiving server cannot take addresses in other letters than English."},
	    {".7.", "The receiving side does not allow this message. Only they can change that."},
	};
	struct span tail = span_skip(status, 1);

	if (status.n == 0 || status.p[0] == '2')
		return NULL;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct span want = span_str(texts[i].tail);

		if (want.p[want.n - 1] == '.' ? span_starts(tail, want) : span_eq(tail, want))
			return texts[i].text;
	}
	return NULL;
}
