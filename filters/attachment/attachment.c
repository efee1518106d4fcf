#include "filters/attachment/attachment.h"
#include "filters/attachment/hashes.h"
#include "filters/unpack/kind.h"
#include "filters/unpack/name.h"
#include "filters/unpack/unpack.h"
#include "relay/base/glob.h"
#include "relay/base/mem.h"

#include <stdio.h>

enum { WHY_MAX = 180, SHOWN_MAX = 100 };

enum outcome { BLOCKED, ENCRYPTED, MACRO, DISGUISED, MALFORMED, LIMIT };

struct words {
	char **items;
	size_t n;
};

struct attachment {
	const struct pnf_host *host;
	struct words extensions, names, types;
	struct hashes *hashes; /* NULL: none */
	uint32_t depth, files;
	uint64_t bytes;
	uint32_t part;     /* the part at hand */
	unsigned reported; /* of it: bit for each outcome */
	uint32_t seen;     /* members of the message */
};

static struct span
from_pnf(struct pnf_span s)
{
	return span_of(s.p, s.n);
}

static void
words_load(const struct pnf_host *host, const struct pnf_config *config, const char *option,
    struct words *to)
{
	size_t n = host->option_count(config, option);

	to->items = mem_array(n, sizeof(to->items[0]));
	for (; to->n < n; to->n++)
		to->items[to->n] = mem_dup(span_str(host->option_item(config, option, to->n)));
}

static void
words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		mem_free(w->items[i]);
	mem_free(w->items);
}

static void
attachment_unload(void *self)
{
	struct attachment *a = self;

	words_free(&a->extensions);
	words_free(&a->names);
	words_free(&a->types);
	hashes_free(&a->hashes);
	mem_free(a);
}

static uint32_t
limit_of(
    const struct pnf_host *host, const struct pnf_config *config, const char *option, uint32_t most)
{
	int64_t n = host->option_number(config, option);

	return n < 0 || n > most ? most : (uint32_t)n;
}

static int
attachment_load(const struct pnf_host *host, const struct pnf_config *config, void **self,
    char *why, size_t why_n)
{
	const char *path = host->option_text(config, "hashes");
	struct attachment *a;
	struct err err = {0};

	if (kind_load(&err) < 0) {
		(void)snprintf(why, why_n, "%s", err.text); /* cut is fine */
		return PNF_NOT_NOW;
	}
	a = mem_alloc(sizeof(*a));
	a->host = host;
	words_load(host, config, "extensions", &a->extensions);
	words_load(host, config, "names", &a->names);
	words_load(host, config, "types", &a->types);
	a->depth = limit_of(host, config, "archive_depth", UNPACK_DEPTH);
	a->files = limit_of(host, config, "archive_files", UNPACK_ITEMS);
	a->bytes = (uint64_t)host->option_number(config, "archive_bytes");
	if (path != NULL && path[0] != '\0' && hashes_load(path, &a->hashes, &err) < 0) {
		(void)snprintf(why, why_n, "%s", err.text); /* cut is fine */
		attachment_unload(a);
		return err.code == E_NOT_FOUND ? PNF_NOT_NOW : PNF_BROKEN;
	}
	*self = a;
	return PNF_LOADED;
}

static void
attachment_connect(void *self, struct pnf_msg *msg, const struct pnf_client *client)
{
	struct attachment *a = self;

	(void)msg; /* nothing to look at yet: only the state of the last message goes */
	(void)client;
	a->part = UINT32_MAX;
	a->reported = 0;
	a->seen = 0;
}

/* What is found from here on is about this part; its hooks come in a row. */
static void
look_at(struct attachment *a, uint32_t part)
{
	if (a->part != part)
		a->reported = 0;
	a->part = part;
}

