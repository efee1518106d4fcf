/*
 * default_policy.h - the policy that an empty store takes: what is safe anywhere, and by way of
 * comments the way to more.  A C literal, since nothing else carries it into the programs.
 */
#ifndef DEFAULT_POLICY_H
#define DEFAULT_POLICY_H

extern const char default_policy[]; /* NUL-terminated */

#endif
