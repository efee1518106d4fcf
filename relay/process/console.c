#include "relay/process/console.h"
#include "relay/base/clock.h"
#include "relay/base/rng.h"

#include <openssl/crypto.h>

static void
make_token(char to[CONSOLE_TOKEN_TEXT + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[CONSOLE_TOKEN_BYTES];

	rng_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		to[2 * i] = digits[bytes[i] >> 4];
		to[2 * i + 1] = digits[bytes[i] & 15];
	}
	to[CONSOLE_TOKEN_TEXT] = '\0';
}

/* In constant time: how much of a guess was right must not show. */
static bool
token_is(const char *token, struct span guess)
{
	return token[0] != '\0' && guess.n == CONSOLE_TOKEN_TEXT &&
	       CRYPTO_memcmp(token, guess.p, CONSOLE_TOKEN_TEXT) == 0;
}

struct span
console_offer(struct console *c)
{
	make_token(c->sign_in);
	return span_str(c->sign_in);
}

struct span
console_sign_in(struct console *c, struct span token)
{
	struct console_session *oldest = &c->sessions[0];

	if (!token_is(c->sign_in, token))
		return (struct span){0};
	c->sign_in[0] = '\0';
	for (size_t i = 1; i < CONSOLE_SESSIONS_MAX; i++)
		if (c->sessions[i].ends_ms < oldest->ends_ms)
			oldest = &c->sessions[i];
	make_token(oldest->token);
	oldest->ends_ms = clock_mono_ms() + CONSOLE_SESSION_MS;
	return span_str(oldest->token);
}

bool
console_is_signed_in(const struct console *c, struct span session)
{
	bool is_known = false;

	for (size_t i = 0; i < CONSOLE_SESSIONS_MAX; i++)
		is_known |= token_is(c->sessions[i].token, session) &&
			    c->sessions[i].ends_ms > clock_mono_ms();
	return is_known;
}
