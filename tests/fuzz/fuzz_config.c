/* Any bytes as postern.conf: a configuration or whole lines of errors, nothing else. */
#include "policy/config/config.h"

static const struct pnf_outcome outcomes[] = {
    {"infected", "reject", ""}, {"unscannable", "tag", ""}, {NULL, NULL, NULL}};

static const struct pnf_option options[] = {
    {"databases", PNF_OPTION_TEXT, "/var/lib/clamav", ""},
    {"max_scan_size", PNF_OPTION_SIZE, "100M", ""},
    {"heuristics", PNF_OPTION_BOOL, "true", ""},
    {"max_files", PNF_OPTION_NUMBER, "5", ""},
    {"scan_time", PNF_OPTION_TIME, "15s", ""},
    {"ignore", PNF_OPTION_LIST, "{a, b}", ""},
    {NULL, PNF_OPTION_TEXT, NULL, NULL},
};

static const struct pnf_about clamav = {.name = "clamav", .outcomes = outcomes, .options = options};
static const struct pnf_about content = {.name = "content"};
static const struct pnf_about *const plugins[] = {&clamav, &content, NULL};

static void
check_config(const struct config *c, struct span text)
{
	const struct conf_domain *d = config_domain(c, text);

	must(c->n_listens > 0 && c->n_flows > 0 && c->hostname[0] != '\0');
	for (size_t i = 0; i < c->n_listens; i++)
		must(c->listens[i].flow != NULL && c->listens[i].n_addresses > 0);
	for (size_t i = 0; i < c->n_domains; i++) {
		must(c->domains[i].gateway != NULL && c->domains[i].gateway->n_servers > 0);
		d = config_domain(c, span_str(c->domains[i].name));
		must(d != NULL && strcmp(d->name, c->domains[i].name) == 0);
	}
	for (size_t i = 0; i < c->n_flows; i++) {
		must(c->flows[i].relay == RELAY_DOMAINS || c->flows[i].gateway != NULL);
		for (size_t j = 0; j < c->flows[i].n_filters; j++)
			must(c->flows[i].filters[j].filter->plugin != NULL);
	}
}

static void
check_errors(const struct config_errors *errors)
{
	struct span rest = buf_span(&errors->lines);
	size_t n = 0;

	must(errors->n > 0 && !errors->lines.failed);
	for (; rest.n > 0; n++)
		must(span_starts(span_cut(&rest, '\n'), SPAN("f:")));
	must(n == errors->n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors errors = {0};
	struct span text = span_of(data, size);
	struct config *c = config_parse(text, "f", plugins, &errors);

	if (c != NULL)
		check_config(c, text);
	else
		check_errors(&errors);
	config_free(&c);
	buf_free(&errors.lines);
	errors = (struct config_errors){0};
	c = config_parse_places(text, "f", &errors);
	must(c == NULL ? errors.n > 0 : c->run_dir[0] == '/' && c->state_dir[0] == '/');
	config_free(&c);
	buf_free(&errors.lines);
	return 0;
}
