/*
 * material.h - everything secret of one configuration: its keyring and its files of users, made
 * from the bundle that the supervisor has gathered.  Belongs to the key role.
 */
#ifndef KEY_MATERIAL_H
#define KEY_MATERIAL_H
#include "policy/config/config.h"
#include "relay/key/keyring.h"
#include "relay/key/users.h"

enum { MATERIAL_MAX = 64 * 1024 * 1024, MATERIAL_FILE_MAX = 16 * 1024 * 1024 };

struct material;

/* `bundle`: BUNDLE_CERTIFICATE, BUNDLE_KEY and BUNDLE_USERS of each file that `c` names.  NULL: each
 * error is a line in `errors`. */
struct material *material_new(const struct config *c, struct span bundle, struct buf *errors);
void material_free(struct material **m);
const struct keyring *material_keyring(const struct material *m);
/* The users of this file; NULL: no listener names it. */
const struct users *material_users(const struct material *m, struct span file);

#endif
