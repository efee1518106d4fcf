#include "filters/chain/abi.h"
#include "filters/chain/run.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/utf8.h"

static struct span
from_pnf(struct pnf_span s)
{
	return span_of(s.p, s.n);
}

static const struct conf_option *
option_find(const struct pnf_config *config, const char *name)
{
	const struct conf_filter *f = config->conf;

	for (size_t i = 0; i < f->n_options; i++)
		if (strcmp(f->options[i].about->name, name) == 0)
			return &f->options[i];
	return NULL;
}

static int64_t
host_option_number(const struct pnf_config *config, const char *name)
{
	const struct conf_option *o = option_find(config, name);

	if (strcmp(name, "deadline") == 0)
		return config->conf->deadline_ms;
	return o != NULL ? o->number : 0;
}

static size_t
host_option_count(const struct pnf_config *config, const char *name)
{
	const struct conf_option *o = option_find(config, name);

	return o != NULL ? o->n_values : 0;
}

static const char *
host_option_item(const struct pnf_config *config, const char *name, size_t i)
{
	const struct conf_option *o = option_find(config, name);

	return o != NULL && i < o->n_values ? o->values[i] : NULL;
}

static const char *
host_option_text(const struct pnf_config *config, const char *name)
{
	const struct conf_option *o = option_find(config, name);

	if (strcmp(name, "tmpdir") == 0)
		return config->conf->plugin->needs & PNF_NEEDS_TMPDIR ? config->tmpdir : NULL;
	return o != NULL && o->n_values > 0 ? o->values[0] : NULL;
}

static void *
host_alloc(struct pnf_msg *m, size_t n)
{
	/* Room for alignment, so that the arena's own check never fires. */
	if (n > CHAIN_FILTER_MEMORY || n + 64 > arena_left(&m->memory))
		return NULL;
	return arena_alloc(&m->memory, n);
}

struct span
run_line(struct pnf_msg *m, struct span s, size_t max)
{
	struct span in = span_take(s, max);
	size_t n = 0;
	char *to = host_alloc(m, in.n + 1);

	if (to == NULL)
		return (struct span){0};
	while (in.n > 0) {
		size_t length = utf8_length(in);

		if (length == 0 || (unsigned char)in.p[0] < 0x20 || in.p[0] == 0x7f) {
			/* A character cut at max vanishes; garbage becomes visible. */
			if (in.n >= 4 || s.n <= max)
				to[n++] = '?';
			in = span_skip(in, 1);
			continue;
		}
		memcpy(to + n, in.p, length);
		n += length;
		in = span_skip(in, length);
	}
	return span_of(to, n);
}

void
run_record(struct pnf_msg *m, uint8_t filter, int outcome, struct span why)
{
	struct scan_result *r = &m->result;

	/* No flow of today's filters gets here.  What does not fit must not be forgotten either. */
	if (r->n_outcomes == SCAN_OUTCOMES_MAX) {
		outcome = -1;
		r->n_outcomes--;
	}
	r->outcomes[r->n_outcomes++] = (struct scan_outcome){
	    .filter = filter, .outcome = (int8_t)outcome, .why = run_line(m, why, SCAN_WHY_MAX)};
}

size_t
run_recorded(const struct pnf_msg *m, int outcome)
{
	for (size_t i = 0; i < m->result.n_outcomes; i++)
		if (m->result.outcomes[i].filter == m->filter &&
		    m->result.outcomes[i].outcome == outcome)
			return i;
	return SIZE_MAX;
}

enum { OUTCOME_FAILURE = -1, OUTCOME_UNKNOWN = -2 };

static int
outcome_index(const struct pnf_msg *m, const char *name)
{
	const struct pnf_outcome *known = m->now->plugin->about->outcomes;

	if (strcmp(name, "failure") == 0)
		return OUTCOME_FAILURE;
	for (int i = 0; known != NULL && known[i].name != NULL && i <= INT8_MAX; i++)
		if (strcmp(known[i].name, name) == 0)
			return i;
	return OUTCOME_UNKNOWN;
}

static void
record(struct pnf_msg *m, const char *name, int index, struct span why)
{
	/* Outcomes that say that the message, or this worker, is not to be trusted further. */
	if (index < 0 || strcmp(name, "unscannable") == 0 || strcmp(name, "malformed") == 0)
		m->is_rough = true;
	/* Once is enough: so a filter that repeats itself cannot crowd out the others. */
	if (run_recorded(m, index) == SIZE_MAX)
		run_record(m, m->filter, index, why);
}

