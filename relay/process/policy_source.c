#include "relay/process/policy_source.h"
#include "policy/recipient/recipient.h"
#include "policy/store/store.h"
#include "relay/ipc/policy_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ERRORS_MAX = 1024 * 1024, VERSION_TEXT = 24 };

int
file_read(const char *path, size_t max, struct buf *to, struct err *err)
{
	char piece[65536];
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r = 0;
	size_t had = to->n;
	ssize_t n = 1;

	if (fd < 0)
		return err_set(err, errno == ENOENT ? E_NOT_FOUND : E_DENIED, "%s: %m", path);
	while (r == 0 && n > 0) {
		n = read(fd, piece, sizeof(piece));
		if (n < 0)
			r = err_set(err, E_IO, "%s: %m", path);
		else if (to->n - had + (size_t)n > max || buf_add(to, piece, (size_t)n) < 0)
			r = err_set(err, E_LIMIT, "%s: larger than %zu bytes", path, max);
	}
	if (!is_stdin)
		(void)close(fd); /* read only */
	return r;
}

/* Reads the lists that the policy names, and keeps each once in the bundle. */
struct list_source {
	const struct config *config;
	struct buf *bundle;
};

static int
read_list(void *arg, struct span name, struct buf *text, struct err *err)
{
	struct list_source *source = arg;
	char path[PATH_MAX];
	struct span kept;
	int r;

	text->max = BUNDLE_MAX;
	if (bundle_find(buf_span(source->bundle), BUNDLE_LIST, name, &kept))
		return buf_add_span(text, kept);
	if (name.n == 0 || memchr(name.p, '/', name.n) != NULL || name.p[0] == '.')
		return err_set(err, E_SYNTAX, "a list's name is letters, digits, '-' and '_'");
	if (snprintf(path, sizeof(path), "%s/lists/%.*s.txt", source->config->state_dir,
		SPAN_ARG(name)) >= (int)sizeof(path))
		return err_set(err, E_LIMIT, "the list's name is too long");
	r = file_read(path, BUNDLE_MAX / 2, text, err);
	if (r == 0)
		bundle_add(source->bundle, BUNDLE_LIST, name, buf_span(text));
	return r;
}

/* A named pipe would be waited for. */
static int
read_recipients(const char *path, struct buf *text, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(err, E_CONFIG, "%s: not a file", path);
	return file_read(path, BUNDLE_MAX / 2, text, err);
}

static void
add_recipients(const struct config *config, struct buf *bundle, struct buf *errors)
{
	for (size_t i = 0; i < config->n_domains; i++) {
		const struct conf_domain *d = &config->domains[i];
		struct buf text = BUF_INIT(BUNDLE_MAX / 2);
		struct recipients *table;
		struct err err = {0};
		struct span kept;

		if (d->recipients != RECIPIENTS_FILE ||
		    bundle_find(
			buf_span(bundle), BUNDLE_RECIPIENTS, span_str(d->recipients_file), &kept))
			continue;
		table = NULL;
		if (read_recipients(d->recipients_file, &text, &err) < 0)
			(void)buf_addf(errors,
			    "%s:%u: recipients %s; make it a readable file, one address a line\n",
			    config->file, config_line_of(config, d->recipients_file), err.text);
		else if ((table = recipients_parse(buf_span(&text), d->recipients_file, &err)) ==
			 NULL)
			(void)buf_addf(
			    errors, "%s; one address or @domain a line is right\n", err.text);
		else
			bundle_add(bundle, BUNDLE_RECIPIENTS, span_str(d->recipients_file),
			    buf_span(&text));
		recipients_free(&table);
		buf_free(&text);
	}
}

static void
add_database(const struct config *config, const char *path, struct buf *bundle, struct buf *errors)
{
	struct buf bytes = BUF_INIT(MMDB_MAX);
	struct err err = {0};
	struct mmdb db;
	struct span kept;

	if (path == NULL || bundle_find(buf_span(bundle), BUNDLE_GEO, span_str(path), &kept))
		return;
	if (file_read(path, MMDB_MAX, &bytes, &err) < 0)
		(void)buf_addf(errors, "%s:%u: geoip: %s; name a readable .mmdb file\n",
		    config->file, config_line_of(config, path), err.text);
	else if (mmdb_open(&db, buf_span(&bytes), &err) < 0)
		(void)buf_addf(errors, "%s:%u: geoip: %s: %s; name an .mmdb file\n", config->file,
		    config_line_of(config, path), path, err.text);
	else
		bundle_add(bundle, BUNDLE_GEO, span_str(path), buf_span(&bytes));
	buf_free(&bytes);
}

