/*
 * catalog.h - all plugins that a configuration may name: the built-in ones and those of its
 * plugin folder, the latter as bytes that travel with the configuration.
 *
 * Only a helper process and the filter role ever run a plugin's code; everybody else knows of a
 * plugin what stands here.  The bytes come from the plugin itself in the end and are untrusted.
 * A configuration points into its catalog, which outlives it.
 */
#ifndef CHAIN_CATALOG_H
#define CHAIN_CATALOG_H
#include "filters/postern_filter.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"

enum {
	CATALOG_PLUGINS_MAX = 32,
	CATALOG_FILE_MAX = 255,
	CATALOG_BYTES_MAX = 32 * 1024 * 1024,
	CATALOG_VERSION = 1
};

/* One shared object of the folder. */
struct catalog_plugin {
	const char *file; /* its name in the folder */
	struct pnf_about about;
};

struct catalog {
	struct arena memory;
	const char *folder; /* NULL: none */
	struct catalog_plugin *plugins;
	size_t n;
	const struct pnf_about **abouts; /* the built-in ones, then the folder's; NULL ends */
};

/* One plugin, as the helper tells of it. */
void catalog_put_plugin(struct buf *to, const char *file, const struct pnf_about *about);
/* What stands before `n` plugins. */
void catalog_put_head(struct buf *to, const char *folder, size_t n);
/* NULL when the bytes are none of ours.  Empty bytes: the built-in ones alone. */
struct catalog *catalog_get(struct span bytes);
void catalog_free(struct catalog **c);
/* The folder's plugin that this about, one of the catalog's, belongs to; NULL: it is built in. */
const struct catalog_plugin *catalog_find(const struct catalog *c, const struct pnf_about *about);
/* Whether both say the same: then what was configured for one fits the other. */
bool catalog_is_same(const struct pnf_about *a, const struct pnf_about *b);

#endif
