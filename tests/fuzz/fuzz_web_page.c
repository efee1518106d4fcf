/* Any JSON as a status page: no script, no attribute that the data has opened. */
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "web/server/page.h"

#include <jansson.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_t *status = json_loadb((const char *)data, n, 0, NULL);
	struct buf page = BUF_INIT(PAGE_BYTES_MAX);

	if (json_is_object(status)) {
		page_status(&page, status);
		if (!page.failed) {
			must(utf8_is_valid(buf_span(&page)));
			must(memmem(page.p, page.n, "<script", 7) == NULL);
		}
	}
	json_decref(status);
	buf_free(&page);
	return 0;
}
