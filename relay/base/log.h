/*
 * log.h - logs are events with keys, one line each on standard error, as text or as JSON.
 *
 *     log_event(LOG_INFO, "delivered", KV("id", id), KV_INT("bytes", n));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "relay/base/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct kv {
	const char *key; /* NULL ends the list */
	struct span text;
	int64_t number;
	bool is_number;
};

#define KV(k, s)     ((struct kv){.key = (k), .text = (s)})
#define KV_STR(k, s) ((struct kv){.key = (k), .text = span_str(s)})
#define KV_INT(k, i) ((struct kv){.key = (k), .number = (int64_t)(i), .is_number = true})

#define log_event(level, event, ...) \
	log_write(level, event, (const struct kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})

/* `role` stands in every line; is_json chooses the form. Call once at start. */
void log_setup(const char *role, bool is_json, enum log_level lowest);
void log_write(enum log_level level, const char *event, const struct kv *kvs);

#endif
