#include "relay/base/id.h"
#include "relay/base/clock.h"
#include "relay/base/rng.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { TIME_DIGITS = 10, BITS_A_DIGIT = 5 };

struct id
id_new(void)
{
	struct id id;
	uint64_t time_ms = (uint64_t)clock_wall_ms();
	unsigned char random[ID_LENGTH - TIME_DIGITS];

	rng_bytes(random, sizeof(random));
	for (int i = TIME_DIGITS - 1; i >= 0; i--, time_ms >>= BITS_A_DIGIT)
		id.text[i] = alphabet[time_ms & 31];
	for (size_t i = 0; i < sizeof(random); i++)
		id.text[TIME_DIGITS + i] = alphabet[random[i] & 31];
	id.text[ID_LENGTH] = '\0';
	return id;
}

static int
digit_value(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 32);
	at = c != '\0' ? strchr(alphabet, c) : NULL;
	return at != NULL ? (int)(at - alphabet) : -1;
}

bool
id_parse(struct span s, struct id *out)
{
	if (s.n != ID_LENGTH)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int value = digit_value(s.p[i]);

		if (value < 0)
			return false;
		out->text[i] = alphabet[value];
	}
	out->text[ID_LENGTH] = '\0';
	return true;
}

int64_t
id_wall_ms(const struct id *id)
{
	int64_t time_ms = 0;

	for (int i = 0; i < TIME_DIGITS; i++)
		time_ms = time_ms << BITS_A_DIGIT | (digit_value(id->text[i]) & 31);
	return time_ms;
}
