/*
 * policy_bundle.h - everything of a policy that stands in files, as one blob: its text, the list
 * files it names, the recipient tables and address databases of the configuration.  The supervisor reads the files; the
 * roles, which may open none, compile from the blob.
 */
#ifndef IPC_POLICY_BUNDLE_H
#define IPC_POLICY_BUNDLE_H
#include "relay/base/err.h"
#include "relay/base/wire.h"

enum { BUNDLE_MAX = 120 * 1024 * 1024, BUNDLE_FILES_MAX = 4096, BUNDLE_NAME_MAX = 4096 };

enum bundle_kind {
	BUNDLE_POLICY,
	BUNDLE_LIST,
	BUNDLE_RECIPIENTS,
	BUNDLE_GEO,         /* a database of addresses */
	BUNDLE_CERTIFICATE, /* with its chain, for front; and for key, in a bundle of its own: */
	BUNDLE_KEY,
	BUNDLE_USERS,
	BUNDLE_RULE_IDS /* of the policy's rules, four bytes each; without a name */
};
enum { BUNDLE_LAST = BUNDLE_RULE_IDS };

/* Appends one file; the buf's own failure is tested at the end. */
void bundle_add(struct buf *to, enum bundle_kind kind, struct span name, struct span text);
/* The file of this kind and name; false when it is not there (or the blob is not one). */
bool bundle_find(struct span bundle, enum bundle_kind kind, struct span name, struct span *text);
/* A list_reader of policy/rules over a bundle: `arg` is a struct span. */
int bundle_read_list(void *arg, struct span name, struct buf *text, struct err *err);

#endif
