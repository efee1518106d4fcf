#include "policy/journal/write.h"
#include "relay/base/buf.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 32, GAP_BYTES_MAX = 512 };

struct journal {
	struct loop *loop;
	int dir_fd, fd;
	uint64_t file_bytes;
	struct buf waiting;
	struct timer *sync, *retry;
	uint64_t lost_now; /* since the last line that says so */
	struct journal_stats stats;
};

static void
flush_hook(void *arg)
{
	struct journal *j = arg;

	if (j->retry == NULL)
		journal_flush(j);
}

static void
file_name(unsigned number, char to[NAME_SIZE])
{
	if (number == 0)
		(void)snprintf(to, NAME_SIZE, "%s", JOURNAL_FILE);
	else
		(void)snprintf(to, NAME_SIZE, "%s.%u", JOURNAL_FILE, number);
}

/* A line cut off by a crash gets its end, so that the next one stands alone. */
static int
end_torn_line(struct journal *j)
{
	char last = '\n';

	if (j->stats.bytes > 0 && pread(j->fd, &last, 1, (off_t)j->stats.bytes - 1) != 1)
		return -E_IO;
	if (last == '\n')
		return 0;
	if (write(j->fd, "\n", 1) != 1)
		return -E_IO;
	j->stats.bytes++;
	return 0;
}

static int
open_newest(struct journal *j)
{
	struct stat st;

	j->fd = openat(
	    j->dir_fd, JOURNAL_FILE, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (j->fd < 0)
		return -E_IO;
	if (fstat(j->fd, &st) < 0)
		return -E_IO;
	j->stats.bytes = (uint64_t)st.st_size;
	return end_torn_line(j);
}

struct journal *
journal_open(struct loop *loop, int dir_fd, uint64_t file_bytes, struct err *err)
{
	struct journal *j = mem_alloc(sizeof(*j));

	j->loop = loop;
	j->dir_fd = dir_fd;
	j->file_bytes = file_bytes;
	j->waiting = BUF_INIT(JOURNAL_WAITING_MAX);
	if (open_newest(j) < 0) {
		(void)err_set(err, E_IO,
		    "cannot open " JOURNAL_FILE
		    " in the journal folder: %m; see its owner and the disk");
		if (j->fd >= 0)
			(void)close(j->fd); /* nothing written */
		mem_free(j);
		return NULL;
	}
	loop_at_turn_end(loop, flush_hook, j);
	return j;
}

static void
sync_file(struct journal *j)
{
	if (j->fd >= 0 && fdatasync(j->fd) < 0)
		log_event(LOG_ERROR, "journal sync failed", KV_INT("errno", errno));
}

void
journal_close(struct journal **pj)
{
	struct journal *j = *pj;

	if (j == NULL)
		return;
	loop_forget_turn_end(j->loop, flush_hook, j);
	journal_flush(j);
	sync_file(j);
	timer_cancel(&j->sync);
	timer_cancel(&j->retry);
	if (j->fd >= 0)
		(void)close(j->fd); /* synced */
	buf_free(&j->waiting);
	mem_free(j);
	*pj = NULL;
}

static bool
is_one_line(struct span s)
{
	if (s.n < 2 || s.p[0] != '{' || s.p[s.n - 1] != '}')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20)
			return false;
	return utf8_is_valid(s);
}

/* Says how many events have no line. */
static void
add_gap(struct journal *j)
{
	struct buf line = BUF_INIT(GAP_BYTES_MAX);
	struct json w = {.to = &line};

	json_open(&w, NULL, '{');
	json_time(&w, "time", clock_wall_ms());
	json_str(&w, "event", "journal-gap");
	json_int(&w, "lost", (int64_t)j->lost_now);
	json_close(&w, '}');
	(void)buf_add_char(&line, '\n');
	if (!line.failed && line.n <= j->waiting.max - j->waiting.n) {
		(void)buf_add_span(&j->waiting, buf_span(&line)); /* measured above */
		j->lost_now = 0;
	}
	buf_free(&line);
}

int
journal_add(struct journal *j, struct span event)
{
	if (event.n > JOURNAL_EVENT_MAX || !is_one_line(event)) {
		j->stats.refused++;
		return event.n > JOURNAL_EVENT_MAX ? -E_LIMIT : -E_SYNTAX;
	}
	if (event.n + 1 > j->waiting.max - j->waiting.n) {
		j->stats.lost++;
		j->lost_now++;
		return -E_FULL;
	}
	(void)buf_add_span(&j->waiting, event); /* measured above */
	(void)buf_add_char(&j->waiting, '\n');
	j->stats.events++;
	return 0;
}

static int
rotate(struct journal *j)
{
	char from[NAME_SIZE], to[NAME_SIZE];

	sync_file(j);
	for (unsigned i = JOURNAL_FILES - 1; i > 0; i--) {
		file_name(i - 1, from);
		file_name(i, to);
		if (renameat(j->dir_fd, from, j->dir_fd, to) < 0 && errno != ENOENT)
			return -E_IO;
	}
	(void)close(j->fd); /* synced above */
	j->fd = -1;
	(void)fsync(j->dir_fd); /* the names; the lines are safe already */
	return open_newest(j);
}

static void
on_sync(void *arg)
{
	sync_file(arg);
}

static void
on_retry(void *arg)
{
	journal_flush(arg);
}

static void
set_failing(struct journal *j, const char *what)
{
	if (!j->stats.is_failing)
		log_event(LOG_ERROR, "journal cannot be written", KV_STR("call", what),
		    KV_INT("errno", errno));
	j->stats.is_failing = true;
	loop_timer(j->loop, &j->retry, JOURNAL_RETRY_MS, on_retry, j);
}

static int
make_ready(struct journal *j)
{
	if (j->fd < 0 && open_newest(j) < 0) {
		set_failing(j, "open");
		return -E_IO;
	}
	if (j->stats.bytes > 0 && j->stats.bytes + j->waiting.n > j->file_bytes && rotate(j) < 0) {
		set_failing(j, "rename");
		return -E_IO;
	}
	return 0;
}

void
journal_flush(struct journal *j)
{
	if (j->waiting.n == 0 || make_ready(j) < 0)
		return;
	while (j->waiting.n > 0) {
		ssize_t n = write(j->fd, j->waiting.p, j->waiting.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			set_failing(j, "write");
			return;
		}
		j->stats.bytes += (uint64_t)n;
		buf_consume(&j->waiting, (size_t)n);
	}
	timer_cancel(&j->retry);
	j->stats.is_failing = false;
	if (j->lost_now > 0)
		add_gap(j);
	if (j->sync == NULL)
		loop_timer(j->loop, &j->sync, JOURNAL_SYNC_MS, on_sync, j);
}

struct journal_stats
journal_stats(const struct journal *j)
{
	return j->stats;
}