/* `what` is a word of ours, `which` what it is about, from outside. */
static void
report(struct attachment *a, struct pnf_msg *msg, enum outcome outcome, const char *what,
    struct span which)
{
	static const char *const names[] = {[BLOCKED] = "blocked",
	    [ENCRYPTED] = "encrypted",
	    [MACRO] = "macro",
	    [DISGUISED] = "disguised",
	    [MALFORMED] = "malformed",
	    [LIMIT] = "limit"};
	char why[WHY_MAX];

	if (a->reported & 1u << outcome)
		return;
	a->reported |= 1u << outcome;
	(void)snprintf(why, sizeof(why), "%s%s%.*s", what, which.n > 0 ? " " : "",
	    SPAN_ARG(span_take(which, SHOWN_MAX)));
	(void)a->host->outcome_part(
	    msg, names[outcome], a->part, (struct pnf_span){why, strlen(why)});
}

static void
judge_form(struct attachment *a, struct pnf_msg *msg, struct span form)
{
	struct span extension = name_extension(form);

	for (size_t i = 0; i < a->extensions.n; i++)
		if (extension.n > 0 && glob_match(span_str(a->extensions.items[i]), extension))
			report(a, msg, BLOCKED, "name", form);
	for (size_t i = 0; i < a->names.n; i++)
		if (glob_match(span_str(a->names.items[i]), form))
			report(a, msg, BLOCKED, "name", form);
}

static void
judge_name(struct attachment *a, struct pnf_msg *msg, struct span name)
{
	struct name_forms forms;

	name_read(name, &forms);
	for (size_t i = 0; i < forms.n; i++)
		judge_form(a, msg, forms.forms[i]);
	if (forms.is_disguised && forms.n > 0)
		report(a, msg, DISGUISED, "name", forms.forms[0]);
}

static void
judge_type(struct attachment *a, struct pnf_msg *msg, struct span type)
{
	struct span other = kind_other_name(type);

	for (size_t i = 0; i < a->types.n; i++)
		if (glob_match(span_str(a->types.items[i]), type) ||
		    (other.n > 0 && glob_match(span_str(a->types.items[i]), other)))
			report(a, msg, BLOCKED, "type", type);
}

static void
attachment_part(void *self, struct pnf_msg *msg, const struct pnf_part *part)
{
	struct attachment *a = self;

	look_at(a, part->id);
	if (!(part->flags & PNF_PART_MULTIPART))
		judge_type(a, msg, from_pnf(part->type));
	for (size_t i = 0; i < part->n_names; i++)
		judge_name(a, msg, from_pnf(part->names[i]));
	if (part->flags & PNF_PART_TRUNCATED)
		report(a, msg, LIMIT, "message not seen to its end", SPAN(""));
}

static void
attachment_member(void *self, struct pnf_msg *msg, const struct pnf_member *m)
{
	struct attachment *a = self;
	struct span name = from_pnf(m->name);

	look_at(a, m->part);
	judge_name(a, msg, name);
	judge_type(a, msg, from_pnf(m->type));
	if (a->hashes != NULL && m->sha256 != NULL && hashes_have(a->hashes, m->sha256))
		report(a, msg, BLOCKED, "hash of", name);
	if (m->flags & PNF_MEMBER_ENCRYPTED)
		report(a, msg, ENCRYPTED, "cannot look into", name);
	if (m->flags & PNF_MEMBER_MACRO)
		report(a, msg, MACRO, "macros in", name);
	if (m->flags & PNF_MEMBER_BROKEN)
		report(a, msg, MALFORMED, "broken archive or document", name);
	if ((m->flags & PNF_MEMBER_LIMIT) || m->depth > a->depth || ++a->seen > a->files ||
	    (m->depth > 0 && m->size > a->bytes))
		report(a, msg, LIMIT, "more than is looked at in", name);
}

PNF_FILTER(attachment_filter, .about = &attachment_about, .load = attachment_load,
    .unload = attachment_unload, .connect = attachment_connect, .part = attachment_part,
    .member = attachment_member);
