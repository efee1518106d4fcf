/* Everything front and key may say to each other, and what key is asked to sign; and the files of
 * users, which an administrator writes.  The first byte chooses. */
#include "relay/ipc/front_key.h"
#include "relay/key/keyring.h"
#include "relay/key/users.h"

#include <stdlib.h>

/* What was believed must be written back to the same bytes. */
static void
check_same(struct buf *again, struct span payload)
{
	if (again->failed || !span_eq(buf_span(again), payload))
		abort();
	buf_free(again);
}

static void
try_request(struct span payload)
{
	struct buf again = BUF_INIT(65536);
	struct key_request r;

	if (key_request_get(payload, &r) < 0)
		return;
	key_request_put(&again, &r);
	check_same(&again, payload);
	if (keyring_is_tls(r.scheme, r.content) && r.content.n < 100)
		abort(); /* a digest is never signed */
}

static void
try_answer(struct span payload)
{
	struct buf again = BUF_INIT(65536);
	struct key_answer a;

	if (key_answer_get(payload, &a) < 0)
		return;
	key_answer_put(&again, &a);
	check_same(&again, payload);
}

static void
try_question(struct span payload)
{
	struct buf again = BUF_INIT(65536);
	struct key_question q;

	if (key_question_get(payload, &q) < 0)
		return;
	key_question_put(&again, &q);
	check_same(&again, payload);
}

static void
try_verdict(struct span payload)
{
	struct buf again = BUF_INIT(65536);
	struct key_verdict v;

	if (key_verdict_get(payload, &v) < 0)
		return;
	key_verdict_put(&again, &v);
	check_same(&again, payload);
}

static void
try_users(struct span text)
{
	struct err err = {0};
	struct users *u = users_parse(text, "users", &err);
	struct user user;

	if (u == NULL) {
		if (err.text[0] == '\0')
			abort();
		return;
	}
	if (users_find(u, SPAN("nobody at all"), &user)) /* no name has a blank */
		abort();
	(void)users_find_scram(u, span_take(text, 4), &user); /* there or not */
	if (user.salt_n < USERS_SALT_MIN || user.salt_n > USERS_SALT_MAX)
		abort();
	users_free(&u);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct span) = {
	    try_request, try_answer, try_question, try_verdict, try_users};

	if (size > 0)
		tries[data[0] % 5](span_of(data + 1, size - 1));
	return 0;
}
