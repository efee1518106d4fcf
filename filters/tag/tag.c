#include "filters/tag/tag.h"
#include "relay/base/base64.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"

#include <stdio.h>

enum { PREFIX_MAX = 45, VALUE_MAX = 8000 /* an encoded word holds no more (RFC 2047 section 2) */ };

struct tag {
	const struct pnf_host *host;
	char *plain;      /* the prefix as it reads; NULL: nothing is marked */
	char *on_wire;    /* in ASCII: an encoded word when it must be one */
	bool has_subject; /* of the message at hand */
};

static char *
encode_prefix(struct span prefix)
{
	struct buf b = BUF_INIT(256);
	bool is_ascii = true;
	char *text;

	for (size_t i = 0; i < prefix.n; i++)
		is_ascii &= prefix.p[i] >= 0x20 && prefix.p[i] < 0x7f;
	if (is_ascii) {
		(void)buf_add_span(&b, prefix); /* fits: PREFIX_MAX */
	} else {
		(void)buf_add_str(&b, "=?UTF-8?B?");
		(void)base64_add(&b, prefix);
		(void)buf_add_str(&b, "?=");
	}
	text = mem_dup(buf_span(&b));
	buf_free(&b);
	return text;
}

static void
tag_unload(void *self)
{
	struct tag *t = self;

	mem_free(t->plain);
	mem_free(t->on_wire);
	mem_free(t);
}

static int
tag_load(const struct pnf_host *host, const struct pnf_config *config, void **self, char *why,
    size_t why_n)
{
	struct span prefix = span_trim(span_str(host->option_text(config, "subject")));
	struct tag *t = mem_alloc(sizeof(*t));

	*self = t;
	t->host = host;
	if (prefix.n > PREFIX_MAX) {
		(void)snprintf(why, why_n, "subject: at most %d bytes", PREFIX_MAX);
		return PNF_BROKEN;
	}
	if (prefix.n > 0) {
		t->plain = mem_dup(prefix);
		t->on_wire = encode_prefix(prefix);
	}
	return PNF_LOADED;
}

static void
tag_connect(void *self, struct pnf_msg *msg, const struct pnf_client *client)
{
	struct tag *t = self;

	(void)msg; /* nothing to look at yet: only the state of the last message goes */
	(void)client;
	t->has_subject = false;
}

static void
tag_header(void *self, struct pnf_msg *msg, const struct pnf_header *h)
{
	struct span old = span_trim(span_of(h->value.p, h->value.n));
	struct buf value = BUF_INIT(VALUE_MAX);
	struct tag *t = self;

	if (t->plain == NULL || !span_eq_nocase(span_of(h->name.p, h->name.n), SPAN("Subject")))
		return;
	t->has_subject = true;
	if (span_starts(span_of(h->decoded.p, h->decoded.n), span_str(t->plain)))
		return;                             /* a relay before us has marked it */
	(void)buf_addf(&value, " %s ", t->on_wire); /* sticky */
	(void)buf_add_span(&value, old);
	/* A Subject too long to be marked stays as it is: the copy has its tag header anyway. */
	if (!value.failed)
		(void)t->host->header_change(msg, h->index, (struct pnf_span){value.p, value.n}, 1);
	buf_free(&value);
}

static void
tag_eoh(void *self, struct pnf_msg *msg)
{
	static const struct pnf_span name = {"Subject", 7};
	struct buf value = BUF_INIT(VALUE_MAX);
	struct tag *t = self;

	if (t->plain == NULL || t->has_subject)
		return;
	(void)buf_addf(&value, " %s", t->on_wire); /* fits: PREFIX_MAX */
	(void)t->host->header_add(msg, name, (struct pnf_span){value.p, value.n}, 1);
	buf_free(&value);
}

PNF_FILTER(tag_filter, .about = &tag_about, .load = tag_load, .unload = tag_unload,
    .connect = tag_connect, .header = tag_header, .eoh = tag_eoh);
