#include "relay/process/plugins.h"
#include "filters/chain/plugin.h"
#include "filters/worker/stamp.h"
#include "policy/config/complain.h"
#include "relay/base/clock.h"
#include "relay/process/place.h"
#include "relay/process/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* One reading of the folder. */
struct look {
	const char *folder;
	const char *conf_file; /* errors are prefixed with it and the line */
	unsigned line;
	struct config_errors *errors;
	char *files[CATALOG_PLUGINS_MAX];
	char *names[CATALOG_PLUGINS_MAX]; /* of the filters in them; NULL: not looked at */
	size_t n;
	const char *unread[CATALOG_PLUGINS_MAX + 1]; /* of files */
	size_t n_unread;
	bool has_failed;
};

static void look_complain(struct look *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
look_complain(struct look *l, const char *fmt, ...)
{
	char text[2 * COMPLAINT_TEXT_MAX], line[2 * COMPLAINT_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* a cut message is still one */
	va_end(args);
	(void)snprintf(line, sizeof(line), "%s:%u", l->conf_file, l->line);
	config_errors_add(l->errors, line, text);
	l->has_failed = true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
list_files(struct look *l)
{
	DIR *dir = opendir(l->folder);
	const struct dirent *e;

	if (dir == NULL) {
		look_complain(l, "plugins: %s cannot be read (%m); make it readable", l->folder);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.' || !span_ends_nocase(span_str(e->d_name), SPAN(".so")))
			continue;
		if (l->n == CATALOG_PLUGINS_MAX) {
			look_complain(l, "plugins: more than %d in %s; remove some",
			    CATALOG_PLUGINS_MAX, l->folder);
			break;
		}
		l->files[l->n++] = mem_dup(span_str(e->d_name));
	}
	(void)closedir(dir); /* was only read */
	qsort(l->files, l->n, sizeof(l->files[0]), by_name);
}

static void __attribute__((noreturn))
run_helper(const char *path, const struct look *l, const char *file, int answer_fd)
{
	sigset_t none;

	(void)sigemptyset(&none); /* cannot fail, nor can the next on a valid set */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (answer_fd == PLUGINS_ANSWER_FD)
		answer_fd = dup(answer_fd); /* it closes on exec: moved away and back */
	if (dup2(answer_fd, PLUGINS_ANSWER_FD) >= 0 &&
	    close_range(PLUGINS_ANSWER_FD + 1, ~0U, 0) == 0)
		(void)execl(
		    path, path, l->folder, file, (char *)NULL); /* returns on failure only */
	_exit(EXIT_NO);
}

/* All the helper says until it closes its end; -E_TIMEOUT when that takes too long. */
static int
read_answer(int fd, struct buf *to)
{
	int64_t end_ms = clock_mono_ms() + PLUGINS_ANSWER_MS;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left_ms = end_ms - clock_mono_ms();
		char *room = buf_room(to, 4096);
		ssize_t n;

		if (room == NULL)
			return -E_LIMIT;
		if (left_ms <= 0)
			return -E_TIMEOUT;
		if (poll(&p, 1, (int)left_ms) <= 0)
			continue; /* the time is looked at above */
		n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		to->n += (size_t)n;
	}
}

/* Status of the helper; its answer is the plugin's bytes (0) or what is wrong (1). */
static int
ask_helper(struct look *l, const char *helper, const char *file, struct buf *answer)
{
	int ends[2], status = 0, r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		run_helper(helper, l, file, ends[1]);
	(void)close(ends[1]); /* the helper's */
	r = pid > 0 ? read_answer(ends[0], answer) : -E_IO;
	(void)close(ends[0]); /* only read from */
	if (pid <= 0)
		return -1;
	if (r < 0)
		(void)kill(pid, SIGKILL); /* ours: not waited for yet */
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return r < 0 ? r : status;
}

static void
complain_of_end(struct look *l, const char *file, int status, const struct buf *answer)
{
	if (status == -E_TIMEOUT || status == -E_LIMIT)
		look_complain(l, "plugins: %s/%s does not load within %d s; remove it", l->folder,
		    file, PLUGINS_ANSWER_MS / 1000);
	else if (status >= 0 && WIFSIGNALED(status))
		look_complain(l,
		    "plugins: %s/%s dies when it is loaded (signal %d: %s); its constructors may "
		    "not "
		    "use network, files or other processes",
		    l->folder, file, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (answer->n > 0)
		look_complain(l, "plugins: %.*s", SPAN_ARG(span_take(buf_span(answer), 900)));
	else
		look_complain(l, "plugins: %s/%s cannot be looked at; install all of Postern",
		    l->folder, file);
}

/* Two plugins of one name: nobody could tell which is meant. */
static bool
is_new(struct look *l, size_t at, const char *name)
{
	for (size_t i = 0; i < at; i++)
		if (l->names[i] != NULL && strcmp(l->names[i], name) == 0) {
			look_complain(l,
			    "plugins: %s and %s in %s both hold a filter \"%s\"; remove one",
			    l->files[i], l->files[at], l->folder, name);
			return false;
		}
	l->names[at] = mem_dup(span_str(name));
	return true;
}

/* The plugin's bytes, when they are one's, behind those before it.  Whether they were. */
static bool
take_answer(struct look *l, size_t at, struct span answer, struct buf *plugins)
{
	struct buf one = BUF_INIT(CATALOG_BYTES_MAX);
	struct catalog *c;
	bool is_fine = false;

	catalog_put_head(&one, l->folder, 1);
	(void)buf_add_span(&one, answer); /* sticky: catalog_get sees it */
	c = catalog_get(buf_span(&one));
	if (c == NULL || strcmp(c->plugins[0].file, l->files[at]) != 0)
		look_complain(l,
		    "plugins: the filter in %s/%s has the name of one that is built in; rename it",
		    l->folder, l->files[at]);
	else
		is_fine =
		    is_new(l, at, c->plugins[0].about.name) && buf_add_span(plugins, answer) == 0;
	catalog_free(&c);
	buf_free(&one);
	return is_fine;
}

static bool
look_at(struct look *l, const char *helper, size_t at, struct buf *plugins)
{
	struct buf answer = BUF_INIT(PLUGINS_ANSWER_MAX);
	struct err err = {0};
	bool is_fine = false;
	int status;

	if (plugin_check_file(l->folder, l->files[at], &err) < 0) {
		look_complain(l, "plugins: %s", err.text);
		return false;
	}
	status = ask_helper(l, helper, l->files[at], &answer);
	if (status != 0)
		complain_of_end(l, l->files[at], status, &answer);
	else
		is_fine = take_answer(l, at, buf_span(&answer), plugins);
	buf_free(&answer);
	return is_fine;
}

static void
look_at_all(struct look *l, struct buf *bytes)
{
	struct buf plugins = BUF_INIT(CATALOG_BYTES_MAX / 2);
	char helper[PATH_MAX];
	struct err err = {0};
	size_t n = 0;

	if (plugin_check_folder(l->folder, &err) < 0) {
		look_complain(l, "plugins: %s", err.text);
		return;
	}
	if (place_find("about", helper) < 0) {
		look_complain(l,
		    "plugins: no libexec/postern/about beside this program; install all "
		    "of Postern");
		return;
	}
	list_files(l);
	for (size_t i = 0; i < l->n; i++)
		if (look_at(l, helper, i, &plugins))
			n++;
		else
			l->unread[l->n_unread++] = l->files[i];
	catalog_put_head(bytes, l->folder, n);
	(void)buf_add_span(bytes, buf_span(&plugins)); /* half of what fits */
	buf_free(&plugins);
}

static void
look_end(struct look *l)
{
	for (size_t i = 0; i < l->n; i++) {
		mem_free(l->files[i]);
		mem_free(l->names[i]);
	}
}

/* An option with a file's name is one that its filter reads in load; folders are watched by the filter
 * role itself. */
static uint64_t
stamp_options(const struct conf_filter *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->n_options; i++) {
		const struct conf_option *o = &f->options[i];

		if (o->about->type == PNF_OPTION_TEXT && o->n_values > 0 && o->values[0][0] == '/')
			sum = sum * 31 + stamp_file(o->values[0]);
	}
	return sum;
}

/* Changes where a filter would read something else, or be something else, though its words stay. */
static uint64_t
stamp_files(const struct catalog *catalog, const struct config *c)
{
	char path[PATH_MAX];
	uint64_t sum = 0;

	for (size_t i = 0; i < catalog->n; i++)
		if (snprintf(path, sizeof(path), "%s/%s", catalog->folder,
			catalog->plugins[i].file) < (int)sizeof(path))
			sum = sum * 31 + stamp_file(path);
	for (size_t i = 0; i < c->n_filters; i++)
		sum = sum * 31 + stamp_options(&c->filters[i]);
	return sum;
}

static const char *
unreadable(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return strerror(errno);
	(void)close(fd); /* was only looked at */
	return NULL;
}

struct config *
plugins_parse_config(
    struct span text, const char *file, struct plugins *plugins, struct config_errors *errors)
{
	struct look l = {.conf_file = file, .errors = errors};
	struct config *config;
	char folder[PATH_MAX];

	*plugins = (struct plugins){.bytes = BUF_INIT(CATALOG_BYTES_MAX)};
	if (config_plugins_folder(text, folder, sizeof(folder), &l.line)) {
		l.folder = folder;
		look_at_all(&l, &plugins->bytes);
	}
	plugins->catalog = catalog_get(buf_span(&plugins->bytes));
	must(plugins->catalog != NULL); /* each of its plugins was one, no two have one name */
	errors->unread = l.unread;
	errors->unreadable = unreadable;
	config = config_parse(text, file, plugins->catalog->abouts, errors);
	errors->unread = NULL;
	look_end(&l);
	if (l.has_failed || (config != NULL && settings_try(config, file, errors) < 0))
		config_free(&config);
	if (config == NULL)
		plugins_free(plugins);
	else
		plugins->stamp = stamp_files(plugins->catalog, config);
	return config;
}

void
plugins_free(struct plugins *p)
{
	catalog_free(&p->catalog);
	buf_free(&p->bytes);
}