void
policy_source_databases(
    const struct config *config, struct span bundle, struct mmdb *countries, struct mmdb *networks)
{
	const char *paths[] = {config->geoip.country, config->geoip.asn};
	struct mmdb *databases[] = {countries, networks};

	for (size_t i = 0; i < 2; i++) {
		struct err err = {0};
		struct span bytes;

		*databases[i] = (struct mmdb){0};
		if (paths[i] != NULL && bundle_find(bundle, BUNDLE_GEO, span_str(paths[i]), &bytes))
			must(mmdb_open(databases[i], bytes, &err) == 0); /* it was tried before */
	}
}

/* Rules that can match nothing here: said, and no error. */
static void
warn(const struct config *config, const struct snapshot *s, const char *file, struct buf *to)
{
	if (config->geoip.country == NULL && snapshot_needs(s, FACET_COUNTRY))
		(void)buf_addf(to,
		    "%s: warning: country is unknown, so that rules with it never match; name a "
		    "database in geoip { country = \"/…/country.mmdb\" }\n",
		    file);
	if (config->geoip.asn == NULL && snapshot_needs(s, FACET_ASN))
		(void)buf_addf(to,
		    "%s: warning: asn is unknown, so that rules with it never match; name a "
		    "database in geoip { asn = \"/…/asn.mmdb\" }\n",
		    file);
}

int
policy_source_bundle(const struct config *config, struct span text, const char *file,
    uint64_t version, struct buf *bundle, struct buf *errors)
{
	struct list_source source = {config, bundle};
	struct policy_errors found = {.lines = BUF_INIT(ERRORS_MAX)};
	char version_text[VERSION_TEXT];
	struct snapshot *snapshot;
	int r;

	bundle->max = BUNDLE_MAX;
	errors->max = ERRORS_MAX;
	snapshot = snapshot_parse(text, file, read_list, &source, &found);
	if (snapshot == NULL)
		(void)buf_add_span(errors, buf_span(&found.lines)); /* same bound */
	buf_free(&found.lines);
	add_recipients(config, bundle, errors);
	add_database(config, config->geoip.country, bundle, errors);
	add_database(config, config->geoip.asn, bundle, errors);
	(void)snprintf(version_text, sizeof(version_text), "%llu", (unsigned long long)version);
	bundle_add(bundle, BUNDLE_POLICY, span_str(version_text), text);
	if (bundle->failed)
		(void)buf_addf(
		    errors, "%s: policy and lists are larger than %d bytes\n", file, BUNDLE_MAX);
	r = errors->n > 0 ? -E_CONFIG : 0;
	if (r == 0)
		warn(config, snapshot, file, errors);
	snapshot_release(&snapshot);
	return r;
}

int
policy_source_read(
    const struct config *config, struct buf *bundle, uint64_t *version, struct buf *errors)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX), ids = BUF_INIT(0);
	struct err err = {0};
	struct store *store = store_open(config->state_dir, false, &err);
	int r;

	errors->max = ERRORS_MAX;
	if (store == NULL || store_current(store, &text, version, &err) < 0 ||
	    store_ids(store, *version, buf_span(&text), &ids, &err) < 0) {
		(void)buf_addf(errors, "%s\n", err.text);
		r = -E_CONFIG;
	} else {
		r = policy_source_bundle(
		    config, buf_span(&text), "policy", *version, bundle, errors);
		bundle_add(bundle, BUNDLE_RULE_IDS, SPAN(""), buf_span(&ids));
	}
	if (r == 0 && bundle->failed) {
		(void)buf_addf(
		    errors, "policy: policy and lists are larger than %d bytes\n", BUNDLE_MAX);
		r = -E_CONFIG;
	}
	store_close(&store);
	buf_free(&text);
	buf_free(&ids);
	return r;
}

struct snapshot *
policy_source_compile(struct span bundle, uint64_t generation)
{
	struct policy_errors errors = {.lines = BUF_INIT(ERRORS_MAX)};
	struct wire w = wire_over(bundle);
	struct snapshot *snapshot = NULL;
	struct span ids;

	/* The policy is the one file whose name, its version, is not known beforehand. */
	while (snapshot == NULL && w.rest.n > 0 && !w.failed) {
		unsigned kind = get_enum(&w, BUNDLE_LAST);
		struct span text;

		(void)get_span(&w, BUNDLE_NAME_MAX);
		text = get_span(&w, BUNDLE_MAX);
		if (!w.failed && kind == BUNDLE_POLICY)
			snapshot =
			    snapshot_parse(text, "policy", bundle_read_list, &bundle, &errors);
	}
	buf_free(&errors.lines);
	if (snapshot != NULL)
		snapshot_set_version(snapshot, generation);
	if (snapshot != NULL && bundle_find(bundle, BUNDLE_RULE_IDS, SPAN(""), &ids))
		(void)snapshot_set_ids(snapshot, ids); /* a damaged list: they count from 1 */
	return snapshot;
}
