/*
 * control.h - requests that come through the control socket (the postern command, the console)
 * and their answers.  The supervisor answers some itself and passes the rest to the role whose
 * they are; the answer is JSON lines, in as many chunks as it takes, and an end with a status.
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H
#include "relay/base/wire.h"

enum control_type { CONTROL_REQUEST = 1, CONTROL_CHUNK, CONTROL_END };

enum {
	CONTROL_WORDS_MAX = 64,
	CONTROL_WORD_MAX = 4096,
	CONTROL_CHUNK_MAX = 60000,
	CONTROL_ASKER_MAX = 64
};

/* "queue" "list" …: the words of the command line without the program and its general options. */
struct control_request {
	struct span words[CONTROL_WORDS_MAX];
	size_t n_words;
	struct span
	    asker; /* the user's name; the supervisor's word for it, whatever the asker says */
};

struct control_end {
	uint8_t status;   /* exit status of the command */
	struct span text; /* for status > 0: one sentence that says why and what to do */
};

void control_request_put(struct buf *to, const struct control_request *r);
int control_request_get(struct span payload, struct control_request *r);
void control_end_put(struct buf *to, const struct control_end *e);
int control_end_get(struct span payload, struct control_end *e);

#endif
