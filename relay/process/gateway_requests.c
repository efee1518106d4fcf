#include "relay/process/gateway_requests.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/nearest.h"
#include "relay/deliver/drained.h"
#include "relay/deliver/show.h"

#include <stdio.h>

enum {
	ANSWER_MAX = 16 * 1024 * 1024, /* thousands of servers */
	SENTENCE_MAX = 2048,
	PROBES_AT_ONCE = 16,
	FOLDER_MAX = 4096
};

static void
end_with(struct role *role, uint64_t id, int status, struct buf *sentence)
{
	role_reply_end(role, id, status, buf_span(sentence)); /* what did not fit is left out */
	buf_free(sentence);
}

/* --- which server is meant --------------------------------------------------------------------- */

/* One server of one gateway, under the name it was asked for by. */
struct choice {
	struct gateway *gateway;
	struct span server;
};

/* SERVER, or GATEWAY/SERVER.  Returns how many gateways have it; the first of them in `found`. */
static size_t
find_servers(struct delivery *d, struct span word, struct choice *found)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_gateways; i++) {
		struct gateway *g = d->gateways[i];
		struct span name = span_str(g->conf->name), server = word;

		if (!gateway_has_server(g, server)) {
			if (!span_starts(word, name) || word.n <= name.n || word.p[name.n] != '/')
				continue;
			server = span_skip(word, name.n + 1);
			if (!gateway_has_server(g, server))
				continue;
		}
		if (n++ == 0)
			*found = (struct choice){g, server};
	}
	return n;
}

/* The server's name that is nearest to the word; NULL: nothing is near. */
static const char *
nearest_server(const struct delivery *d, struct span word)
{
	size_t n = 0, at = 0;
	const char **names, *name;

	for (size_t i = 0; i < d->n_gateways; i++)
		n += d->gateways[i]->conf->n_servers;
	names = mem_array(n + 1, sizeof(*names));
	for (size_t i = 0; i < d->n_gateways; i++)
		for (size_t k = 0; k < d->gateways[i]->conf->n_servers; k++)
			names[at++] = d->gateways[i]->conf->servers[k].text;
	at = nearest_word(word, names, n);
	name = at < n ? names[at] : NULL;
	mem_free(names);
	if (name == NULL || nearest_distance(word, span_str(name)) * 2 > word.n)
		return NULL;
	return name;
}

static void
say_unknown(struct role *role, struct delivery *d, uint64_t id, struct span word)
{
	struct buf text = BUF_INIT(SENTENCE_MAX);
	const char *nearest = nearest_server(d, word);

	word = span_take(word, 100);
	for (size_t i = 0; i < d->n_gateways; i++) {
		const struct conf_gateway *conf = d->gateways[i]->conf;

		if (!span_eq(word, span_str(conf->name)))
			continue;
		(void)buf_addf(&text, "%s is a gateway; say which server of it, such as %s",
		    conf->name, conf->servers[0].text);
		end_with(role, id, EXIT_NO, &text);
		return;
	}
	(void)buf_addf(&text, "no gateway has a server %.*s", SPAN_ARG(word));
	if (nearest != NULL)
		(void)buf_addf(&text, "; did you mean %s?", nearest);
	(void)buf_add_str(&text, nearest != NULL ? " `postern gateway list` shows all"
						 : "; `postern gateway list` shows all");
	end_with(role, id, EXIT_NO, &text);
}

static void
say_ambiguous(struct role *role, struct delivery *d, uint64_t id, struct span word)
{
	struct buf text = BUF_INIT(SENTENCE_MAX);
	const char *between = "; say ";

	(void)buf_addf(&text, "%.*s is a server of several gateways", SPAN_ARG(word));
	for (size_t i = 0; i < d->n_gateways; i++) {
		if (!gateway_has_server(d->gateways[i], word))
			continue;
		(void)buf_addf(
		    &text, "%s%s/%.*s", between, d->gateways[i]->conf->name, SPAN_ARG(word));
		between = " or ";
	}
	end_with(role, id, EXIT_NO, &text);
}

