/*
 * netset.h - a set of networks: sorted and without nested ones, so that a look-up is one binary
 * search and a member costs 17 bytes.  CIDR networks are either nested or disjoint, which is why
 * no trie is needed; a large set has an index by the first half of an IPv4 address, so that the search
 * meets little memory.  All zeros is an empty set.  Add all, seal once, then only ask.
 */
#ifndef RULES_NETSET_H
#define RULES_NETSET_H
#include "relay/base/ip.h"

struct netset {
	struct net *items;
	size_t n, cap;
	uint32_t *v4; /* where each first half of an IPv4 address begins; NULL: a small set */
	bool has_around;
	struct net around; /* of IPv6, and so wide that it lies around IPv4, which it has not */
};

void netset_add(struct netset *set, const struct net *net);
void netset_seal(struct netset *set);
bool netset_has(const struct netset *set, const struct ip *ip);
void netset_free(struct netset *set);

#endif
