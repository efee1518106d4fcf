/* filter_fixture.h - a configuration with one flow and a chain over it, for tests of filters. */
#ifndef UNIT_FILTER_FIXTURE_H
#define UNIT_FILTER_FIXTURE_H
#include "filters/chain/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct pnf_host *fixture_host;

/* The load hook of a filter that only wants the host table. */
static inline int
fixture_keep_host(
    const struct pnf_host *host, const struct pnf_config *c, void **self, char *why, size_t n)
{
	(void)c;
	(void)self;
	(void)why;
	(void)n;
	fixture_host = host;
	return PNF_LOADED;
}

struct fixture {
	struct config *config;
	struct chain *chain;
	struct chain_run *run;
	char folder[64];
	struct err err;
};

/* `sections` are filter sections; `list` the flow's filters, as in {"a", "b"}. */
static inline struct config *
fixture_config(const char *list, const char *sections, const struct pnf_about *const *plugins)
{
	struct config_errors errors = {.lines = BUF_INIT(65536)};
	struct buf text = BUF_INIT(65536);
	struct config *c;

	(void)buf_addf(&text,
	    "hostname = \"mx.example.org\"\npostmaster = \"p@example.org\"\n"
	    "state_dir = \"/tmp/s\"\nrun_dir = \"/tmp/r\"\n"
	    "listen \"l\" { address = {\"127.0.0.1:2525\"} flow = \"f\" }\n"
	    "%s\nflow \"f\" { relay = \"domains\" filters = {%s} }\n"
	    "domain \"example.org\" { gateway = \"g\" recipients = \"any\" }\n"
	    "gateway \"g\" { server \"127.0.0.1:25\" { preference = 10 } }\n",
	    sections, list);
	assert_false(text.failed);
	c = config_parse(buf_span(&text), "test.conf", plugins, &errors);
	if (c == NULL)
		fail_msg("%.*s", (int)errors.lines.n, errors.lines.p);
	buf_free(&errors.lines);
	buf_free(&text);
	return c;
}

static inline struct fixture *
fixture_new(const char *list, const char *sections, const struct pnf_about *const *abouts,
    chain_plugins *plugins)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->config = fixture_config(list, sections, abouts);
	f->chain = chain_new(f->config, plugins, f->folder);
	return f;
}

static inline int
fixture_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline void
fixture_free(struct fixture *f)
{
	chain_run_free(&f->run);
	chain_free(&f->chain);
	config_free(&f->config);
	(void)nftw(f->folder, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	mem_free(f);
}

static inline const struct scan_result *
fixture_scan(struct fixture *f, struct span body, const struct snapshot *snapshot)
{
	static const struct span rcpts[] = {{"a@example.org", 13}, {"b@example.org", 13}};
	struct scan_request r = {.id = SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
	    .helo = SPAN("client.example"),
	    .from = SPAN("x@y.example"),
	    .rcpts = rcpts,
	    .n_rcpts = 2};

	assert_true(ip_parse(SPAN("192.0.2.1"), &r.client));
	chain_run_free(&f->run);
	assert_int_equal(chain_scan(f->chain, &r, body, snapshot, NULL, NULL, &f->run), 0);
	return chain_result(f->run);
}

/* Index of a recorded outcome of this name, -1: not there. "failure" is known everywhere. */
static inline int
fixture_outcome(const struct fixture *f, const struct scan_result *r, const char *name)
{
	for (size_t i = 0; i < r->n_outcomes; i++) {
		const struct scan_outcome *o = &r->outcomes[i];
		const struct pnf_about *about =
		    f->config->flows[0].filters[o->filter].filter->plugin;
		const char *this = o->outcome < 0 ? "failure" : about->outcomes[o->outcome].name;

		if (strcmp(this, name) == 0)
			return (int)i;
	}
	return -1;
}

#endif
