/* mime_anomaly.c - what the anomalies of a message mean. */
#include "relay/message/mime.h"

/* Malformed is what two mail readers would show differently, with something in both.  Form alone (a
 * bad header line, a header twice with one meaning, a multipart never closed) is not: mail from good
 * senders has it, and all readers agree about it. */
enum {
	ANOMALIES_MALFORMED = MIME_TWO_HEADERS | MIME_TWO_TYPES | MIME_TWO_ENCODINGS |
			      MIME_TWO_BOUNDARIES | MIME_TWO_DECODINGS | MIME_TWO_TEXTS |
			      MIME_UNDIVIDED | MIME_UNKNOWN_ENCODING | MIME_PARTIAL,
	ANOMALIES_TRUNCATED =
	    MIME_TOO_MANY_PARTS | MIME_TOO_DEEP | MIME_TOO_LARGE | MIME_TOO_MANY_READINGS
};

bool
mime_is_malformed(const struct mime_message *m)
{
	return (m->anomalies & ANOMALIES_MALFORMED) != 0;
}

bool
mime_is_truncated(const struct mime_message *m)
{
	return (m->anomalies & ANOMALIES_TRUNCATED) != 0;
}

void
mime_anomalies(unsigned anomalies, struct buf *to)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {{MIME_TOO_MANY_PARTS, "too many parts"}, {MIME_TOO_DEEP, "nested too deep"},
	    {MIME_TOO_LARGE, "too large decoded"}, {MIME_TOO_MANY_READINGS, "too many readings"},
	    {MIME_TWO_TYPES, "two types"}, {MIME_TWO_BOUNDARIES, "two boundaries"},
	    {MIME_TWO_ENCODINGS, "two transfer encodings"}, {MIME_TWO_HEADERS, "two header ends"},
	    {MIME_TWO_DECODINGS, "two decodings"}, {MIME_TWO_TEXTS, "two charsets"},
	    {MIME_UNDIVIDED, "multipart without parts"}, {MIME_PARTIAL, "message/partial"},
	    {MIME_BAD_ENCODING, "bad transfer encoding"},
	    {MIME_UNKNOWN_ENCODING, "unknown transfer encoding"},
	    {MIME_DUPLICATE_HEADER, "MIME header twice"}, {MIME_BAD_BOUNDARY, "bad boundary"},
	    {MIME_BAD_HEADER, "bad header line"}, {MIME_BAD_CHARSET, "bad charset"},
	    {MIME_LAX_BOUNDARY, "lax boundary"}, {MIME_INLINE_FILE, "file in text"},
	    {MIME_GUESSED_TYPE, "guessed type"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (anomalies & names[i].bit) /* sticky: what does not fit is left out */
			(void)buf_addf(to, "%s%s", to->n > 0 ? ", " : "", names[i].name);
}
