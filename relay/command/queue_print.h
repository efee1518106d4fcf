/* queue_print.h - what the relay says about its queue, as lines for people. */
#ifndef COMMAND_QUEUE_PRINT_H
#define COMMAND_QUEUE_PRINT_H
#include "relay/base/buf.h"

/* Cuts an answer that comes in pieces into lines; all zeros but `max` of the rest is a fresh one. */
struct queue_lines {
	struct buf rest;
	void (*on_line)(void *arg, struct span line); /* without its \n */
	void *arg;
};
void queue_lines_take(void *lines, struct span piece); /* as ask_relay_each wants it */
void queue_lines_free(struct queue_lines *l);

void queue_print_titles(void);
/* One message of `queue list`: a JSON object. */
void queue_print_row(struct span line);
/* One message of `queue show`. */
void queue_print_detail(struct span line);

/* What an order came to, page after page. */
enum { QUEUE_REASONS_MAX = 20 };
struct queue_outcome {
	int64_t messages, done, unchanged, active, refused, not_found;
	struct buf reasons; /* "ID: why" lines; max is set by the owner */
	struct buf json;    /* the same as JSON objects with commas */
	size_t n_reasons;
};
void queue_outcome_add(struct queue_outcome *o, struct span line);
/* "3 messages: retried 2, not found 1"; `done_word` is "retried" and the like. */
void queue_outcome_print(const struct queue_outcome *o, const char *done_word, bool is_json);

/* "45s" "12m" "5h" "3d"; "12K" "3.4M" */
void queue_add_age(struct buf *to, int64_t ms);
void queue_add_size(struct buf *to, int64_t bytes);

#endif
