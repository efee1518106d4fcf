/* What is read from the channel is written back to the same bytes. */
#include "relay/base/err.h"
#include "relay/ipc/lookup.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct dns_answer a;
	struct span payload = span_of(data, n);
	struct buf back = BUF_INIT(1024 * 1024);
	struct recipient_question r;
	struct recipient_answer known;
	struct dns_question q;

	if (dns_question_get(payload, &q) == 0) {
		dns_question_put(&back, &q);
		must(span_eq(buf_span(&back), payload));
	}
	buf_clear(&back);
	if (dns_answer_get(payload, &a) == 0) {
		dns_answer_put(&back, &a);
		must(span_eq(buf_span(&back), payload));
	}
	buf_clear(&back);
	if (recipient_question_get(payload, &r) == 0) {
		recipient_question_put(&back, &r);
		must(span_eq(buf_span(&back), payload));
	}
	buf_clear(&back);
	if (recipient_answer_get(payload, &known) == 0) {
		recipient_answer_put(&back, &known);
		must(span_eq(buf_span(&back), payload));
	}
	buf_free(&back);
	return 0;
}
