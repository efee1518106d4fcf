/*
 * The supervisor's program: started by `postern run`, which passes "-c FILE" and the form of logs.
 */
#include "policy/rate/tallies.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/process/control_socket.h"
#include "relay/process/folders.h"
#include "relay/process/policy_source.h"
#include "relay/process/rule_hits.h"
#include "relay/process/sandbox.h"
#include "relay/process/secrets.h"
#include "relay/process/successor.h"
#include "relay/process/supervisor.h"
#include "relay/process/trial.h"
#include "relay/tls/tickets.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static struct supervisor supervisor;

static void
reap(struct supervisor *s)
{
	int status, pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = ROLE_FRONT; i < PLACES; i++)
			if (s->children[i].pid == pid)
				child_died(&s->children[i], status);
}

static void
reload_by_signal(struct supervisor *s)
{
	struct buf errors = BUF_INIT(0);

	if (supervisor_reload(s, &errors) < 0)
		log_event(LOG_ERROR, "reload refused", KV("errors", buf_span(&errors)));
	buf_free(&errors);
}

static void
on_signal(void *arg, unsigned events)
{
	struct supervisor *s = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(s);
			break;
		case SIGHUP:
			reload_by_signal(s);
			break;
		default:
			supervisor_stop(s, EXIT_OK);
		}
}

static void
watch_signals(struct supervisor *s)
{
	static const int wanted[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};
	sigset_t set;

	/* None of these fails on valid arguments. */
	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)sigaddset(&set, wanted[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		die("no signal descriptor: %m");
	s->signals = loop_watch(s->loop, s->signal_fd, LOOP_READ, on_signal, s);
}

/* The policy with its files, and the keys; false with each error as a line. */
static bool
read_files(struct supervisor *s, struct buf *errors)
{
	bool is_fine = policy_source_read(s->config, &s->bundle, &s->policy_version, errors) == 0;

	s->secrets = -1;
	return secrets_read(s->config, &s->bundle, &s->secrets, errors) == 0 && is_fine;
}

/* Nowhere else to say it. */
static _Noreturn void
exit_with(const struct buf *errors)
{
	(void)!write(STDERR_FILENO, errors->p, errors->n);
	exit(EXIT_CONFIG);
}

/* Every error at once on standard error, those of policy and keys too, then exit 78. */
static void
load_config(struct supervisor *s)
{
	struct config_errors errors = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct err err = {0};

	s->config_text.max = CONFIG_TEXT_MAX;
	if (file_read(s->config_file, CONFIG_TEXT_MAX, &s->config_text, &err) < 0)
		die_with(EXIT_CONFIG, "%s; name the configuration with -c FILE", err.text);
	s->config =
	    plugins_parse_config(buf_span(&s->config_text), s->config_file, &s->plugins, &errors);
	if (s->config != NULL && config_check_machine(s->config, &errors) == 0) {
		buf_free(&errors.lines);
		return;
	}
	if (s->config != NULL)
		(void)read_files(s, &errors.lines); /* for what else is wrong */
	exit_with(&errors.lines);
}

/* Once the folders are there and nobody else changes the policy. */
static void
load_policy(struct supervisor *s)
{
	struct buf errors = BUF_INIT(0);

	if (!read_files(s, &errors))
		exit_with(&errors);
	buf_free(&errors);
	s->generation = 1;
}

/* 20,000 sessions need descriptors; the hard limit is as far as we may go. */
static void
raise_limits(struct supervisor *s)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it was */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		s->listeners.files_max = limit.rlim_cur;
	limit = (struct rlimit){0, 0};
	(void)setrlimit(RLIMIT_CORE, &limit); /* a core of front or spool would be mail on disk */
}

/* Only state_dir and run_dir can be written, by us and by every role: both are inherited. */
static void
enter_sandbox(struct supervisor *s)
{
	const struct sandbox_path paths[] = {{"/", SANDBOX_READ_EXEC},
	    {s->config->state_dir, SANDBOX_WRITE}, {s->config->run_dir, SANDBOX_WRITE}, {0}};
	struct err err = {0};

	if (sandbox_enter(SANDBOX_SUPERVISOR, paths, &err) < 0)
		die("%s", err.text);
}

/* What several roles share lives as long as we do: it outlasts each of them. */
static void
make_shared(struct supervisor *s)
{
	int r = shared_make("tickets", TLS_TICKETS_BYTES, &s->tickets);

	for (size_t i = 0; r == 0 && i < CONFIG_FRONTS_MAX; i++)
		r = shared_make("tallies", TALLIES_BYTES, &s->tallies[i]);
	rng_bytes(s->tallies_secret, sizeof(s->tallies_secret));
	if (r < 0)
		die("no memory to share: %m; mount /proc, or free some memory");
}

static void
offer_console(struct supervisor *s)
{
	struct buf url = BUF_INIT(512);

	if (!s->config->web.is_on)
		return;
	(void)buf_addf(&url, "http://%s/sign-in?token=%.*s", s->config->web.address.text,
	    SPAN_ARG(console_offer(&s->console))); /* both short */
	log_event(LOG_INFO, "sign-in", KV("url", buf_span(&url)),
	    KV_STR("note", "this link signs in once"));
	buf_free(&url);
}

static void
start_roles(struct supervisor *s)
{
	successor_reset(s);
	for (unsigned i = ROLE_FRONT; i < PLACES; i++) {
		child_init(&s->children[i], s, i);
		s->children[i].is_wanted = supervisor_wants(s, i);
	}
	for (int i = ROLE_COUNT - 1; i > ROLE_FRONT; i--)
		if (s->children[i].is_wanted)
			child_start(&s->children[i]);
	/* Fronts come last, so that what they need is there when the first client is. */
	for (unsigned i = 0; i < s->config->fronts; i++)
		child_start(&s->children[place_of_front(i)]);
}

static void
parse_arguments(struct supervisor *s, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:j")) != -1)
		switch (option) {
		case 'c':
			s->config_file = optarg;
			break;
		case 'j':
			s->is_json_log = true;
			break;
		default:
			die_with(EXIT_USAGE, "start the relay with \"postern run\"");
		}
	if (s->config_file == NULL)
		die_with(EXIT_USAGE, "start the relay with \"postern run\"");
}

int
main(int argc, char **argv)
{
	struct supervisor *s = &supervisor;
	struct err err = {0};

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever runs us has gone: end in good order */
	parse_arguments(s, argc, argv);
	log_setup("supervisor", s->is_json_log, LOG_INFO);
	raise_limits(s);
	load_config(s);
	if (folders_make(s->config, &err) < 0 || folders_lock(s->config, &err) < 0)
		die("%s", err.text);
	trial_settle(s->config);
	load_policy(s);
	if (listener_open_all(&s->listeners, s->config, &err) < 0)
		die("%s", err.text);
	s->loop = loop_new();
	loop_tell_slow_turns(s->loop);
	s->started_wall_ms = clock_wall_ms();
	s->control = control_open(s, &err);
	if (s->control == NULL)
		die("%s", err.text);
	make_shared(s);
	enter_sandbox(s);
	watch_signals(s);
	offer_console(s);
	start_roles(s);
	trial_watch(s);
	loop_run(s->loop);
	control_close(&s->control);
	rule_hits_store(s);
	log_event(LOG_INFO, "stopped");
	return s->exit_status;
}
