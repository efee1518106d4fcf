/*
 * complaint.h - whom libclamav complains of: the machine, or the message.
 *
 * It says both in the same way.  File calls that fail are counted elsewhere (worker/interpose.h); of memory, of
 * mappings and of reading only its own words tell.  Pure.
 */
#ifndef ANTIVIRUS_COMPLAINT_H
#define ANTIVIRUS_COMPLAINT_H
#include "relay/base/span.h"
#include <stdbool.h>

/* A line at WARN or, with is_error, above: whether it could not work, whatever the message is. */
bool complaint_is_of_machine(struct span line, bool is_error);

#endif
