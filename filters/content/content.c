#include "filters/content/content.h"
#include "filters/content/pattern.h"
#include "relay/base/mem.h"

#include <stdio.h>

enum { WHY_MAX = 180, SCORE_MAX = 1000000 /* thousandths */ };

struct patterns {
	struct pattern **items;
	size_t n;
};

struct content {
	const struct pnf_host *host;
	struct patterns subject, body;
	char *tag; /* NULL: none */
	int32_t score_milli;
	bool has_matched, has_limit, has_text; /* of the message at hand */
	struct effort effort;                  /* the same */
};

static struct span
from_pnf(struct pnf_span s)
{
	return span_of(s.p, s.n);
}

static int
patterns_load(const struct pnf_host *host, const struct pnf_config *config, const char *option,
    struct patterns *to, char *why, size_t why_n)
{
	size_t n = host->option_count(config, option);

	to->items = mem_array(n, sizeof(to->items[0]));
	for (; to->n < n; to->n++) {
		struct span text = span_str(host->option_item(config, option, to->n));

		to->items[to->n] = pattern_new(text, why, why_n);
		if (to->items[to->n] == NULL)
			return -1;
	}
	return 0;
}

/* "2.5" or "-1" in thousandths. */
static bool
score_parse(struct span s, int32_t *milli)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	struct span rest = span_skip(s, is_negative), whole = span_cut(&rest, '.');
	char digits[4] = "000";
	uint64_t units, part;

	if (rest.n > 3 || !span_to_u64(whole, &units) || units > SCORE_MAX / 1000)
		return false;
	if (rest.n > 0)
		memcpy(digits, rest.p, rest.n);
	if (!span_to_u64(span_of(digits, 3), &part))
		return false;
	*milli = (int32_t)(units * 1000 + part) * (is_negative ? -1 : 1);
	return true;
}

static void
patterns_free(struct patterns *all)
{
	for (size_t i = 0; i < all->n; i++)
		pattern_free(&all->items[i]);
	mem_free(all->items);
}

static void
content_unload(void *self)
{
	struct content *c = self;

	patterns_free(&c->subject);
	patterns_free(&c->body);
	mem_free(c->tag);
	mem_free(c);
}

static int
content_load(const struct pnf_host *host, const struct pnf_config *config, void **self, char *why,
    size_t why_n)
{
	const char *tag = host->option_text(config, "tag");
	struct content *c = mem_alloc(sizeof(*c));

	*self = c;
	c->host = host;
	if (tag != NULL && tag[0] != '\0')
		c->tag = mem_dup(span_str(tag));
	if (!score_parse(span_str(host->option_text(config, "score")), &c->score_milli)) {
		(void)snprintf(why, why_n, "score is no number such as 2.5"); /* cut is fine */
		return PNF_BROKEN;
	}
	if (patterns_load(host, config, "subject", &c->subject, why, why_n) < 0 ||
	    patterns_load(host, config, "body", &c->body, why, why_n) < 0)
		return PNF_BROKEN;
	return PNF_LOADED;
}

static void
content_connect(void *self, struct pnf_msg *msg, const struct pnf_client *client)
{
	struct content *c = self;

	(void)msg; /* nothing to look at yet: only the state of the last message goes */
	(void)client;
	c->has_matched = c->has_limit = c->has_text = false;
	effort_begin(&c->effort, EFFORT_MESSAGE);
}

static void
report(struct content *c, struct pnf_msg *msg, const char *outcome, const char *where,
    const struct pattern *p)
{
	struct span text = pattern_text(p);
	char why[WHY_MAX];
	struct pnf_span s = {why, 0};

	(void)snprintf(why, sizeof(why), "%s %.*s", where, SPAN_ARG(span_take(text, 120)));
	s.n = strlen(why);
	(void)c->host->outcome(msg, outcome, s); /* declared, see content_about.c */
	if (c->tag != NULL && p != NULL && strcmp(outcome, "matched") == 0)
		(void)c->host->tag(msg, c->tag, c->score_milli, s); /* full: the outcome stands */
}

static void
look(struct content *c, struct pnf_msg *msg, const struct patterns *all, const char *where,
    struct span value)
{
	for (size_t i = 0; i < all->n && !c->has_matched; i++)
		switch (pattern_match(all->items[i], value, &c->effort)) {
		case PATTERN_NO:
			break;
		case PATTERN_YES:
			c->has_matched = true;
			report(c, msg, "matched", where, all->items[i]);
			break;
		case PATTERN_LIMIT:
			if (!c->has_limit)
				report(c, msg, "limit", where, all->items[i]);
			c->has_limit = true;
			break;
		}
}

static void
content_header(void *self, struct pnf_msg *msg, const struct pnf_header *h)
{
	struct content *c = self;

	if (span_eq_nocase(from_pnf(h->name), SPAN("Subject")))
		look(c, msg, &c->subject, "subject", from_pnf(h->decoded));
}

static void
content_part(void *self, struct pnf_msg *msg, const struct pnf_part *part)
{
	static const char why[] = "text cut";
	struct content *c = self;

	if (!(part->flags & PNF_PART_TEXT))
		return;
	c->has_text = true;
	look(c, msg, &c->body, "body", from_pnf(part->text));
	if ((part->flags & PNF_PART_TRUNCATED) && c->body.n > 0 && !c->has_limit) {
		c->has_limit = true;
		(void)c->host->outcome(msg, "limit", (struct pnf_span){why, sizeof(why) - 1});
	}
}

static void
content_eom(void *self, struct pnf_msg *msg, struct pnf_span raw)
{
	struct content *c = self;

	if (!c->has_text)
		look(c, msg, &c->body, "raw body", from_pnf(raw));
}

PNF_FILTER(content_filter, .about = &content_about, .load = content_load, .unload = content_unload,
    .connect = content_connect, .header = content_header, .part = content_part, .eom = content_eom);
