#include "relay/smtp/sasl.h"
#include "relay/base/base64.h"
#include "relay/base/utf8.h"

static const char *const names[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};

const char *
sasl_mechanism_name(enum sasl_mechanism m)
{
	return names[m];
}

enum sasl_mechanism
sasl_command_parse(struct span argument, struct span *initial, bool *has_initial)
{
	struct span word = span_word(&argument);

	*initial = span_trim(argument);
	*has_initial = initial->n > 0;
	for (int i = 0; i < SASL_UNKNOWN; i++)
		if (span_eq_nocase(word, span_str(names[i])))
			return (enum sasl_mechanism)i;
	return SASL_UNKNOWN;
}

int
sasl_line_decode(struct span line, bool is_initial, struct buf *to)
{
	to->max = SASL_MESSAGE_MAX;
	if (is_initial && span_eq(line, SPAN("=")))
		return 0;
	return base64_decode(to, line);
}

static bool
is_text(struct span s, size_t max)
{
	return s.n > 0 && s.n <= max && memchr(s.p, '\0', s.n) == NULL && utf8_is_valid(s);
}

int
sasl_plain_parse(struct span message, struct sasl_plain *out)
{
	if (span_find(message, '\0') == message.n)
		return -E_SYNTAX;
	out->authorize = span_cut(&message, '\0');
	if (span_find(message, '\0') == message.n)
		return -E_SYNTAX;
	out->name = span_cut(&message, '\0');
	out->password = message;
	if (out->authorize.n > SASL_NAME_MAX || !is_text(out->name, SASL_NAME_MAX) ||
	    !is_text(out->password, SASL_PASSWORD_MAX))
		return -E_SYNTAX;
	return 0;
}

/* --- SCRAM -------------------------------------------------------------------------------------- */

/* The value of the attribute that comes next, "a=value,"; false: another one does. */
static bool
attribute(struct span *rest, char name, struct span *value)
{
	if (rest->n < 2 || rest->p[0] != name || rest->p[1] != '=')
		return false;
	*rest = span_skip(*rest, 2);
	*value = span_cut(rest, ',');
	return true;
}

/* saslname of RFC 5802 section 7: "=2C" is a comma, "=3D" is "=". */
static bool
take_name(struct span text, struct scram_first *out)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '=') {
			struct span escape = span_take(span_skip(text, i), 3);

			if (span_eq(escape, SPAN("=2C")))
				c = ',';
			else if (!span_eq(escape, SPAN("=3D")))
				return false;
			i += 2;
		}
		if (out->name_n == sizeof(out->name))
			return false;
		out->name[out->name_n++] = c;
	}
	return is_text(span_of(out->name, out->name_n), SASL_NAME_MAX);
}

/* Printable ASCII but the comma. */
static bool
is_nonce(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x21 || s.p[i] > 0x7e)
			return false;
	return s.n > 0 && s.n <= SASL_NONCE_MAX;
}

int
scram_first_parse(struct span message, struct scram_first *out)
{
	struct span rest = message, flag = span_cut(&rest, ','), authorize = span_cut(&rest, ','),
		    name;

	*out = (struct scram_first){.name_n = 0};
	if (span_starts(flag, SPAN("p=")) || authorize.n > 0)
		return -E_UNSUPPORTED;
	if (!span_eq(flag, SPAN("n")) && !span_eq(flag, SPAN("y")))
		return -E_SYNTAX;
	if (rest.n == 0)
		return -E_SYNTAX;
	out->header = span_take(message, message.n - rest.n);
	out->bare = rest;
	/* "m=" is for extensions that must be understood: there are none. */
	if (!attribute(&rest, 'n', &name) || !attribute(&rest, 'r', &out->nonce) ||
	    !is_nonce(out->nonce) || !take_name(name, out))
		return -E_SYNTAX;
	return 0;
}

int
scram_final_parse(struct span message, struct scram_final *out)
{
	struct span rest = message, proof;
	char decoded[SASL_PROOF + 3];
	struct buf b = {.p = decoded, .cap = sizeof(decoded), .max = sizeof(decoded)};
	size_t last = span_rfind(message, ',');

	if (!attribute(&rest, 'c', &out->binding) || !attribute(&rest, 'r', &out->nonce) ||
	    last == message.n)
		return -E_SYNTAX;
	out->without_proof = span_take(message, last);
	rest = span_skip(message, last + 1); /* extensions in between are skipped */
	if (!attribute(&rest, 'p', &proof) || base64_decode(&b, proof) < 0 || b.n != SASL_PROOF)
		return -E_SYNTAX;
	memcpy(out->proof, b.p, SASL_PROOF);
	return 0;
}
