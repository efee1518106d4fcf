#include "relay/smtp/params.h"
#include "relay/base/buf.h"
#include "relay/base/utf8.h"

#include <stdio.h>

enum {
	PARAM_SIZE = 1,
	PARAM_BODY = 2,
	PARAM_UTF8 = 4,
	PARAM_RET = 8,
	PARAM_ENVID = 16,
	PARAM_AUTH = 32
};
enum { PARAM_NOTIFY = 1, PARAM_ORCPT = 2 };
enum { SIZE_DIGITS = 20 }; /* RFC 1870 section 6 */

static const struct smtp_fault unknown = {555, "5.5.4", "Parameter not recognised"},
			       twice = {501, "5.5.4", "A parameter is given twice"},
			       needs_utf8 = {
				   553, "5.6.7", "An address beyond ASCII needs SMTPUTF8 at MAIL"};

/* Printable once decoded: what goes into reports must not hold control characters. */
static bool
is_printable_xtext(struct span value)
{
	char text[NOTIFY_ORCPT_MAX];
	size_t n;

	if (!smtp_xtext_decode(value, text, sizeof(text), &n) || n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return true;
}

static const struct smtp_fault *
read_size(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {501, "5.5.4", "SIZE is a number of bytes"};

	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return &wrong;
	if (value.n == 0 || value.n > SIZE_DIGITS)
		return &wrong;
	out->has_size = true;
	if (!span_to_u64(value, &out->size))
		out->size = UINT64_MAX; /* a number like others, and too large for us */
	return NULL;
}

static const struct smtp_fault *
read_body(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {501, "5.5.4", "BODY is 7BIT or 8BITMIME"};

	out->is_8bit = span_eq_nocase(value, SPAN("8BITMIME"));
	return out->is_8bit || span_eq_nocase(value, SPAN("7BIT")) ? NULL : &wrong;
}

static const struct smtp_fault *
read_ret(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {501, "5.5.4", "RET is FULL or HDRS"};

	if (span_eq_nocase(value, SPAN("FULL")))
		out->ret = RET_FULL;
	else if (span_eq_nocase(value, SPAN("HDRS")))
		out->ret = RET_HDRS;
	else
		return &wrong;
	return NULL;
}

static const struct smtp_fault *
read_envid(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {
	    501, "5.5.4", "ENVID is up to 100 characters of xtext"};

	out->envid = value;
	return value.n <= NOTIFY_ENVID_MAX && is_printable_xtext(value) ? NULL : &wrong;
}

static const struct smtp_fault *
read_utf8(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {501, "5.5.4", "SMTPUTF8 takes no value"};

	out->is_utf8 = true;
	return value.n == 0 ? NULL : &wrong;
}

/* RFC 4954 section 5: taken, and treated as AUTH=<>. */
static const struct smtp_fault *
read_auth(struct span value, struct smtp_mail_params *out)
{
	static const struct smtp_fault wrong = {501, "5.5.4", "AUTH takes an address or <>"};

	out->has_auth = true;
	return value.n > 0 ? NULL : &wrong;
}

const struct smtp_fault *
smtp_mail_params(const struct smtp_command *c, struct smtp_mail_params *out)
{
	static const struct {
		const char *name;
		unsigned bit;
		const struct smtp_fault *(*read)(struct span, struct smtp_mail_params *);
	} known[] = {{"SIZE", PARAM_SIZE, read_size}, {"BODY", PARAM_BODY, read_body},
	    {"SMTPUTF8", PARAM_UTF8, read_utf8}, {"RET", PARAM_RET, read_ret},
	    {"ENVID", PARAM_ENVID, read_envid}, {"AUTH", PARAM_AUTH, read_auth}};
	enum { KNOWN = sizeof(known) / sizeof(known[0]) };
	unsigned seen = 0;

	*out = (struct smtp_mail_params){0};
	for (size_t i = 0; i < c->n_params; i++) {
		const struct smtp_param *p = &c->params[i];
		const struct smtp_fault *fault;
		size_t k = 0;

		while (k < KNOWN && !span_eq_nocase(p->name, span_str(known[k].name)))
			k++;
		if (k == KNOWN)
			return &unknown;
		if (seen & known[k].bit)
			return &twice;
		seen |= known[k].bit;
		fault = known[k].read(p->value, out);
		if (fault != NULL)
			return fault;
	}
	return smtp_address_is_utf8(c->path) && !out->is_utf8 ? &needs_utf8 : NULL;
}

/* RFC 3461 section 4.1: NEVER alone, or any of the others. */
static const struct smtp_fault *
read_notify(struct span value, unsigned *notify)
{
	static const struct smtp_fault wrong = {
	    501, "5.5.4", "NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY"};

	do {
		struct span word = span_cut(&value, ',');

		if (span_eq_nocase(word, SPAN("NEVER")))
			*notify |= NOTIFY_NEVER;
		else if (span_eq_nocase(word, SPAN("SUCCESS")))
			*notify |= NOTIFY_SUCCESS;
		else if (span_eq_nocase(word, SPAN("FAILURE")))
			*notify |= NOTIFY_FAILURE;
		else if (span_eq_nocase(word, SPAN("DELAY")))
			*notify |= NOTIFY_DELAY;
		else
			return &wrong;
		if (value.n == 0 && word.p + word.n < value.p)
			return &wrong; /* a comma at the end */
	} while (value.n > 0);
	return (*notify & NOTIFY_NEVER) && *notify != NOTIFY_NEVER ? &wrong : NULL;
}

/* addr-type of RFC 3461 section 4.2: an atom, here of what registered types are made of. */
static bool
is_address_type(struct span type)
{
	for (size_t i = 0; i < type.n; i++) {
		char low = char_lower(type.p[i]);

		if ((low < 'a' || low > 'z') && (low < '0' || low > '9') && low != '-')
			return false;
	}
	return type.n > 0;
}

static const struct smtp_fault *
read_orcpt(struct span value, bool is_utf8, struct span *orcpt)
{
	static const struct smtp_fault wrong = {
	    501, "5.5.4", "ORCPT is a type, a semicolon and up to 500 characters of xtext"};
	struct span rest = value, type = span_cut(&rest, ';');

	*orcpt = value;
	if (value.n > NOTIFY_ORCPT_MAX || !is_address_type(type) || rest.n == 0)
		return &wrong;
	if (!smtp_address_is_utf8(rest))
		return is_printable_xtext(rest) ? NULL : &wrong;
	/* utf-8-addr-unitext (RFC 6533 section 3): characters as they are, no escapes. */
	return is_utf8 && span_eq_nocase(type, SPAN("utf-8")) && span_find(rest, '+') == rest.n &&
		       span_find(rest, '\\') == rest.n
		   ? NULL
		   : &wrong;
}

const struct smtp_fault *
smtp_rcpt_params(const struct smtp_command *c, bool is_utf8, struct smtp_rcpt_params *out)
{
	unsigned seen = 0;

	*out = (struct smtp_rcpt_params){0};
	for (size_t i = 0; i < c->n_params; i++) {
		const struct smtp_param *p = &c->params[i];
		const struct smtp_fault *fault;
		bool is_notify = span_eq_nocase(p->name, SPAN("NOTIFY"));
		unsigned bit = is_notify ? PARAM_NOTIFY : PARAM_ORCPT;

		if (!is_notify && !span_eq_nocase(p->name, SPAN("ORCPT")))
			return &unknown;
		if (seen & bit)
			return &twice;
		seen |= bit;
		fault = is_notify ? read_notify(p->value, &out->notify)
				  : read_orcpt(p->value, is_utf8, &out->orcpt);
		if (fault != NULL)
			return fault;
	}
	return smtp_address_is_utf8(c->path) && !is_utf8 ? &needs_utf8 : NULL;
}

/* The code point of a well-formed character of `length` bytes. */
static uint32_t
code_point(const char *p, size_t length)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)p[0] & first_bits[length];

	for (size_t i = 1; i < length; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3fU);
	return c;
}

int
smtp_orcpt_ascii(struct span orcpt, char to[NOTIFY_ORCPT_MAX], size_t *n)
{
	struct buf out = {.p = to, .cap = NOTIFY_ORCPT_MAX, .max = NOTIFY_ORCPT_MAX};

	while (orcpt.n > 0) {
		size_t length = utf8_length(orcpt);
		char hex[16];

		must(length > 0); /* a value of a command is UTF-8 */
		if (length == 1) {
			(void)buf_add(&out, orcpt.p, 1); /* sticky */
		} else {
			(void)snprintf(hex, sizeof(hex), "\\x{%X}",
			    (unsigned)code_point(orcpt.p, length)); /* fits */
			(void)buf_add_str(&out, hex);               /* sticky */
		}
		orcpt = span_skip(orcpt, length);
	}
	*n = out.n;
	return out.failed ? -E_LIMIT : 0;
}
