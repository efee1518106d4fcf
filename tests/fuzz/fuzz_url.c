/* fuzz_url.c - any text gives bounded URLs. */
#include "relay/base/err.h"
#include "relay/message/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
check(void *arg, struct span url, struct span host)
{
	must(url.n > 0 && url.n <= 2 * URL_MAX && host.n <= URL_MAX);
	must(++*(size_t *)arg <= URL_COUNT_MAX);
	return url.p[url.n - 1] != '!';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int is_html = 0; is_html < 2; is_html++) {
		size_t n = 0;

		(void)url_each(span_of(data, size), is_html, check, &n); /* for the checks */
	}
	return 0;
}
