/* What a plugin's helper may say of it: what was believed must be written back to the same bytes. */
#include "filters/chain/catalog.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct catalog *c = catalog_get(span_of(data, size));
	struct buf again = BUF_INIT(CATALOG_BYTES_MAX);

	if (c == NULL)
		return 0;
	if (size > 0) {
		catalog_put_head(&again, c->folder, c->n);
		for (size_t i = 0; i < c->n; i++)
			catalog_put_plugin(&again, c->plugins[i].file, &c->plugins[i].about);
		if (again.failed || !span_eq(buf_span(&again), span_of(data, size)))
			abort();
	}
	buf_free(&again);
	catalog_free(&c);
	return 0;
}
