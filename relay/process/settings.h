/*
 * settings.h - whether filters can work with their settings, known before any mail comes: a pattern that
 * does not compile is an error of the configuration, for `check`, `run` and `reload` alike.
 *
 * Only built-in filters that need nothing but their settings are tried.  What others say when they are
 * loaded (signatures, lists, plugins) `postern status` shows.
 */
#ifndef PROCESS_SETTINGS_H
#define PROCESS_SETTINGS_H
#include "policy/config/config.h"

/* 0, or -E_CONFIG with a line in `errors` for each section that cannot work. */
int settings_try(const struct config *config, const char *file, struct config_errors *errors);

#endif
