/*
 * fuzz_smtp_params.c - what MAIL, RCPT and XCLIENT say is within its limits, printable, and in ASCII
 * where it goes on as such.
 */
#include "relay/base/utf8.h"
#include "relay/smtp/params.h"
#include "relay/smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_address(struct span address)
{
	char to[SMTP_PATH_MAX], again[SMTP_PATH_MAX];
	size_t n = 0, n_again = 0;
	struct span domain;

	must(utf8_is_valid(address));
	if (smtp_address_normalise(address, to, &n) < 0)
		return;
	domain = smtp_address_domain(span_of(to, n));
	must(n <= SMTP_PATH_MAX && !smtp_address_is_utf8(domain));
	must(address.n == 0 || smtp_address_is_valid(span_of(to, n)) ||
	     span_eq_nocase(address, SPAN("postmaster")));
	must(smtp_address_normalise(span_of(to, n), again, &n_again) == 0);
	must(span_eq(span_of(to, n), span_of(again, n_again)));
}

static void
check_orcpt(struct span orcpt)
{
	char to[NOTIFY_ORCPT_MAX];
	size_t n = 0;

	must(orcpt.n <= NOTIFY_ORCPT_MAX);
	if (smtp_orcpt_ascii(orcpt, to, &n) < 0)
		return;
	must(n >= orcpt.n || smtp_address_is_utf8(orcpt));
	for (size_t i = 0; i < n; i++)
		must(to[i] > 0x20 && to[i] < 0x7f);
}

static void
check_xclient(const struct smtp_command *c)
{
	struct xclient x;

	if (!xclient_parse(c, &x))
		return;
	must(x.name[0] == '\0' || smtp_domain_is_valid(span_str(x.name)));
	must(x.helo[0] == '\0' || smtp_helo_is_valid(span_str(x.helo)));
	must(strlen(x.login) <= XCLIENT_LOGIN_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_command c;
	struct smtp_mail_params mail;
	struct smtp_rcpt_params rcpt;

	if (smtp_command_parse(span_of(data, size), &c) != 0)
		return 0;
	if (c.verb == SMTP_MAIL && smtp_mail_params(&c, &mail) == NULL) {
		must(mail.envid.n <= NOTIFY_ENVID_MAX && !smtp_address_is_utf8(mail.envid));
		must(mail.is_utf8 || !smtp_address_is_utf8(c.path));
		check_address(c.path);
	} else if (c.verb == SMTP_RCPT && smtp_rcpt_params(&c, true, &rcpt) == NULL) {
		must(rcpt.notify <= NOTIFY_ALL);
		must(!(rcpt.notify & NOTIFY_NEVER) || rcpt.notify == NOTIFY_NEVER);
		check_orcpt(rcpt.orcpt);
		check_address(c.path);
	} else if (c.verb == SMTP_XCLIENT) {
		check_xclient(&c);
	} else if (c.verb == SMTP_BDAT) {
		must(c.chunk_size < 1000000000000000000);
	}
	return 0;
}
