/*
 * policy_source.h - reads everything of the policy that stands in files (the store's current
 * text, the lists it names, the recipient tables of the configuration) and compiles it once to
 * see that it is right.  Used by the supervisor and by the command line.
 */
#ifndef PROCESS_POLICY_SOURCE_H
#define PROCESS_POLICY_SOURCE_H
#include "policy/config/config.h"
#include "policy/geo/mmdb.h"
#include "policy/rules/rules.h"

/* Appends the bundle of the store's current policy and sets its version.  0, or -E_CONFIG with
 * each error as a line in `errors`, which with 0 holds warnings. */
int policy_source_read(
    const struct config *config, struct buf *bundle, uint64_t *version, struct buf *errors);
/* The same for a candidate text that is in no store. */
int policy_source_bundle(const struct config *config, struct span text, const char *file,
    uint64_t version, struct buf *bundle, struct buf *errors);
/* Compiles the policy of a bundle that one of the two made.  NULL: it is none. */
struct snapshot *policy_source_compile(struct span bundle, uint64_t generation);
/* Opens the databases of a bundle, which must outlive them; one that is not configured finds nothing. */
void policy_source_databases(
    const struct config *config, struct span bundle, struct mmdb *countries, struct mmdb *networks);
/* The whole of a file of at most `max` bytes, appended; "-" is standard input.  0, or err. */
int file_read(const char *path, size_t max, struct buf *to, struct err *err);

#endif
