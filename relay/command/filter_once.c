#include "relay/command/filter_once.h"
#include "relay/process/place.h"
#include "relay/process/loads.h"
#include "relay/process/role.h"
#include "relay/process/sandbox.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEPT_MAX = 2 * (SCAN_REWRITE_MAX + 2 * 1024 * 1024) }; /* half of it is reserved */

/* Everything of one run that must be taken down again. */
struct run {
	struct filter_job *job;
	struct loop *loop;
	struct channel *control;
	struct worker_pool *pool;
	pid_t pid;
	struct loads loads;
	struct timer *late; /* its load is */
	char dir[64];
};

static int
make_folder(struct run *run, struct err *err)
{
	char path[sizeof(run->dir) + 8];

	(void)snprintf(run->dir, sizeof(run->dir), "/tmp/postern-explain-XXXXXX");
	if (mkdtemp(run->dir) == NULL)
		return err_set(err, E_IO, "cannot make a folder in /tmp: %m");
	(void)snprintf(path, sizeof(path), "%s/filter", run->dir);
	if (chmod(run->dir, 0755) < 0 || mkdir(path, 0700) < 0 ||
	    (geteuid() == 0 && chown(path, sandbox_uid(SANDBOX_ZYGOTE), (gid_t)-1) < 0))
		return err_set(err, E_IO, "cannot make %s: %m", path);
	return 0;
}

/* What a worker may have left; two levels below the folder we made are all there can be. */
static void
remove_folder(const char *path, int depth)
{
	DIR *dir = depth > 0 ? opendir(path) : NULL;
	struct dirent *entry;
	char inner[PATH_MAX];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(inner))
			continue;
		if (unlink(inner) < 0)
			remove_folder(inner, depth - 1);
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
	(void)rmdir(path);           /* in /tmp, and empty but for what could not be removed */
}

static void
exec_role(const char *path, int channel_fd)
{
	if (dup2(channel_fd, SUPERVISION_FD) >= 0 && close_range(SUPERVISION_FD + 1, ~0U, 0) == 0)
		(void)execl(path, path, (char *)NULL); /* returns on failure only */
	_exit(EXIT_NO);
}

static void
on_late(void *arg)
{
	struct run *run = arg;

	run->loads.is_late = true;
	(void)kill(run->pid, SIGKILL); /* ours: not waited for yet */
}

/* A problem needs no ear: its filters will say failure. */
static void
on_control(void *arg, struct message *m)
{
	struct run *run = arg;
	int64_t limit_ms;

	if (m->type == ROLE_LOADING) {
		timer_cancel(&run->late);
		limit_ms = loads_loading(&run->loads, run->job->config, m->id);
		if (limit_ms > 0)
			loop_timer(run->loop, &run->late, limit_ms, on_late, run);
	} else if (m->type == ROLE_READY && run->job->scan.pool == NULL) {
		pool_scan(run->pool, &run->job->scan); /* its time runs from now on */
	}
}

static void
on_end(void *arg)
{
	struct run *run = arg;

	loop_stop(run->loop);
}

static const struct channel_events role_events = {on_control, on_end};

static void
send_start(struct run *run)
{
	const struct filter_job *job = run->job;
	int config_fds[CHANNEL_FDS] = {channel_seal(job->config_text, "config"),
	    job->plugins.n > 0 ? channel_seal(job->plugins, "plugins") : -1};
	struct role_setup setup = {.config_file = span_str(job->config_file),
	    .run_dir = span_str(run->dir),
	    .barred = buf_span(&run->loads.barred)};
	struct buf b = BUF_INIT(2 * SETUP_NAME_MAX + LOADS_BYTES_MAX + 64);
	int ends[2], peer_fds[CHANNEL_FDS];

	role_setup_put(&b, &setup);
	channel_send(run->control, ROLE_CONFIG, 0, buf_span(&b), config_fds);
	buf_free(&b);
	channel_pair(ends);
	peer_fds[0] = ends[0];
	peer_fds[1] = -1;
	channel_send(run->control, ROLE_PEER, ROLE_FRONT, (struct span){0}, peer_fds);
	channel_send(run->control, ROLE_GO, 0, (struct span){0}, NULL);
	pool_connect(run->pool, ends[1]);
}

