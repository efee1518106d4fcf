/*
 * postern run: starts the supervisor, hands signals on to it, and starts it again when it dies
 * by a signal, so that not even its death ends the service.  This process does nothing else.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/command/command.h"
#include "relay/process/place.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_FIRST_MS = 200, AGAIN_MAX_MS = 30000, STEADY_MS = 10000 };

static volatile sig_atomic_t supervisor_pid, asked_to_end;

static void
pass_on(int signo)
{
	if (signo != SIGHUP)
		asked_to_end = 1;
	if (supervisor_pid > 0)
		(void)kill((pid_t)supervisor_pid, signo); /* our child, not waited for yet */
}

static void
exec_supervisor(const char *path, const struct command_line *line, bool is_json_log)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* without us nobody would start it again */
	(void)execl(
	    path, path, "-c", line->config_file, is_json_log ? "-j" : (char *)NULL, (char *)NULL);
	_exit(command_fail(EXIT_NO, "cannot run %s: %m", path));
}

static int
wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return status;
}

static void
pause_ms(int64_t ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&ts, NULL); /* a signal may shorten it */
}

/*
 * Around the fork: a signal waits until there is a process to pass it to.  The supervisor begins
 * with them held and reads them itself, so that none is lost to the handler of this program.
 */
static void
hold_signals(bool is_held)
{
	sigset_t set;

	(void)sigemptyset(&set); /* none of these can fail */
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static int
watch_over(const char *path, const struct command_line *line, bool is_json_log)
{
	int64_t delay_ms = AGAIN_FIRST_MS;
	bool was_restarted = false;

	for (;;) {
		int64_t started_ms = clock_mono_ms();
		pid_t pid;
		int status;

		hold_signals(true);
		if (asked_to_end)
			return EXIT_OK; /* while there was no supervisor */
		pid = fork();
		if (pid < 0)
			return command_fail(EXIT_NO, "cannot fork: %m");
		if (pid == 0)
			exec_supervisor(path, line, is_json_log);
		supervisor_pid = pid;
		hold_signals(false);
		status = wait_for(pid);
		supervisor_pid = 0;
		/* Started anew, it may find the addresses still held by roles that are ending. */
		if (WIFEXITED(status) && (!was_restarted || WEXITSTATUS(status) == EXIT_OK ||
					     WEXITSTATUS(status) == EXIT_CONFIG))
			return WEXITSTATUS(status);
		if (asked_to_end)
			return EXIT_OK;
		was_restarted = true;
		if (clock_mono_ms() - started_ms > STEADY_MS)
			delay_ms = AGAIN_FIRST_MS;
		log_event(LOG_ERROR, "supervisor died",
		    KV_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
		    KV_INT("restart_ms", delay_ms));
		pause_ms(delay_ms);
		delay_ms = delay_ms * 2 < AGAIN_MAX_MS ? delay_ms * 2 : AGAIN_MAX_MS;
	}
}

int
command_run(const struct command_line *line)
{
	char path[PATH_MAX];
	bool is_json_log = false;
	struct sigaction action = {.sa_handler = pass_on};

	if (line->is_json)
		return command_fail(EXIT_USAGE, "run prints no JSON; its log does with --log=json");
	for (size_t i = 0; i < line->n_words; i++) {
		if (strcmp(line->words[i], "--log=json") == 0)
			is_json_log = true;
		else if (strcmp(line->words[i], "--log=text") != 0)
			return command_fail(EXIT_USAGE,
			    "run takes --log=json or --log=text, not \"%.40s\"", line->words[i]);
	}
	if (place_find("supervisor", path) < 0)
		return command_fail(EXIT_NO,
		    "no libexec/postern/supervisor beside this program; install all of it");
	log_setup("postern", is_json_log, LOG_INFO);
	(void)sigaction(SIGTERM, &action, NULL); /* none of these can fail */
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	return watch_over(path, line, is_json_log);
}
