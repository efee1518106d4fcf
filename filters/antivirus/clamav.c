#include "filters/antivirus/clamav.h"
#include "filters/antivirus/engine.h"
#include "relay/base/mem.h"

#include <stdio.h>

struct clamav {
	const struct pnf_host *host;
	struct engine *engine;
	uint64_t max_file; /* bytes */
	/* Of the message at hand: */
	unsigned reported;            /* bit for each verdict_kind, and MALFORMED_BIT */
	bool is_encrypted;            /* a member, as we see it */
	struct waiting *first, *last; /* parts, until the whole message has been scanned */
};

/* One of them; lives as long as the message. */
struct waiting {
	struct waiting *next;
	struct pnf_span bytes;
	bool is_text; /* a body, not a file: layers.h */
};

enum { MALFORMED_BIT = 1 << 8 };

static struct pnf_span
to_pnf(const char *s)
{
	return (struct pnf_span){s, strlen(s)};
}

static uint32_t
to_u32(int64_t n)
{
	return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static int
clamav_load(const struct pnf_host *host, const struct pnf_config *config, void **self, char *why,
    size_t why_n)
{
	const struct engine_settings settings = {
	    .databases = host->option_text(config, "databases"),
	    .tmpdir = host->option_text(config, "tmpdir"),
	    .max_scan = (uint64_t)host->option_number(config, "max_scan"),
	    .max_file = (uint64_t)host->option_number(config, "max_file"),
	    .max_recursion = to_u32(host->option_number(config, "max_recursion")),
	    .max_files = to_u32(host->option_number(config, "max_files")),
	    .minimum_signatures = to_u32(host->option_number(config, "minimum_signatures")),
	    /* Before the zygote's deadline, so that it is `unscannable` and not a killed worker. */
	    .max_time_ms = to_u32(host->option_number(config, "deadline") * 3 / 4),
	};
	struct err err = {0};
	struct engine *engine;
	struct clamav *c;
	int r = engine_new(&settings, &engine, &err);

	if (r < 0) {
		(void)snprintf(why, why_n, "%s", err.text); /* cut is fine */
		return err.code == E_CONFIG ? PNF_BROKEN : PNF_NOT_NOW;
	}
	c = mem_alloc(sizeof(*c));
	c->host = host;
	c->engine = engine;
	c->max_file = settings.max_file;
	*self = c;
	return PNF_LOADED;
}

static void
clamav_unload(void *self)
{
	struct clamav *c = self;

	engine_free(&c->engine);
	mem_free(c);
}

static int
clamav_start(void *self, const char *tmpdir, char *why, size_t why_n)
{
	struct clamav *c = self;
	struct err err = {0};

	if (engine_start(c->engine, tmpdir, &err) == 0)
		return 0;
	(void)snprintf(why, why_n, "%s", err.text); /* cut is fine */
	return -1;
}

static void
clamav_connect(void *self, struct pnf_msg *msg, const struct pnf_client *client)
{
	struct clamav *c = self;

	(void)msg; /* nothing to look at yet: only the state of the last message goes */
	(void)client;
	c->reported = 0;
	c->first = c->last = NULL;
	c->is_encrypted = false;
}

static void
report(struct clamav *c, struct pnf_msg *msg, unsigned bit, const char *outcome, const char *why)
{
	if (c->reported & bit)
		return;
	c->reported |= bit;
	(void)c->host->outcome(msg, outcome, to_pnf(why)); /* declared, see clamav_about.c */
}

static void
report_look(struct clamav *c, struct pnf_msg *msg, const struct look *found)
{
	static const char *const outcomes[] = {[LOOK_INFECTED] = "infected",
	    [LOOK_UNSCANNABLE] = "unscannable",
	    [LOOK_ENCRYPTED] = "encrypted",
	    [LOOK_MACRO] = "macro",
	    [LOOK_FAILED] = "failure"};

	if (found->kind != LOOK_CLEAN)
		report(c, msg, 1u << found->kind, outcomes[found->kind], found->why);
}

static void
look(struct clamav *c, struct pnf_msg *msg, struct pnf_span bytes)
{
	struct look found;

	if (c->reported & 1u << LOOK_INFECTED)
		return;
	engine_look_once(c->engine, span_of(bytes.p, bytes.n), &found);
	report_look(c, msg, &found);
}

/* Most parts are what libclamav finds itself in the whole message: that comes first. */
static void
look_later(struct clamav *c, struct pnf_msg *msg, struct pnf_span bytes, bool is_text)
{
	struct waiting *w = c->host->alloc(msg, sizeof(*w));

	if (w == NULL) {
		look(c, msg, bytes);
		return;
	}
	*w = (struct waiting){NULL, bytes, is_text};
	if (c->last != NULL)
		c->last->next = w;
	else
		c->first = w;
	c->last = w;
}

static bool
is_ascii(char c)
{
	return (unsigned char)c < 0x80;
}

/* Whether a text has other ASCII in it than the bytes it came from: UTF-16, UTF-7 and the like.  Of
 * the other charsets the bytes are enough. */
static bool
has_other_ascii(struct pnf_span bytes, struct pnf_span text)
{
	size_t i = 0, k = 0;

	if (bytes.p == text.p)
		return false;
	while (k < text.n) {
		while (i < bytes.n && !is_ascii(bytes.p[i]))
			i++;
		while (k < text.n && !is_ascii(text.p[k]))
			k++;
		if (k < text.n && (i == bytes.n || bytes.p[i++] != text.p[k++]))
			return true;
	}
	return false;
}

static void
clamav_part(void *self, struct pnf_msg *msg, const struct pnf_part *part)
{
	struct pnf_span what = {NULL, 0};
	struct clamav *c = self;

	if (part->id == 0 && (part->flags & PNF_PART_MALFORMED)) {
		if (c->host->note_get(msg, "message.anomalies", &what) < 0 || what.n == 0)
			what = to_pnf("malformed MIME");
		if (!(c->reported & MALFORMED_BIT))
			(void)c->host->outcome(msg, "malformed", what); /* declared */
		c->reported |= MALFORMED_BIT;
	}
	if (part->flags & PNF_PART_TRUNCATED)
		report(
		    c, msg, 1u << LOOK_UNSCANNABLE, "unscannable", "too many or too large parts");
	if (part->flags & PNF_PART_MULTIPART)
		return;
	look_later(c, msg, part->decoded, (part->flags & PNF_PART_TEXT) && part->n_names == 0);
	if (has_other_ascii(part->decoded, part->text))
		look_later(c, msg, part->text, false);
}

/*
 * libclamav says nothing where it stops inside an archive: of a member over max_file it scans the
 * beginning, of a broken archive what it can make out, and calls both clean.  A limit that we have met
 * and it has not is no reason, unless the size cannot be told, or it does not read such archives.  What we
 * have unpacked and it has not (another kind, another of two directories) is scanned for itself.
 */
static void
clamav_member(void *self, struct pnf_msg *msg, const struct pnf_member *member)
{
	struct clamav *c = self;

	c->is_encrypted |= (member->flags & PNF_MEMBER_ENCRYPTED) != 0;
	if (member->flags & PNF_MEMBER_BROKEN)
		report(c, msg, 1u << LOOK_UNSCANNABLE, "unscannable",
		    "an archive that cannot be read to its end");
	else if (member->depth > 0 &&
		 (member->size > c->max_file ||
		     (member->size == 0 && (member->flags & PNF_MEMBER_LIMIT))))
		report(c, msg, 1u << LOOK_UNSCANNABLE, "unscannable",
		    "a file in an archive is larger than max_file");
	else if ((member->flags & PNF_MEMBER_UNUSUAL) && member->size > 0 &&
		 (member->bytes.n == 0 || (member->flags & PNF_MEMBER_LIMIT)))
		report(c, msg, 1u << LOOK_UNSCANNABLE, "unscannable",
		    "a file in an archive that the scanner does not unpack is too large");
	if (member->depth > 0 && member->bytes.n > 0)
		look_later(c, msg, member->bytes, false);
}

static void
clamav_eom(void *self, struct pnf_msg *msg, struct pnf_span raw)
{
	struct clamav *c = self;
	struct look found;

	engine_look_whole(c->engine, span_of(raw.p, raw.n), &found);
	report_look(c, msg, &found);
	for (const struct waiting *w = c->first; w != NULL; w = w->next)
		if (!engine_has_seen(c->engine, span_of(w->bytes.p, w->bytes.n), w->is_text))
			look(c, msg, w->bytes);
	/* Where libclamav has not said so itself. */
	if (c->is_encrypted)
		report(
		    c, msg, 1u << LOOK_ENCRYPTED, "encrypted", "an encrypted file in an archive");
}

PNF_FILTER(clamav_filter, .about = &clamav_about, .load = clamav_load, .unload = clamav_unload,
    .start = clamav_start, .connect = clamav_connect, .part = clamav_part, .member = clamav_member,
    .eom = clamav_eom);