/* Exactly one; otherwise the request has its answer. */
static bool
choose(struct role *role, struct delivery *d, uint64_t id, struct span word, struct choice *found)
{
	size_t n = find_servers(d, word, found);

	if (n == 0)
		say_unknown(role, d, id, word);
	else if (n > 1)
		say_ambiguous(role, d, id, word);
	return n == 1;
}

/* --- list, drain, undrain ---------------------------------------------------------------------- */

static void
reply_servers(struct role *role, struct delivery *d, uint64_t id, const struct choice *only)
{
	struct buf lines = BUF_INIT(ANSWER_MAX);

	for (size_t i = 0; i < d->n_gateways; i++)
		if (only == NULL || only->gateway == d->gateways[i])
			show_servers(
			    &lines, d->gateways[i], only != NULL ? only->server : (struct span){0});
	role_reply(role, id, buf_span(&lines));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&lines);
}

static void
folder(const struct delivery *d, char path[FOLDER_MAX])
{
	(void)snprintf(path, FOLDER_MAX, "%s/spool", d->config->state_dir);
}

void
gateway_requests_start(struct delivery *d)
{
	char path[FOLDER_MAX];
	struct err err = {0};

	folder(d, path);
	if (drained_load(path, d->gateways, d->n_gateways, clock_mono_ms(), &err) < 0)
		log_event(LOG_ERROR, "drained servers unknown", KV_STR("why", err.text));
	for (size_t i = 0; i < d->n_gateways; i++)
		if (d->gateways[i]->n_drained > 0)
			deliver_drained(d, d->gateways[i]);
}

static void
set_drained(struct role *role, struct delivery *d, uint64_t id, struct span word, bool is_drained)
{
	struct buf text = BUF_INIT(SENTENCE_MAX);
	int64_t now_ms = clock_mono_ms();
	char path[FOLDER_MAX];
	struct err err = {0};
	struct choice c;

	if (!choose(role, d, id, word, &c))
		return;
	if (!is_drained) {
		gateway_undrain(c.gateway, c.server, now_ms);
	} else if (!gateway_drain(c.gateway, c.server, now_ms)) {
		(void)buf_addf(&text, "%d servers of %s are drained: no more fit; undrain one",
		    GATEWAY_DRAINED_MAX, c.gateway->conf->name);
		end_with(role, id, EXIT_NO, &text);
		return;
	}
	log_event(LOG_INFO, is_drained ? "server drained" : "server undrained",
	    KV_STR("gateway", c.gateway->conf->name), KV("server", c.server));
	deliver_drained(d, c.gateway);
	folder(d, path);
	if (drained_save(path, d->gateways, d->n_gateways, &err) < 0) {
		(void)buf_addf(&text, "done, but the next start will not know of it: %s", err.text);
		end_with(role, id, EXIT_TEMPFAIL, &text);
		return;
	}
	reply_servers(role, d, id, &c);
}

/* --- probe ------------------------------------------------------------------------------------- */

struct probe_run {
	struct role *role;
	struct delivery *delivery;
	uint64_t id;
	struct probe_place {
		struct gateway *gateway;
		size_t target;
	} * places;
	size_t n_places, next, n_open;
	size_t n_done, n_failed;
};

static void
reply_probe(struct probe_run *run, const char *gateway, const char *server, const struct probe *p)
{
	struct buf line = BUF_INIT(ANSWER_MAX);
	struct json j = {.to = &line};

	json_open(&j, NULL, '{');
	json_str(&j, "gateway", gateway);
	json_str(&j, "server", server);
	json_bool(&j, "ok", p->is_fine);
	json_str(&j, "banner", p->banner[0] != '\0' ? p->banner : NULL);
	json_str(&j, "ehlo", p->ehlo[0] != '\0' ? p->ehlo : NULL);
	if (p->banner_ms >= 0)
		json_int(&j, "banner_ms", p->banner_ms);
	else
		json_none(&j, "banner_ms");
	if (p->ready_ms >= 0)
		json_int(&j, "ready_ms", p->ready_ms);
	else
		json_none(&j, "ready_ms");
	json_str(&j, "error", p->is_fine ? NULL : p->why);
	json_close(&j, '}');
	(void)buf_add_char(&line, '\n'); /* short */
	role_reply(run->role, run->id, buf_span(&line));
	buf_free(&line);
	run->n_done++;
	run->n_failed += !p->is_fine;
}

