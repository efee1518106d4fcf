#include "relay/process/settings.h"
#include "filters/chain/run.h"
#include "filters/content/content.h"
#include "filters/header/header.h"
#include "filters/tag/tag.h"
#include "policy/config/complain.h"

#include <stdio.h>

static const struct pnf_filter *
find(const struct pnf_about *about)
{
	static const struct pnf_filter *const all[] = {
	    &content_filter, &header_filter, &tag_filter};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i]->about == about)
			return all[i];
	return NULL;
}

static int
try_one(const struct conf_filter *conf, const char *file, struct config_errors *errors)
{
	const struct pnf_filter *filter = find(conf->plugin);
	struct pnf_config config = {.conf = conf};
	char why[CHAIN_WHY_MAX] = "", text[CHAIN_WHY_MAX + 128];
	void *self = NULL;
	int r;

	if (filter == NULL)
		return 0;
	r = filter->load(host_table(), &config, &self, why, sizeof(why));
	if (self != NULL)
		filter->unload(self);
	if (r == PNF_LOADED)
		return 0;
	(void)snprintf(text, sizeof(text), "filter \"%s\": %s", conf->name, why); /* cut is fine */
	config_errors_add_at(errors, file, conf->line, text);
	return -E_CONFIG;
}

int
settings_try(const struct config *config, const char *file, struct config_errors *errors)
{
	int r = 0;

	for (size_t i = 0; i < config->n_filters; i++)
		if (try_one(&config->filters[i], file, errors) < 0)
			r = -E_CONFIG;
	return r;
}
