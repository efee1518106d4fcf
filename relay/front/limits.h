/*
 * limits.h - what front counts of its clients, by flow: connections at once, and rates of messages,
 * recipients and errors (policy/rate); and who is known to wait for the banner.
 *
 * A client is an IPv4 address or an IPv6 /64, and is counted over all fronts (tallies.h).  What a front
 * has counted begins anew with it.
 */
#ifndef FRONT_LIMITS_H
#define FRONT_LIMITS_H
#include "policy/rate/rates.h"

enum {
	LIMITS_PATIENT_MS = 24 * 60 * 60 * 1000 /* how long that is believed */
};

struct limits;

/* Both must live as long. */
struct limits *limits_new(const struct config *config, struct tallies *tallies);
void limits_free(struct limits **l);

/* A connection begins: true, and it counts until limits_leave; false: there are as many as the flow
 * allows, and this one is not counted. */
bool limits_enter(struct limits *l, const struct conf_flow *flow, const struct ip *client);
void limits_leave(struct limits *l, const struct conf_flow *flow, const struct ip *client);

/* As rates_take and rates_look, now; a flow without "rate" in `connect`: RATE_UNKNOWN. */
enum rate_fact limits_take(
    struct limits *l, const struct conf_flow *flow, enum rate_fact kind, const struct ip *client);
enum rate_fact limits_look(
    struct limits *l, const struct conf_flow *flow, enum rate_fact kind, const struct ip *client);

/* What one more connection would be: RATE_ERRORS, RATE_CONNECTIONS, RATE_WITHIN, or RATE_UNKNOWN as
 * above. */
enum rate_fact limits_look_connection(
    struct limits *l, const struct conf_flow *flow, const struct ip *client);

/* It has waited for the banner, today or now. */
bool limits_is_patient(struct limits *l, const struct ip *client);
void limits_note_patient(struct limits *l, const struct ip *client);

#endif
