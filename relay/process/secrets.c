#include "relay/process/secrets.h"
#include "relay/base/log.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/key/material.h"
#include "relay/process/policy_source.h"
#include "relay/tls/remote_key.h"
#include "relay/tls/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ERRORS_MAX = 256 * 1024 };

/* --- front's part ------------------------------------------------------------------------------- */

static void
add_certificates(const struct config *c, struct buf *bundle, struct buf *errors)
{
	for (size_t i = 0; i < c->tls.n_certificates; i++) {
		struct buf text = BUF_INIT(MATERIAL_FILE_MAX);
		struct err err = {0};

		if (file_read(c->tls.certificates[i], MATERIAL_FILE_MAX, &text, &err) < 0)
			(void)buf_addf(errors,
			    "%s; name a file with the certificate and its chain\n",
			    err.text); /* bounded */
		else
			bundle_add(bundle, BUNDLE_CERTIFICATE, span_str(c->tls.certificates[i]),
			    buf_span(&text));
		buf_free(&text);
	}
}

void
secrets_keep_certificates(const struct config *c, struct span older, struct buf *bundle)
{
	for (size_t i = 0; i < c->tls.n_certificates; i++) {
		struct span name = span_str(c->tls.certificates[i]), text;

		if (bundle_find(older, BUNDLE_CERTIFICATE, name, &text))
			bundle_add(bundle, BUNDLE_CERTIFICATE, name, text);
	}
}

/* --- key's part --------------------------------------------------------------------------------- */

static bool
write_all(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = span_skip(bytes, (size_t)n);
	}
	return true;
}

/* As bundle_add does, but for the text, which the kernel copies. */
static bool
copy_file(int to, enum bundle_kind kind, const char *path, int fd, size_t size)
{
	struct buf head = BUF_INIT(BUNDLE_NAME_MAX + 64);
	bool is_fine;

	put_u8(&head, (uint8_t)kind);
	put_span(&head, span_str(path));
	put_u32(&head, (uint32_t)size);
	is_fine = !head.failed && write_all(to, buf_span(&head));
	buf_free(&head);
	while (is_fine && size > 0) {
		ssize_t n = sendfile(to, fd, NULL, size);

		is_fine =
		    n > 0; /* a file that shrinks meanwhile is read again at the next reload */
		size -= is_fine ? (size_t)n : 0;
	}
	return is_fine;
}

static void
add_file(int to, enum bundle_kind kind, const char *path, struct buf *errors)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	/* Errors are bounded by the caller. */
	if (fd < 0)
		(void)buf_addf(
		    errors, "%s: %m; make it readable for the user that starts us\n", path);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		(void)buf_addf(errors, "%s: not a file; name one\n", path);
	else if (st.st_size > MATERIAL_FILE_MAX)
		(void)buf_addf(errors, "%s: larger than %d bytes; name a key's or users' file\n",
		    path, MATERIAL_FILE_MAX);
	else if (!copy_file(to, kind, path, fd, (size_t)st.st_size))
		(void)buf_addf(errors, "%s: cannot be read: %m; try again\n", path);
	if (fd >= 0)
		(void)close(fd); /* was only read */
}

static int
gather(const struct config *c, struct buf *errors)
{
	int fd = memfd_create("secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0) {
		(void)buf_addf(errors, "no memory file: %m; free some memory\n"); /* as above */
		return -1;
	}
	for (size_t i = 0; i < c->tls.n_certificates; i++)
		add_file(fd, BUNDLE_CERTIFICATE, c->tls.certificates[i], errors);
	for (size_t i = 0; i < c->tls.n_keys; i++)
		add_file(fd, BUNDLE_KEY, c->tls.keys[i], errors);
	for (size_t i = 0; i < c->n_listens; i++)
		if (c->listens[i].users != NULL)
			add_file(fd, BUNDLE_USERS, c->listens[i].users, errors);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		(void)buf_addf(errors, "no sealed memory file: %m; use a newer kernel\n");
	return fd;
}

static void
sign_nothing(void *arg, struct remote_signing *s)
{
	(void)arg;
	remote_key_answer(s, -E_UNSUPPORTED, (struct span){0});
}

static void
drop_nothing(void *arg, struct remote_signing *s)
{
	(void)arg;
	(void)s;
}

/* What front will do with the certificates. */
static void
try_context(const struct config *c, struct span bundle, struct buf *errors)
{
	static const struct remote_key_asker nobody = {sign_nothing, drop_nothing};
	struct span chains[CONFIG_CERTIFICATES_MAX];
	struct err err = {0};

	for (size_t i = 0; i < c->tls.n_certificates; i++)
		must(bundle_find(
		    bundle, BUNDLE_CERTIFICATE, span_str(c->tls.certificates[i]), &chains[i]));
	if (c->tls.n_certificates > 0 &&
	    (remote_key_setup(&nobody, NULL, &err) < 0 ||
		tls_server_new(chains, c->tls.certificates, c->tls.n_certificates,
		    c->tls.is_13_only, tls_tickets_new(), &err) == NULL))
		(void)buf_addf(errors, "%s\n", err.text); /* fits */
}

/* In a process of its own, whose memory goes with it. */
static void
look(const struct config *c, int secrets, int report)
{
	struct buf errors = BUF_INIT(ERRORS_MAX);
	struct span bundle;

	if (channel_map(secrets, MATERIAL_MAX, &bundle) < 0)
		(void)buf_addf(&errors, "%s: keys and users are larger than %d bytes\n", c->file,
		    MATERIAL_MAX);                         /* fits */
	else if (material_new(c, bundle, &errors) != NULL) /* this process ends with it */
		try_context(c, bundle, &errors);
	(void)!write_all(report, buf_span(&errors)); /* whoever reads it may have gone */
	_exit(errors.n > 0 ? EXIT_CONFIG : EXIT_OK);
}

static int
look_apart(const struct config *c, int secrets, struct buf *errors)
{
	int ends[2], status = 0;
	char piece[4096];
	ssize_t n;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(NULL, E_IO, "%m");
	pid = fork();
	if (pid == 0)
		look(c, secrets, ends[1]);
	(void)close(ends[1]); /* the child's */
	while (
	    pid > 0 && ((n = read(ends[0], piece, sizeof(piece))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			(void)buf_add(errors, piece, (size_t)n); /* bounded by the caller */
	(void)close(ends[0]);                                    /* was only read */
	if (pid < 0)
		return -E_IO;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK ? 0 : -E_CONFIG;
}

int
secrets_read(const struct config *c, struct buf *bundle, int *secrets, struct buf *errors)
{
	size_t had = errors->n;

	*secrets = -1;
	if (!config_needs_key(c))
		return 0;
	if (errors->max == 0)
		errors->max = ERRORS_MAX;
	add_certificates(c, bundle, errors);
	*secrets = gather(c, errors);
	if (errors->n == had && look_apart(c, *secrets, errors) < 0 && errors->n == had)
		(void)buf_addf(errors, "%s: keys and users cannot be looked at; try again\n",
		    c->file); /* as above */
	if (errors->n == had && !bundle->failed)
		return 0;
	secrets_close(secrets);
	return -E_CONFIG;
}

void
secrets_close(int *secrets)
{
	if (*secrets >= 0)
		(void)close(*secrets); /* memory only */
	*secrets = -1;
}
