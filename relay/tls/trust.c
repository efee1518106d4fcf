#include "relay/tls/trust.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct trust_server {
	const struct conf_gateway *gateway;
	const struct conf_server *conf;
	SSL_CTX *ctx; /* its gateway's */
	SSL_SESSION *session;
	int64_t plain_until_ms; /* 0: never failed */
};

struct trust_gateway {
	SSL_CTX *ctx;
	struct trust_server *servers; /* in the order of conf->servers */
};

struct trust {
	const struct config *config;
	struct trust_gateway *gateways; /* in the order of config->gateways; ctx NULL: no TLS */
};

static int
load_authorities(SSL_CTX *ctx, const char *ca, struct err *err)
{
	const char *path = ca != NULL ? ca : CONFIG_SYSTEM_CA;
	const char *reason;

	if (SSL_CTX_load_verify_file(ctx, path) == 1)
		return 0;
	reason = ERR_reason_error_string(ERR_peek_last_error());
	err_set(err, E_CONFIG, "ca %s cannot be read: %s", path,
	    reason != NULL ? reason : "no certificate in it");
	ERR_clear_error();
	return -err->code;
}

static SSL_CTX *
new_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	must(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	return ctx;
}

SSL_CTX *
trust_verifying(const char *ca, struct err *err)
{
	SSL_CTX *ctx = new_ctx();

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (load_authorities(ctx, ca, err) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL_CTX *
gateway_ctx(const struct conf_gateway *g, struct err *err)
{
	SSL_CTX *ctx = g->tls == GATEWAY_TLS_VERIFY ? trust_verifying(g->ca, err) : new_ctx();

	if (ctx == NULL)
		(void)err_add(err, "gateway \"%s\"", g->name); /* NULL says it */
	else
		tls_keep_sessions(ctx);
	return ctx;
}

static bool
fill_gateway(struct trust_gateway *to, const struct conf_gateway *g, struct err *err)
{
	if (g->tls == GATEWAY_TLS_OFF)
		return true;
	to->ctx = gateway_ctx(g, err);
	if (to->ctx == NULL)
		return false;
	to->servers = mem_array(g->n_servers, sizeof(*to->servers));
	for (size_t i = 0; i < g->n_servers; i++)
		to->servers[i] =
		    (struct trust_server){.gateway = g, .conf = &g->servers[i], .ctx = to->ctx};
	return true;
}

struct trust *
trust_new(const struct config *config, struct err *err)
{
	struct trust *t = mem_alloc(sizeof(*t));

	t->config = config;
	t->gateways = mem_array(config->n_gateways, sizeof(*t->gateways));
	for (size_t i = 0; i < config->n_gateways; i++)
		if (!fill_gateway(&t->gateways[i], &config->gateways[i], err)) {
			trust_free(&t);
			return NULL;
		}
	return t;
}

void
trust_free(struct trust **t)
{
	if (*t == NULL)
		return;
	for (size_t i = 0; i < (*t)->config->n_gateways; i++) {
		struct trust_gateway *g = &(*t)->gateways[i];

		for (size_t j = 0; g->servers != NULL && j < (*t)->config->gateways[i].n_servers;
		     j++)
			tls_session_drop(&g->servers[j].session);
		mem_free(g->servers);
		SSL_CTX_free(g->ctx);
	}
	mem_free((*t)->gateways);
	mem_free(*t);
	*t = NULL;
}

struct trust_server *
trust_server(struct trust *t, const struct conf_server *server)
{
	for (size_t i = 0; i < t->config->n_gateways; i++) {
		const struct conf_gateway *g = &t->config->gateways[i];

		for (size_t j = 0; j < g->n_servers; j++)
			if (&g->servers[j] == server)
				return t->gateways[i].ctx != NULL ? &t->gateways[i].servers[j]
								  : NULL;
	}
	return NULL;
}

enum gateway_tls
trust_mode(const struct trust_server *s)
{
	return clock_mono_ms() < s->plain_until_ms ? GATEWAY_TLS_OFF : s->gateway->tls;
}

struct tls *
trust_connect(struct trust_server *s, int fd)
{
	struct tls *tls = tls_new_client(s->ctx, fd, span_str(s->conf->tls_name));

	tls_use_session(tls, &s->session);
	return tls;
}

bool
trust_failed(struct trust_server *s, const char *why)
{
	tls_session_drop(&s->session);
	if (s->gateway->tls != GATEWAY_TLS_MAY)
		return false;
	s->plain_until_ms = clock_mono_ms() + TRUST_PLAIN_MS;
	log_event(LOG_WARN, "server without TLS", KV_STR("gateway", s->gateway->name),
	    KV_STR("server", s->conf->text), KV_STR("why", why),
	    KV_INT("minutes", TRUST_PLAIN_MS / 60000));
	return true;
}
