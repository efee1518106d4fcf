#include "tests/lib/sink_store.h"

#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 40, ENVELOPE_MAX = 16 * 1024 * 1024 };

static uint64_t
highest_number(int dir)
{
	DIR *d = fdopendir(dup(dir));
	if (d == NULL)
		die("list the folder: %m");
	uint64_t highest = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct span name = span_str(e->d_name);
		uint64_t n;
		if (span_ends_nocase(name, SPAN(".json")) &&
		    span_to_u64(span_take(name, span_find(name, '.')), &n) && n > highest)
			highest = n;
	}
	closedir(d);
	return highest;
}

void
sink_store_open(struct sink_store *s, const char *dir, bool is_synced)
{
	*s = (struct sink_store){.dir = -1, .ledger = -1, .is_synced = is_synced};
	if (dir == NULL)
		return;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		die("make %s: %m", dir);
	s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		die("open %s: %m", dir);
	s->ledger = openat(s->dir, "ledger", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (s->ledger < 0)
		die("open %s/ledger: %m", dir);
	s->last = highest_number(s->dir);
}

static int
write_all(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -E_IO;
		bytes = span_skip(bytes, (size_t)n);
	}
	return 0;
}

/* Under a name of its own first, so that no reader sees half a file. */
static int
put_file(struct sink_store *s, const char *name, struct span bytes)
{
	char part[NAME_SIZE + 8];
	snprintf(part, sizeof part, "%s.part", name);
	int fd = openat(s->dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -E_IO;
	int rc = write_all(fd, bytes);
	if (rc == 0 && s->is_synced && fsync(fd) < 0)
		rc = -E_IO;
	if (close(fd) < 0)
		rc = -E_IO;
	if (rc == 0 && renameat(s->dir, part, s->dir, name) < 0)
		rc = -E_IO;
	return rc;
}

static void
add_envelope(struct buf *to, uint64_t number, const struct sink_message *m)
{
	struct json j = {.to = to};
	json_open(&j, NULL, '{');
	json_int(&j, "number", (int64_t)number);
	json_time(&j, "time", clock_wall_ms());
	json_text(&j, "client", m->client);
	json_text(&j, "helo", m->helo);
	json_text(&j, "from", m->from);
	json_text(&j, "params", m->params);
	json_int(&j, "size", (int64_t)m->body.n);
	json_text(&j, "tls", m->tls);
	json_bool(&j, "chunk", m->is_chunk);
	buf_add_str(to, ",\"to\":[");
	buf_add_span(to, m->to);
	buf_add_str(to, "],\"rcpt_params\":[");
	buf_add_span(to, m->rcpt_params);
	buf_add_str(to, "]}\n");
}

int
sink_store_put(struct sink_store *s, const struct sink_message *m)
{
	uint64_t number = ++s->last;
	if (s->dir < 0)
		return 0;
	struct buf envelope = BUF_INIT(ENVELOPE_MAX);
	add_envelope(&envelope, number, m);
	char name[NAME_SIZE];
	snprintf(name, sizeof name, "%06llu.eml", (unsigned long long)number);
	int rc = envelope.failed ? -E_LIMIT : put_file(s, name, m->body);
	snprintf(name, sizeof name, "%06llu.json", (unsigned long long)number);
	if (rc == 0)
		rc = put_file(s, name, buf_span(&envelope));
	if (rc == 0)
		rc = write_all(s->ledger, buf_span(&envelope));
	if (rc == 0 && s->is_synced && fdatasync(s->ledger) < 0)
		rc = -E_IO;
	buf_free(&envelope);
	return rc;
}
