/* What a gateway says to RCPT, whole or in pieces: the same meaning, and never a denial but by 5xx. */
#include "relay/base/err.h"
#include "relay/lookup/callout.h"
#include "relay/smtp/reply.h"

#include <stdio.h>

static enum recipient_state
judge(struct span input, size_t step)
{
	static struct smtp_reply r;
	char said[SMTP_REPLY_TEXT_MAX + 8];

	r = (struct smtp_reply){0};
	while (input.n > 0 && !r.is_complete) {
		ssize_t used = smtp_reply_push(&r, span_take(input, step));

		if (used < 0)
			return RECIPIENT_UNKNOWN;
		input = span_skip(input, (size_t)used);
	}
	if (!r.is_complete)
		return RECIPIENT_UNKNOWN;
	(void)snprintf(said, sizeof(said), "%d %s", r.code, r.text);
	if (callout_judge(r.code, span_str(said)) == RECIPIENT_NONE)
		must(r.code / 100 == 5);
	return callout_judge(r.code, span_str(said));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span input = span_of(data, n);

	must(judge(input, n > 0 ? n : 1) == judge(input, 1));
	(void)callout_judge(550, input);
	return 0;
}
