/*
 * plugin.h - shared objects with filters: whether their files may be trusted, and their loading.
 *
 * A plugin runs with the rights of the filter role, and its constructors before any sandbox of a
 * worker: so nobody but root and whoever runs Postern may be able to change it.
 */
#ifndef CHAIN_PLUGIN_H
#define CHAIN_PLUGIN_H
#include "filters/chain/chain.h"

/*
 * Whether `path` and all folders above it belong to root or to the user of this process, and nobody
 * else may write there (a folder with the sticky bit may be open to others).  0, -E_NOT_FOUND or
 * -E_DENIED; err reads "what is wrong; what to do".
 */
int plugin_check_folder(const char *path, struct err *err);
/* The same for a file in such a folder; it is no link. */
int plugin_check_file(const char *folder, const char *file, struct err *err);

/*
 * Loads the object and takes its filter over into `filter`.  Runs its constructors.  0, or an error
 * that says what is wrong with it; the object is never unloaded.
 */
int plugin_open(const char *folder, const char *file, struct pnf_filter *filter, struct err *err);

#endif