/* Whether somebody's mail may lose a part for it: else nobody need know which. */
static bool
may_strip(struct pnf_msg *m, int index)
{
	uint8_t *known;

	if (index < 0 || index >= ABI_OUTCOMES_MAX)
		return false;
	known = &m->may_strip[index];
	if (*known == 0)
		*known = 1 + config_may_be(m->chain->config, &m->flow->filters[m->filter], index,
				 ACTION_STRIP);
	return *known == 2;
}

/* In the log, once for a filter and message: who writes filters would look for it in vain else. */
static int
refuse(struct pnf_msg *m, const char *what, const char *name)
{
	if (!(m->has_refused & 1u << m->filter))
		log_event(LOG_WARN, "filter overreaches", KV("id", m->id),
		    KV_STR("filter", m->now->conf->name), KV_STR("what", what),
		    KV("name", run_line(m, span_str(name), SCAN_TAG_NAME_MAX)));
	m->has_refused |= 1u << m->filter;
	return -1;
}

/* What a filter has found and cannot say must not look as if it had found nothing. */
static int
refuse_outcome(struct pnf_msg *m, const char *name)
{
	m->is_rough = true;
	if (run_recorded(m, -1) == SIZE_MAX)
		run_record(
		    m, m->filter, -1, SPAN("it reported an outcome that it has not declared"));
	return refuse(m, "an outcome that it has not declared", name);
}

static int
host_outcome(struct pnf_msg *m, const char *name, struct pnf_span why)
{
	int index = outcome_index(m, name);

	if (index == OUTCOME_UNKNOWN)
		return refuse_outcome(m, name);
	record(m, name, index, from_pnf(why));
	if (may_strip(m, index))
		strips_give_up(m, run_recorded(m, index), SPAN("it is about no part alone"));
	return 0;
}

/* With a part that cannot be meant it is said of the whole message: what was found is not forgotten. */
static int
host_outcome_part(struct pnf_msg *m, const char *name, uint32_t part, struct pnf_span why)
{
	bool may_name = m->now->plugin->about->may & PNF_MAY_NAME_PARTS;
	int index = outcome_index(m, name);
	const char *wrong = NULL;

	if (index == OUTCOME_UNKNOWN)
		return refuse_outcome(m, name);
	record(m, name, index, from_pnf(why));
	if (!may_name)
		wrong = "a part, without PNF_MAY_NAME_PARTS";
	else if (part >= m->mime.n_parts)
		wrong = "a part that is none";
	if (wrong != NULL && may_strip(m, index))
		strips_give_up(m, run_recorded(m, index), SPAN("its filter names no part"));
	else if (may_strip(m, index))
		strips_mark(m, run_recorded(m, index), part, from_pnf(why));
	return wrong != NULL ? refuse(m, wrong, name) : 0;
}

static int
host_tag(struct pnf_msg *m, const char *name, int32_t score_milli, struct pnf_span why)
{
	struct scan_result *r = &m->result;
	uint32_t may = m->now->plugin->about->may;

	if (!(may & PNF_MAY_TAG))
		return refuse(m, "a tag, without PNF_MAY_TAG", name);
	if (score_milli != 0 && !(may & PNF_MAY_SCORE))
		return refuse(m, "a score, without PNF_MAY_SCORE", name);
	if (!scan_tag_name_is_valid(span_str(name)))
		return refuse(m, "a tag whose name may not be one", name);
	if (r->n_tags == SCAN_TAGS_MAX)
		return refuse(m, "more tags than fit", name);
	r->tags[r->n_tags++] = (struct scan_tag){.filter = m->filter,
	    .name = run_line(m, span_str(name), SCAN_TAG_NAME_MAX),
	    .why = run_line(m, from_pnf(why), SCAN_WHY_MAX),
	    .score_milli = score_milli};
	return 0;
}

static struct span
copy_bytes(struct pnf_msg *m, struct span s)
{
	char *to = host_alloc(m, s.n + 1);

	if (to == NULL)
		return (struct span){0};
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return span_of(to, s.n);
}

