/*
 * place.h - where the programs of the roles stand, for those who start one: in libexec/postern beside the
 * own executable (the build folder), beside its bin folder once installed, or beside another role.
 */
#ifndef PROCESS_PLACE_H
#define PROCESS_PLACE_H
#include <limits.h>

/* Path of a role's program; 0, or -E_NOT_FOUND when none that may be run is in any of these places. */
int place_find(const char *role, char path[PATH_MAX]);

#endif
