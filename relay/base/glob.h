/* glob.h - '*' stands for anything, also nothing; everything else for itself, without ASCII case. */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H
#include "relay/base/span.h"

/* The whole of `text` fits `glob`.  Linear but for the last star. */
bool glob_match(struct span glob, struct span text);

#endif
