#include "relay/key/material.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/policy_bundle.h"

struct material {
	struct keyring *keyring;
	struct map *users; /* file name -> struct users */
};

static void
complain(struct buf *errors, const struct err *err)
{
	(void)buf_addf(errors, "%s\n", err->text); /* bounded by the caller */
}

static bool
find(struct span bundle, enum bundle_kind kind, const char *file, struct span *text,
    struct buf *errors)
{
	if (bundle_find(bundle, kind, span_str(file), text))
		return true;
	(void)buf_addf(errors, "%s: not read; reload once it is there\n", file); /* as above */
	return false;
}

static void
add_keys(struct material *m, const struct conf_tls *tls, struct span bundle, struct buf *errors)
{
	for (size_t i = 0; i < tls->n_certificates && i < tls->n_keys; i++) {
		struct span certificate, key;
		struct err err = {0};

		if (find(bundle, BUNDLE_CERTIFICATE, tls->certificates[i], &certificate, errors) &&
		    find(bundle, BUNDLE_KEY, tls->keys[i], &key, errors) &&
		    keyring_add(
			m->keyring, certificate, tls->certificates[i], key, tls->keys[i], &err) < 0)
			complain(errors, &err);
	}
}

static void
add_users(struct material *m, const char *file, struct span bundle, struct buf *errors)
{
	struct span text;
	struct users *users;
	struct err err = {0};

	if (file == NULL || map_get(m->users, span_str(file)) != NULL ||
	    !find(bundle, BUNDLE_USERS, file, &text, errors))
		return;
	users = users_parse(text, file, &err);
	if (users == NULL)
		complain(errors, &err);
	else
		(void)map_set(m->users, span_str(file), users); /* was not there */
}

struct material *
material_new(const struct config *c, struct span bundle, struct buf *errors)
{
	struct material *m = mem_alloc(sizeof(*m));
	size_t had = errors->n;

	m->keyring = keyring_new();
	m->users = map_new();
	add_keys(m, &c->tls, bundle, errors);
	for (size_t i = 0; i < c->n_listens; i++)
		add_users(m, c->listens[i].users, bundle, errors);
	if (errors->n > had)
		material_free(&m);
	return m;
}

void
material_free(struct material **m)
{
	struct span key;
	void *value;
	size_t at = 0;

	if (*m == NULL)
		return;
	keyring_free(&(*m)->keyring);
	while (map_next((*m)->users, &at, &key, &value)) {
		struct users *users = value;

		users_free(&users);
	}
	map_free(&(*m)->users);
	mem_free(*m);
	*m = NULL;
}

const struct keyring *
material_keyring(const struct material *m)
{
	return m->keyring;
}

const struct users *
material_users(const struct material *m, struct span file)
{
	return map_get(m->users, file);
}
