/*
 * place.h - where the programs stand that the postern command starts: in libexec/postern beside its
 * own executable (the build folder), or beside its bin folder once installed.
 */
#ifndef COMMAND_PLACE_H
#define COMMAND_PLACE_H
#include <limits.h>

/* Path of a role's program; 0, or -E_NOT_FOUND when none that may be run is in either place. */
int place_find(const char *role, char path[PATH_MAX]);

#endif
