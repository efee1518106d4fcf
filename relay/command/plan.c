/*
 * postern plan: what is done to mail, flow by flow: the filters in their order with the options in
 * effect, and what each of their outcomes leads to after all overrides.
 */
#include "relay/base/json.h"
#include "relay/command/command.h"

#include <stdio.h>

enum { OUTPUT_MAX = 64 * 1024 * 1024, MS = 1000 };

static const struct conf_override *
override_of(const struct conf_domain *d, const struct conf_filter *f)
{
	for (size_t i = 0; i < d->n_overrides; i++)
		if (d->overrides[i].filter == f)
			return &d->overrides[i];
	return NULL;
}

static size_t
count_outcomes(const struct conf_filter *f)
{
	size_t n = 0;

	while (f->plugin->outcomes != NULL && f->plugin->outcomes[n].name != NULL)
		n++;
	return n;
}

/* The outcome that stands at place `k`: the plugin's own, then `failure`, which is -1. */
static int
outcome_at(const struct conf_filter *f, size_t k)
{
	return k < count_outcomes(f) ? (int)k : -1;
}

static const char *
outcome_name(const struct conf_filter *f, int i)
{
	return i < 0 ? "failure" : f->plugin->outcomes[i].name;
}

/* Who says what this outcome leads to in the flow; the plugin's own word is the default. */
static const char *
said_by(const struct conf_flow_filter *ff, int i)
{
	const struct conf_filter *f = ff->filter;

	if (i < 0 ? ff->is_failure_said : ff->is_said != NULL && ff->is_said[i])
		return "flow";
	return (i < 0 ? f->is_failure_said : f->is_said[i]) ? "filter" : "default";
}

static bool
is_said(const struct conf_override *o, int i)
{
	return i < 0 ? o->is_failure_said : o->is_said[i];
}

static const struct {
	uint32_t bit;
	const char *name;
} needs[] = {{PNF_NEEDS_PARTS, "parts"}, {PNF_NEEDS_DECODED, "decoded"},
    {PNF_NEEDS_TMPDIR, "tmpdir"}, {PNF_NEEDS_MEMBERS, "members"}, {PNF_NEEDS_NO_TYPES, "no types"}},
  rights[] = {{PNF_MAY_EDIT_HEADERS, "edit headers"}, {PNF_MAY_TAG, "tag"},
      {PNF_MAY_SCORE, "score"}, {PNF_MAY_NAME_PARTS, "name parts"}};

enum { NEEDS = sizeof(needs) / sizeof(needs[0]), RIGHTS = sizeof(rights) / sizeof(rights[0]) };

/* --- JSON --- */

static void
json_actions(struct json *j, const struct conf_flow_filter *ff)
{
	const struct conf_filter *f = ff->filter;

	json_open(j, "actions", '{');
	for (size_t k = 0; k <= count_outcomes(f); k++)
		json_str(j, outcome_name(f, outcome_at(f, k)),
		    action_name(config_action(ff, NULL, outcome_at(f, k))));
	json_close(j, '}');
}

static void
json_domains(struct json *j, const struct config *c, const struct conf_flow_filter *ff)
{
	const struct conf_filter *f = ff->filter;
	char name[300];

	json_open(j, "domains", '{');
	for (size_t d = 0; d < c->n_domains; d++) {
		const struct conf_override *o = override_of(&c->domains[d], f);

		if (o == NULL)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", c->domains[d].has_subdomains ? "." : "",
		    c->domains[d].name); /* a domain name is shorter */
		json_open(j, name, '{');
		for (size_t k = 0; k <= count_outcomes(f); k++)
			if (is_said(o, outcome_at(f, k)))
				json_str(j, outcome_name(f, outcome_at(f, k)),
				    action_name(
					config_action(ff, &c->domains[d], outcome_at(f, k))));
		json_close(j, '}');
	}
	json_close(j, '}');
}

static void
json_options(struct json *j, const struct conf_filter *f)
{
	json_open(j, "options", '{');
	for (size_t i = 0; i < f->n_options; i++) {
		const struct conf_option *o = &f->options[i];

		switch (o->about->type) {
		case PNF_OPTION_BOOL:
			json_bool(j, o->about->name, o->number != 0);
			break;
		case PNF_OPTION_NUMBER:
		case PNF_OPTION_SIZE:
		case PNF_OPTION_TIME:
			json_int(j, o->about->name, o->number);
			break;
		case PNF_OPTION_TEXT:
			json_str(j, o->about->name, o->n_values > 0 ? o->values[0] : NULL);
			break;
		case PNF_OPTION_LIST:
			json_open(j, o->about->name, '[');
			for (size_t k = 0; k < o->n_values; k++)
				json_str(j, NULL, o->values[k]);
			json_close(j, ']');
			break;
		}
	}
	json_close(j, '}');
}