static int
host_note_set(struct pnf_msg *m, const char *key, struct pnf_span value)
{
	struct note note = {copy_bytes(m, span_str(key)), copy_bytes(m, from_pnf(value))};

	if (m->n_notes == CHAIN_NOTES_MAX || note.value.p == NULL || note.key.p == NULL)
		return -1;
	m->notes[m->n_notes++] = note;
	return 0;
}

static int
host_note_get(struct pnf_msg *m, const char *key, struct pnf_span *out)
{
	for (size_t i = m->n_notes; i > 0; i--)
		if (span_eq(m->notes[i - 1].key, span_str(key))) {
			*out = (struct pnf_span){m->notes[i - 1].value.p, m->notes[i - 1].value.n};
			return 0;
		}
	return -1;
}

static bool
is_field_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	return s.n > 0;
}

/* CR LF only as a fold, before a blank; no NUL. */
static bool
is_field_value(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || s.p[i] == '\n')
			return false;
		if (s.p[i] != '\r')
			continue;
		if (i + 2 >= s.n || s.p[i + 1] != '\n' || (s.p[i + 2] != ' ' && s.p[i + 2] != '\t'))
			return false;
		i++;
	}
	return true;
}

static int
add_edit(struct pnf_msg *m, struct header_edit e)
{
	size_t bytes = e.name.n + e.value.n;

	if (!(m->now->plugin->about->may & PNF_MAY_EDIT_HEADERS))
		return refuse(m, "an edit, without PNF_MAY_EDIT_HEADERS", "");
	if (bytes > SCAN_EDIT_MAX || m->edit_bytes + bytes > SCAN_EDITS_BYTES ||
	    m->result.n_edits == SCAN_EDITS_MAX || !is_field_value(e.value) ||
	    (e.kind != EDIT_ADD && e.index >= m->mime.n_headers))
		return -1;
	e.name = copy_bytes(m, e.name);
	e.value = copy_bytes(m, e.value);
	if (e.name.p == NULL || e.value.p == NULL)
		return -1;
	e.filter = m->filter;
	m->edit_bytes += bytes;
	m->result.edits[m->result.n_edits++] = e;
	return 0;
}

static int
host_header_add(struct pnf_msg *m, struct pnf_span name, struct pnf_span value, int only_tagged)
{
	if (!is_field_name(from_pnf(name)))
		return -1;
	return add_edit(m, (struct header_edit){.kind = EDIT_ADD,
			       .only_tagged = only_tagged != 0,
			       .name = from_pnf(name),
			       .value = from_pnf(value)});
}

static int
host_header_change(struct pnf_msg *m, uint32_t index, struct pnf_span value, int only_tagged)
{
	return add_edit(m, (struct header_edit){.kind = EDIT_CHANGE,
			       .only_tagged = only_tagged != 0,
			       .index = index,
			       .value = from_pnf(value)});
}

static int
host_header_remove(struct pnf_msg *m, uint32_t index, int only_tagged)
{
	return add_edit(
	    m, (struct header_edit){
		   .kind = EDIT_REMOVE, .only_tagged = only_tagged != 0, .index = index});
}

static int64_t
host_ms_left(struct pnf_msg *m)
{
	return m->deadline_mono_ms - clock_mono_ms();
}

static const char *
host_tmpdir(struct pnf_msg *m)
{
	return m->now->plugin->about->needs & PNF_NEEDS_TMPDIR ? m->chain->tmpdir : NULL;
}

static void
host_log(struct pnf_msg *m, const char *event, struct pnf_span text)
{
	log_event(LOG_INFO, event, KV("id", m->id), KV_STR("filter", m->now->conf->name),
	    KV("text", run_line(m, from_pnf(text), SCAN_WHY_MAX)));
}

const struct pnf_host *
host_table(void)
{
	static const struct pnf_host table = {.size = sizeof(table),
	    .abi_major = PNF_ABI_MAJOR,
	    .abi_minor = PNF_ABI_MINOR,
	    .option_number = host_option_number,
	    .option_text = host_option_text,
	    .option_count = host_option_count,
	    .option_item = host_option_item,
	    .alloc = host_alloc,
	    .outcome = host_outcome,
	    .tag = host_tag,
	    .note_set = host_note_set,
	    .note_get = host_note_get,
	    .header_add = host_header_add,
	    .header_change = host_header_change,
	    .header_remove = host_header_remove,
	    .ms_left = host_ms_left,
	    .tmpdir = host_tmpdir,
	    .log = host_log,
	    .outcome_part = host_outcome_part};

	return &table;
}
