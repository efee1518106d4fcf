/* Every line and message that a client may say to sign in. */
#include "relay/base/base64.h"
#include "relay/smtp/sasl.h"

#include <stdlib.h>

static void
try_line(struct span line)
{
	struct buf bytes = BUF_INIT(0), again = BUF_INIT(2 * SASL_MESSAGE_MAX);

	/* There is one way only to write what was taken. */
	if (sasl_line_decode(line, false, &bytes) == 0 &&
	    (base64_add(&again, buf_span(&bytes)) < 0 || !span_eq(buf_span(&again), line)))
		abort();
	buf_free(&bytes);
	buf_free(&again);
}

static void
try_scram(struct span message)
{
	struct scram_first first;
	struct scram_final final;

	if (scram_first_parse(message, &first) == 0 &&
	    (first.header.n + first.bare.n != message.n || first.name_n == 0 || first.nonce.n == 0))
		abort();
	if (scram_final_parse(message, &final) == 0 &&
	    (final.without_proof.n >= message.n || final.nonce.n > message.n))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), initial;
	struct sasl_plain plain;
	bool has_initial;

	if (sasl_command_parse(text, &initial, &has_initial) > SASL_UNKNOWN)
		abort();
	try_line(text);
	if (sasl_plain_parse(text, &plain) == 0 &&
	    (plain.authorize.n + plain.name.n + plain.password.n + 2 != size || plain.name.n == 0))
		abort();
	try_scram(text);
	return 0;
}
