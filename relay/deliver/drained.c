#include "relay/deliver/drained.h"
#include "relay/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char file_name[] = "drained", new_name[] = "drained.new";

static int
open_dir(const char *dir, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_set(err, E_IO, "cannot open %s: %m", dir);
}

static int
read_file(int dir, struct buf *to, struct err *err)
{
	int fd = openat(dir, file_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = 0;
	char *room;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(err, E_IO, "cannot open the file of drained servers: %m");
	while ((room = buf_room(to, 4096)) != NULL && (n = read(fd, room, 4096)) > 0)
		to->n += (size_t)n;
	(void)close(fd); /* only read */
	if (room == NULL)
		return err_set(err, E_LIMIT, "the file of drained servers is too long");
	return n < 0 ? err_set(err, E_IO, "cannot read the file of drained servers: %m") : 0;
}

/* An address may belong to a name that is not looked up yet. */
static bool
may_know(const struct gateway *g, struct span server)
{
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (g->conf->servers[i].is_name)
			return true;
	return gateway_has_server(g, server);
}

static void
take_line(struct span line, struct gateway *const *gateways, size_t n, int64_t now_ms)
{
	struct span server = span_cut(&line, ' ');

	for (size_t i = 0; i < n; i++)
		if (span_eq(line, span_str(gateways[i]->conf->name)) &&
		    may_know(gateways[i], server) && gateway_drain(gateways[i], server, now_ms))
			return;
	log_event(LOG_WARN, "unknown drained server", KV("server", server), KV("gateway", line));
}

int
drained_load(
    const char *dir, struct gateway *const *gateways, size_t n, int64_t now_ms, struct err *err)
{
	struct buf text = BUF_INIT(DRAINED_FILE_MAX);
	int fd = open_dir(dir, err), rc;
	struct span rest;

	if (fd < 0)
		return fd;
	rc = read_file(fd, &text, err);
	(void)close(fd); /* only read */
	rest = buf_span(&text);
	while (rc == 0 && rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		if (line.n > 0)
			take_line(line, gateways, n, now_ms);
	}
	buf_free(&text);
	return rc;
}

static int
write_file(int dir, struct span text, struct err *err)
{
	int fd = openat(dir, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool is_fine = fd >= 0;

	while (is_fine && text.n > 0) {
		ssize_t n = write(fd, text.p, text.n);

		is_fine = n > 0 || (n < 0 && errno == EINTR);
		text = span_skip(text, n > 0 ? (size_t)n : 0);
	}
	is_fine = is_fine && fsync(fd) == 0;
	if (fd >= 0 && close(fd) < 0)
		is_fine = false;
	if (!is_fine || renameat(dir, new_name, dir, file_name) < 0 || fsync(dir) < 0)
		return err_set(err, E_IO, "cannot write the file of drained servers: %m");
	return 0;
}

int
drained_save(const char *dir, struct gateway *const *gateways, size_t n, struct err *err)
{
	struct buf text = BUF_INIT(DRAINED_FILE_MAX);
	int fd = open_dir(dir, err), rc;

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < gateways[i]->n_drained; k++)
			(void)buf_addf(
			    &text, "%s %s\n", gateways[i]->drained[k], gateways[i]->conf->name);
	rc = text.failed ? err_set(err, E_LIMIT, "too many drained servers")
			 : write_file(fd, buf_span(&text), err);
	(void)close(fd); /* only synced */
	buf_free(&text);
	return rc;
}
