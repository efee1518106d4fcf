/* config_check_machine: what only the machine can tell of a configuration. */
#include "policy/config/complain.h"
#include "policy/config/scalar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct checking {
	const struct config *config;
	struct config_errors *errors;
	bool has_failed;
};

static void report(struct checking *k, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
report(struct checking *k, unsigned line, const char *fmt, ...)
{
	char text[2 * COMPLAINT_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a cut message is still one */
	va_end(args);
	config_errors_add_at(k->errors, k->config->file, line, text);
	k->has_failed = true;
}

static bool
is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool
exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 || errno != ENOENT;
}

/* A directory of ours: there and writable, or to be made in a parent that is. */
static void
check_own_dir(struct checking *k, const char *word, const char *path)
{
	char parent[PATH_MAX_BYTES + 1];
	unsigned line = config_line_of(k->config, path);
	size_t slash;

	if (exists(path)) {
		if (!is_dir(path))
			report(k, line, "%s: %s is not a directory; choose another or remove it",
			    word, path);
		else if (access(path, W_OK | X_OK) != 0)
			report(k, line, "%s: %s cannot be written (%m); give it to this user", word,
			    path);
		return;
	}
	if (!span_copy(span_str(path), parent, sizeof(parent)))
		return; /* longer than a path may be: config_parse refuses it */
	slash = span_rfind(span_str(parent), '/');
	parent[slash > 0 ? slash : 1] = '\0';
	if (!is_dir(parent))
		report(k, line,
		    "%s: the parent %s of %s does not exist; make it or choose another %s", word,
		    parent, path, word);
	else if (access(parent, W_OK | X_OK) != 0)
		report(k, line,
		    "%s: %s cannot be made in %s (%m); make it and give it to this user", word,
		    path, parent);
}

/* Certificates that a PEM file has; -1: one is broken. */
static int
count_certificates(FILE *f)
{
	int n = 0;
	X509 *x;

	while ((x = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
		X509_free(x);
		n++;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) /* its end of file */
		n = -1;
	ERR_clear_error();
	return n;
}

/* The authorities that the certificates of a gateway or directory are checked against; `ca` NULL: the
 * system's, with the line of who needs them. */
static void
check_authorities(
    struct checking *k, const char *what, const char *name, const char *ca, unsigned line)
{
	const char *path = ca != NULL ? ca : CONFIG_SYSTEM_CA;
	FILE *f = fopen(path, "re");
	int n;

	if (ca != NULL)
		line = config_line_of(k->config, ca);
	if (f == NULL) {
		report(k, line, "%s \"%s\": ca %s cannot be read (%m); %s", what, name, path,
		    ca != NULL ? "make it readable"
			       : "install the package ca-certificates, or name a file with ca");
		return;
	}
	n = count_certificates(f);
	if (n <= 0)
		report(k, line, "%s \"%s\": ca %s %s; name a PEM file of authorities", what, name,
		    path, n == 0 ? "has no certificate" : "has a certificate that cannot be read");
	(void)fclose(f); /* was only read */
}

static bool
uses_tls(const struct conf_ldap *l)
{
	bool has_ldaps = false;

	for (size_t i = 0; i < l->n_servers; i++)
		has_ldaps = has_ldaps || l->servers[i].is_ldaps;
	return l->starttls || has_ldaps;
}

static void
check_ldap(struct checking *k, const struct conf_ldap *l)
{
	const char *path = l->password_file;

	if (path != NULL && access(path, R_OK) != 0)
		report(k, config_line_of(k->config, path),
		    "ldap \"%s\": password %s cannot be read (%m); make it readable", l->name,
		    path);
	if (uses_tls(l))
		check_authorities(k, "ldap", l->name, l->ca, 1);
}

/* Whether anything but "." and ".." is in it; false when it cannot be read. */
static bool
has_entries(DIR *dir)
{
	const struct dirent *e;

	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.')
			return true;
	return false;
}

static void
check_databases(struct checking *k, unsigned line, const struct conf_filter *f, const char *path)
{
	DIR *dir = opendir(path);

	if (dir == NULL && errno == ENOENT)
		report(k, line,
		    "filter \"%s\": no signature folder %s; install signatures with freshclam or "
		    "set "
		    "databases",
		    f->name, path);
	else if (dir == NULL)
		report(k, line,
		    "filter \"%s\": signature folder %s cannot be read (%m); make it readable",
		    f->name, path);
	else if (!has_entries(dir))
		report(k, line,
		    "filter \"%s\": signature folder %s is empty; install signatures with "
		    "freshclam or "
		    "set databases",
		    f->name, path);
	if (dir != NULL)
		(void)closedir(dir); /* was only read */
}

/* A list of sums that a filter reads. */
static void
check_hashes(struct checking *k, unsigned line, const struct conf_filter *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		report(k, line,
		    "filter \"%s\": hashes %s cannot be read (%m); make it readable, one SHA-256 "
		    "sum "
		    "a line",
		    f->name, path);
	else
		(void)close(fd); /* was only read */
}

static void
check_filter(struct checking *k, const struct conf_filter *f)
{
	for (size_t i = 0; i < f->n_options; i++) {
		const struct conf_option *o = &f->options[i];
		bool is_hashes = span_eq(span_str(o->about->name), SPAN("hashes"));

		if (!is_hashes && !span_eq(span_str(o->about->name), SPAN("databases")))
			continue;
		for (size_t j = 0; j < o->n_values; j++) {
			unsigned line =
			    o->is_given ? config_line_of(k->config, o->values[j]) : f->line;

			if (is_hashes)
				check_hashes(k, line, f, o->values[j]);
			else if (o->values[j][0] == '/')
				check_databases(k, line, f, o->values[j]);
		}
	}
}

int
config_check_machine(const struct config *c, struct config_errors *errors)
{
	struct checking k = {.config = c, .errors = errors};

	check_own_dir(&k, "state_dir", c->state_dir);
	check_own_dir(&k, "run_dir", c->run_dir);
	for (size_t i = 0; i < c->n_filters; i++)
		check_filter(&k, &c->filters[i]);
	for (size_t i = 0; i < c->n_gateways; i++)
		if (c->gateways[i].tls == GATEWAY_TLS_VERIFY)
			check_authorities(&k, "gateway", c->gateways[i].name, c->gateways[i].ca,
			    c->gateways[i].line);
	for (size_t i = 0; i < c->n_ldaps; i++)
		check_ldap(&k, &c->ldaps[i]);
	return k.has_failed ? -E_CONFIG : 0;
}
