#include "policy/journal/read.h"
#include "policy/journal/write.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_SIZE = 32,
	CLOCK_SLACK_S = 3600 /* a file written before `since` by more than this is skipped */
};

struct journal_reader {
	const struct journal_filter *filter;
	int fds[JOURNAL_FILES]; /* oldest first */
	struct stat about[JOURNAL_FILES];
	size_t n, at;
	struct buf pending; /* the start of a line whose end is not read yet */
	bool is_too_long;   /* the rest of this line is skipped */
};

void
journal_read_prepare(void)
{
	json_object_seed((size_t)rng_u64() | 1);
}

void
journal_reader_free(struct journal_reader **r)
{
	if (*r == NULL)
		return;
	for (size_t i = 0; i < (*r)->n; i++)
		(void)close((*r)->fds[i]); /* only read */
	buf_free(&(*r)->pending);
	mem_free(*r);
	*r = NULL;
}

static bool
is_known(const struct journal_reader *r, const struct stat *st)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->about[i].st_ino == st->st_ino && r->about[i].st_dev == st->st_dev)
			return true;
	return false;
}

static bool
is_too_old(const struct journal_filter *f, const struct stat *st)
{
	return ((int64_t)st->st_mtime + CLOCK_SLACK_S) * 1000 < f->since_ms;
}

static int
open_one(struct journal_reader *r, int dir_fd, unsigned number)
{
	char name[NAME_SIZE];
	struct stat st;
	int fd;

	if (number == 0)
		(void)snprintf(name, sizeof(name), "%s", JOURNAL_FILE);
	else
		(void)snprintf(name, sizeof(name), "%s.%u", JOURNAL_FILE, number);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -E_IO;
	if (fstat(fd, &st) < 0 || is_known(r, &st) || (number > 0 && is_too_old(r->filter, &st))) {
		(void)close(fd); /* only opened */
		return 0;
	}
	r->about[r->n] = st;
	r->fds[r->n++] = fd;
	return 0;
}

/* The files from `from` on, as they were opened: newest first. */
static void
put_oldest_first(struct journal_reader *r, size_t from)
{
	for (size_t i = from, k = r->n; i + 1 < k; i++) {
		int fd = r->fds[i];
		struct stat about = r->about[i];

		k--;
		r->fds[i] = r->fds[k];
		r->about[i] = r->about[k];
		r->fds[k] = fd;
		r->about[k] = about;
	}
}

struct journal_reader *
journal_reader_new(int dir_fd, const struct journal_filter *filter, struct err *err)
{
	struct journal_reader *r = mem_alloc(sizeof(*r));

	r->filter = filter;
	r->pending = BUF_INIT(JOURNAL_EVENT_MAX + JOURNAL_SLICE);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		if (open_one(r, dir_fd, i) < 0) {
			(void)err_set(err, E_IO, "cannot open the journal: %m");
			journal_reader_free(&r);
			return NULL;
		}
	put_oldest_first(r, 0);
	return r;
}

/* What is no JSON object (a line torn by a crash) is passed over. */
static void
take_line(
    struct journal_reader *r, struct span line, void (*on_line)(void *, struct span), void *arg)
{
	json_t *event;

	/* Cheap before dear: most lines of a search by id do not hold it. */
	if (memmem(line.p, line.n, r->filter->id, strlen(r->filter->id)) == NULL)
		return;
	event = json_loadb(line.p, line.n, 0, NULL);
	if (json_is_object(event) && journal_filter_matches(r->filter, event))
		on_line(arg, line);
	json_decref(event);
}

static void
take_lines(struct journal_reader *r, void (*on_line)(void *, struct span), void *arg)
{
	struct span rest = buf_span(&r->pending);

	for (;;) {
		size_t n = span_find(rest, '\n');

		if (n == rest.n)
			break;
		if (!r->is_too_long && n <= JOURNAL_EVENT_MAX)
			take_line(r, span_take(rest, n), on_line, arg);
		r->is_too_long = false;
		rest = span_skip(rest, n + 1);
	}
	if (rest.n > JOURNAL_EVENT_MAX) {
		r->is_too_long = true;
		rest.n = 0;
		buf_clear(&r->pending);
	}
	buf_consume(&r->pending, r->pending.n - rest.n);
}

int
journal_reader_step(
    struct journal_reader *r, void (*on_line)(void *, struct span), void *arg, struct err *err)
{
	char *to;
	ssize_t n;

	if (r->at == r->n)
		return 0;
	to = buf_room(&r->pending, JOURNAL_SLICE);
	must(to != NULL); /* take_lines leaves JOURNAL_EVENT_MAX at most */
	do
		n = read(r->fds[r->at], to, JOURNAL_SLICE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, E_IO, "cannot read the journal: %m");
	if (n == 0) {
		if (r->at + 1 == r->n)
			return 0;
		r->at++;
		buf_clear(&r->pending);
		r->is_too_long = false;
		return 1;
	}
	r->pending.n += (size_t)n;
	take_lines(r, on_line, arg);
	return 1;
}

/* What was read to its end makes room for what is new. */
static void
forget_read(struct journal_reader *r)
{
	for (size_t i = 0; i < r->at; i++)
		(void)close(r->fds[i]); /* only read */
	r->n -= r->at;
	memmove(r->fds, r->fds + r->at, r->n * sizeof(r->fds[0]));
	memmove(r->about, r->about + r->at, r->n * sizeof(r->about[0]));
	r->at = 0;
}

int
journal_reader_refresh(struct journal_reader *r, int dir_fd, struct err *err)
{
	size_t before;

	forget_read(r);
	before = r->n;
	/* Up to the file that is being read: what is older was read. */
	for (unsigned i = 0; i < JOURNAL_FILES && r->n < JOURNAL_FILES; i++) {
		size_t n = r->n;

		if (open_one(r, dir_fd, i) < 0)
			return err_set(err, E_IO, "cannot open the journal: %m");
		if (r->n == n)
			break;
	}
	put_oldest_first(r, before);
	return r->n > before;
}

int
journal_read(int dir_fd, const struct journal_filter *filter, void (*on_line)(void *, struct span),
    void *arg, struct err *err)
{
	struct journal_reader *r = journal_reader_new(dir_fd, filter, err);
	int more = 1;

	if (r == NULL)
		return -E_IO;
	while (more == 1)
		more = journal_reader_step(r, on_line, arg, err);
	journal_reader_free(&r);
	return more;
}