static void
end_run(struct probe_run *run)
{
	struct buf text = BUF_INIT(SENTENCE_MAX);

	if (run->next < run->n_places)
		(void)buf_add_str(&text, "the relay is ending; try again"); /* short */
	else if (run->n_failed > 0)
		(void)buf_addf(&text, "%zu of %zu probes failed", run->n_failed, run->n_done);
	end_with(run->role, run->id,
	    run->next < run->n_places ? EXIT_TEMPFAIL
	    : run->n_failed > 0       ? EXIT_NO
				      : EXIT_OK,
	    &text);
	mem_free(run->places);
	mem_free(run);
}

static void go_on(struct probe_run *run);

static void
on_probed(void *arg, struct gateway *g, size_t target, const struct probe *p)
{
	struct probe_run *run = arg;

	run->n_open--;
	reply_probe(run, g->conf->name, g->targets[target].text, p);
	go_on(run);
}

static void
go_on(struct probe_run *run)
{
	struct delivery *d = run->delivery;

	while (run->next < run->n_places && run->n_open < PROBES_AT_ONCE && !d->is_stopping) {
		const struct probe_place *at = &run->places[run->next++];

		run->n_open++;
		courier_probe(d->courier, at->gateway, at->target, on_probed, run);
	}
	if (run->n_open == 0)
		end_run(run);
}

/* A server whose name has no address is a probe that has failed. */
static void
reply_unresolved(struct probe_run *run, const struct gateway *g, struct span server)
{
	struct probe p = {.why = "its name has no address", .banner_ms = -1, .ready_ms = -1};

	for (size_t i = 0; i < g->conf->n_servers; i++) {
		const char *text = g->conf->servers[i].text;

		if ((g->names[i].state == NAME_FAILED || g->names[i].state == NAME_UNKNOWN) &&
		    (server.n == 0 || span_eq_nocase(server, span_str(text))))
			reply_probe(run, g->conf->name, text, &p);
	}
}

/* Of one gateway the server named, or (empty) all of them. */
static void
add_places(struct probe_run *run, struct gateway *g, struct span server)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone && (server.n == 0 || target_is(&g->targets[i], server)))
			run->places[run->n_places++] = (struct probe_place){g, i};
	reply_unresolved(run, g, server);
}

static void
probe(struct role *role, struct delivery *d, uint64_t id, struct span word)
{
	struct probe_run *run;
	struct choice c = {0};

	if (word.n > 0 && !choose(role, d, id, word, &c))
		return;
	run = mem_alloc(sizeof(*run));
	run->role = role;
	run->delivery = d;
	run->id = id;
	run->places = mem_array((d->n_gateways + 1) * GATEWAY_TARGETS_MAX, sizeof(*run->places));
	for (size_t i = 0; i < d->n_gateways; i++)
		if (word.n == 0 || c.gateway == d->gateways[i])
			add_places(run, d->gateways[i], c.server);
	go_on(run);
}

/* --- all of them ------------------------------------------------------------------------------- */

void
gateway_request(struct role *role, struct delivery *d, uint64_t id, const struct control_request *r)
{
	struct span verb = r->n_words > 1 ? r->words[1] : SPAN("list");
	struct span word = r->n_words > 2 ? r->words[2] : (struct span){0};
	size_t n = r->n_words > 3 ? 3 : r->n_words;

	if (n <= 2 && span_eq(verb, SPAN("list")))
		reply_servers(role, d, id, NULL);
	else if (n == 3 && r->n_words == 3 && span_eq(verb, SPAN("drain")))
		set_drained(role, d, id, word, true);
	else if (n == 3 && r->n_words == 3 && span_eq(verb, SPAN("undrain")))
		set_drained(role, d, id, word, false);
	else if (r->n_words <= 3 && span_eq(verb, SPAN("probe")))
		probe(role, d, id, word);
	else
		role_reply_end(role, id, EXIT_USAGE,
		    SPAN("say gateway list, gateway drain SERVER, gateway undrain SERVER or "
			 "gateway probe [SERVER]"));
}