static struct span
keep(struct filter_job *job, struct span s)
{
	size_t at = job->kept.n;

	/* Never grows past what was reserved, so earlier spans stay valid. */
	if (job->kept.cap - job->kept.n < s.n || buf_add_span(&job->kept, s) < 0)
		return (struct span){0};
	return span_of(job->kept.p + at, s.n);
}

static void
keep_parts(struct filter_job *job, const struct scan_result *result)
{
	for (size_t i = 0; i < result->n_parts; i++) {
		job->result.parts[i].name = keep(job, result->parts[i].name);
		job->result.parts[i].declared = keep(job, result->parts[i].declared);
		job->result.parts[i].type = keep(job, result->parts[i].type);
	}
	for (size_t i = 0; i < result->n_marks; i++)
		job->result.marks[i].why = keep(job, result->marks[i].why);
}

static void
on_done(struct scan *s, const struct scan_result *result, uint32_t failed)
{
	struct run *run = s->arg;
	struct filter_job *job = run->job;

	job->is_done = true;
	job->failed = failed;
	if (result != NULL) {
		job->result = *result;
		job->result.truths = keep(job, result->truths);
		for (size_t i = 0; i < result->n_outcomes; i++) {
			job->result.outcomes[i].why = keep(job, result->outcomes[i].why);
			job->result.outcomes[i].uncut = keep(job, result->outcomes[i].uncut);
		}
		for (size_t i = 0; i < result->n_tags; i++) {
			job->result.tags[i].name = keep(job, result->tags[i].name);
			job->result.tags[i].why = keep(job, result->tags[i].why);
		}
		keep_parts(job, result);
		job->result.rewrite = keep(job, result->rewrite);
		for (size_t i = 0; i < result->n_hosts; i++)
			job->result.hosts[i] = keep(job, result->hosts[i]);
		for (size_t i = 0; i < result->n_edits; i++) {
			job->result.edits[i].name = keep(job, result->edits[i].name);
			job->result.edits[i].value = keep(job, result->edits[i].value);
		}
	}
	loop_stop(run->loop);
}

static int
start_role(struct run *run, struct err *err)
{
	char path[PATH_MAX];
	int ends[2];

	if (place_find("filter", path) < 0)
		return err_set(err, E_NOT_FOUND,
		    "no libexec/postern/filter beside this program; install all of it");
	channel_pair(ends);
	run->pid = fork();
	if (run->pid == 0)
		exec_role(path, ends[1]);
	(void)close(ends[1]); /* the child's */
	if (run->pid < 0) {
		(void)close(ends[0]); /* never used */
		return err_set(err, E_IO, "cannot fork: %m");
	}
	loads_begin(&run->loads);
	run->control = channel_new(run->loop, ends[0], &role_events, run);
	send_start(run);
	return 0;
}

/* How it ended, or that we have ended it. */
static int
end_role(struct run *run)
{
	int status = 0;

	timer_cancel(&run->late);
	channel_free(&run->control);
	if (run->pid > 0) {
		(void)kill(run->pid, SIGKILL); /* ours: not waited for yet */
		(void)waitpid(run->pid, &status, 0);
	}
	run->pid = -1;
	return status;
}

/* One that dies of a load is started again without that filter, as in a relay. */
static int
run_role(struct run *run, struct err *err)
{
	struct err why = {0};

	run->pool = pool_new(run->loop);
	pool_set_policy(run->pool, run->job->generation, run->job->bundle);
	run->job->scan.on_done = on_done;
	run->job->scan.arg = run;
	do {
		if (start_role(run, err) < 0)
			return -err->code;
		loop_run(run->loop);
	} while (
	    !run->job->is_done && loads_died(&run->loads, run->job->config, end_role(run), &why));
	if (!run->job->is_done)
		return err_set(err, E_CLOSED, "the filter role ended; the line above says why");
	return 0;
}

int
filter_once(struct filter_job *job, struct err *err)
{
	struct run run = {.job = job, .loop = loop_new(), .pid = -1};
	int r = make_folder(&run, err);

	job->kept = BUF_INIT(KEPT_MAX);
	(void)buf_room(&job->kept, KEPT_MAX / 2);
	if (r == 0)
		r = run_role(&run, err);
	pool_cancel(&job->scan);
	pool_free(&run.pool);
	(void)end_role(&run); /* its work is done */
	loads_forget(&run.loads);
	remove_folder(run.dir, 3);
	return r;
}
