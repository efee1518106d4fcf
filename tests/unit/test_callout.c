/* What a gateway's reply to RCPT means. */
#include "relay/lookup/callout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
test_judge(void **state)
{
	static const struct {
		int code;
		const char *reply;
		enum recipient_state state;
	} rows[] = {
	    {250, "250 2.1.5 ok", RECIPIENT_EXISTS},
	    {251, "251 will forward", RECIPIENT_EXISTS},
	    {550, "550 5.1.1 unknown", RECIPIENT_NONE},
	    {550, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", RECIPIENT_NONE},
	    {553, "553 5.1.3 bad mailbox", RECIPIENT_NONE},
	    {550, "550 5.2.1 disabled", RECIPIENT_NONE},
	    {550, "550 no such user", RECIPIENT_NONE},
	    {550, "550", RECIPIENT_NONE},
	    {550, "", RECIPIENT_NONE},
	    {551, "551 not here", RECIPIENT_NONE},
	    {553, "553 not allowed", RECIPIENT_NONE},
	    {550, "550 5.0.0 something", RECIPIENT_NONE},
	    {550, "550 4.1.1 not its class", RECIPIENT_NONE},
	    {550, "550 5.1 half a code", RECIPIENT_NONE},
	    {550, "550 5.7.1 we do not relay for you", RECIPIENT_UNKNOWN},
	    {550, "550 5.7.26 go away", RECIPIENT_UNKNOWN},
	    {552, "552 5.2.2 full", RECIPIENT_UNKNOWN},
	    {550, "550 5.2.2 full", RECIPIENT_UNKNOWN},
	    {554, "554 5.7.1 relay access denied", RECIPIENT_UNKNOWN},
	    {554, "554 no", RECIPIENT_UNKNOWN},
	    {554, "554 5.1.1 unknown", RECIPIENT_NONE},
	    {501, "501 5.5.4 syntax", RECIPIENT_UNKNOWN},
	    {530, "530 5.7.0 STARTTLS first", RECIPIENT_UNKNOWN},
	    {450, "450 4.2.0 greylisted", RECIPIENT_UNKNOWN},
	    {451, "451 5.1.1 not its class", RECIPIENT_UNKNOWN},
	    {421, "421 too many", RECIPIENT_UNKNOWN},
	    {354, "354 what", RECIPIENT_UNKNOWN},
	    {0, "", RECIPIENT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (callout_judge(rows[i].code, span_str(rows[i].reply)) != rows[i].state)
			fail_msg("%s", rows[i].reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_judge)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
