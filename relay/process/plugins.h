/*
 * plugins.h - the configuration together with what the plugins of its folder say of themselves.
 *
 * Their code is run by a helper process only, one for each, in a sandbox without network, files
 * but the libraries, or any other process to talk to (docs/decisions/0008).
 */
#ifndef PROCESS_PLUGINS_H
#define PROCESS_PLUGINS_H
#include "filters/chain/catalog.h"
#include "policy/config/config.h"

/* What a configuration stands on: to be freed after it.  All zeros is none. */
struct plugins {
	struct catalog *catalog;
	struct buf bytes; /* of the catalog, for those who are told of it */
	uint64_t stamp;   /* of the plugins' files and of those that filters' options name */
};

/* Looks into the plugin folder that the text names, if any, and parses the text.  NULL with every
 * error in `errors`; then `plugins` is none.  May take seconds: libraries are loaded. */
struct config *plugins_parse_config(
    struct span text, const char *file, struct plugins *plugins, struct config_errors *errors);
void plugins_free(struct plugins *p);

/* The helper's answer goes to this descriptor. */
enum { PLUGINS_ANSWER_FD = 3, PLUGINS_ANSWER_MAX = 1024 * 1024, PLUGINS_ANSWER_MS = 10000 };

#endif