static void
json_filter(struct json *j, const struct config *c, const struct conf_flow_filter *ff)
{
	const struct conf_filter *f = ff->filter;

	json_open(j, NULL, '{');
	json_str(j, "name", f->name);
	json_str(j, "plugin", f->plugin->name);
	json_str(j, "version", f->plugin->version);
	json_int(j, "deadline_ms", f->deadline_ms);
	json_int(j, "max_failures", f->max_failures);
	json_int(j, "pause_ms", f->pause_ms);
	json_int(j, "load_deadline_ms", f->load_ms);
	json_options(j, f);
	json_actions(j, ff);
	json_domains(j, c, ff);
	json_open(j, "needs", '[');
	for (size_t i = 0; i < NEEDS; i++)
		if (f->plugin->needs & needs[i].bit)
			json_str(j, NULL, needs[i].name);
	json_close(j, ']');
	json_open(j, "may", '[');
	for (size_t i = 0; i < RIGHTS; i++)
		if (f->plugin->may & rights[i].bit)
			json_str(j, NULL, rights[i].name);
	json_close(j, ']');
	json_close(j, '}');
}

/* One line a flow. */
static void
print_json(const struct config *c, const struct conf_flow *flow)
{
	struct buf out = BUF_INIT(OUTPUT_MAX);
	struct json j = {.to = &out};

	json_open(&j, NULL, '{');
	json_str(&j, "flow", flow->name);
	json_open(&j, "filters", '[');
	for (size_t i = 0; i < flow->n_filters; i++)
		json_filter(&j, c, &flow->filters[i]);
	json_close(&j, ']');
	json_close(&j, '}');
	printf("%.*s\n", (int)out.n, out.p);
	buf_free(&out);
}

/* --- text --- */

static void
print_time(const char *name, int64_t ms)
{
	if (ms % MS == 0)
		printf("  %s %llds", name, (long long)(ms / MS));
	else
		printf("  %s %lldms", name, (long long)ms);
}

static void
print_options(const struct conf_filter *f)
{
	for (size_t i = 0; i < f->n_options; i++) {
		const struct conf_option *o = &f->options[i];

		printf("       %s =%s", o->about->name, o->n_values == 0 ? " (nothing)" : "");
		for (size_t k = 0; k < o->n_values; k++)
			printf("%s %s", k > 0 ? "," : "", o->values[k]);
		printf("%s\n", o->is_given ? "" : "  (default)");
	}
}

static void
print_actions(const struct config *c, const struct conf_flow_filter *ff)
{
	const struct conf_filter *f = ff->filter;

	for (size_t k = 0; k <= count_outcomes(f); k++) {
		int i = outcome_at(f, k);
		enum action action = config_action(ff, NULL, i);

		printf("       %-12s -> %-10s (%s)", outcome_name(f, i), action_name(action),
		    said_by(ff, i));
		for (size_t d = 0; d < c->n_domains; d++) {
			const struct conf_override *o = override_of(&c->domains[d], f);

			if (o != NULL && is_said(o, i))
				printf("  %s%s: %s", c->domains[d].has_subdomains ? "." : "",
				    c->domains[d].name,
				    action_name(config_action(ff, &c->domains[d], i)));
		}
		printf("\n");
	}
}

static void
print_text(const struct config *c, const struct conf_flow *flow)
{
	printf("flow %s\n", flow->name);
	if (flow->n_filters == 0)
		printf("  no filters\n");
	for (size_t i = 0; i < flow->n_filters; i++) {
		const struct conf_filter *f = flow->filters[i].filter;

		printf("  %zu. %s: %s %s, %s\n    ", i + 1, f->name, f->plugin->name,
		    f->plugin->version != NULL ? f->plugin->version : "",
		    f->plugin->summary != NULL ? f->plugin->summary : "");
		print_time("deadline", f->deadline_ms);
		printf("  max_failures %u", f->max_failures);
		print_time("pause", f->pause_ms);
		print_time("load_deadline", f->load_ms);
		printf("  needs");
		for (size_t k = 0; k < NEEDS; k++)
			if (f->plugin->needs & needs[k].bit)
				printf(" %s", needs[k].name);
		printf("%s  may", f->plugin->needs == 0 ? " nothing" : "");
		for (size_t k = 0; k < RIGHTS; k++)
			if (f->plugin->may & rights[k].bit)
				printf(" %s", rights[k].name);
		printf("%s\n", f->plugin->may == 0 ? " look" : "");
		print_options(f);
		print_actions(c, &flow->filters[i]);
	}
}

int
command_plan(const struct command_line *line)
{
	const char *wanted = NULL;
	struct config *config;
	bool was_there = false;

	for (size_t i = 0; i < line->n_words; i++) {
		if (strcmp(line->words[i], "--flow") != 0 || i + 1 == line->n_words)
			return command_fail(
			    EXIT_USAGE, "plan takes --flow NAME, not \"%.40s\"", line->words[i]);
		wanted = line->words[++i];
	}
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	for (size_t i = 0; i < config->n_flows; i++) {
		const struct conf_flow *flow = &config->flows[i];

		if (wanted != NULL && strcmp(wanted, flow->name) != 0)
			continue;
		was_there = true;
		if (line->is_json)
			print_json(config, flow);
		else
			print_text(config, flow);
	}
	config_free(&config);
	return was_there ? EXIT_OK : command_fail(EXIT_NO, "there is no flow \"%.80s\"", wanted);
}
