/*
 * about FOLDER FILE: loads one plugin and writes what it says of itself to descriptor 3.
 *
 * Started by whoever reads a configuration (relay/process/plugins.c).  The plugin's constructors run
 * here, as the filter role's user, without network, processes, or files but libraries.
 * Exit status 0: the bytes of catalog_put_plugin; 1: what is wrong and what would be right.
 */
#include "filters/chain/catalog.h"
#include "filters/chain/plugin.h"
#include "relay/process/plugins.h"
#include "relay/process/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CPU_SECONDS = 8 };

static int
tell(int status, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(PLUGINS_ANSWER_FD, s.p, s.n);

		if (n <= 0)
			return EXIT_TEMPFAIL; /* nobody listens */
		s = span_skip(s, (size_t)n);
	}
	return status;
}

static int
enter(const char *folder, struct err *err)
{
	const struct sandbox_path paths[] = {{folder, SANDBOX_READ}, {"/lib", SANDBOX_READ},
	    {"/lib64", SANDBOX_READ}, {"/usr/lib", SANDBOX_READ}, {"/usr/local/lib", SANDBOX_READ},
	    {0}};
	const struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS}, none = {0, 0};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* these three make it smaller, if they can */
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)setrlimit(RLIMIT_CORE, &none);
	if (sandbox_drop_user(SANDBOX_ABOUT, err) < 0 ||
	    sandbox_enter(SANDBOX_ABOUT, paths, err) < 0)
		return -err->code;
	return 0;
}

int
main(int argc, char **argv)
{
	struct pnf_filter filter;
	struct buf answer = BUF_INIT(PLUGINS_ANSWER_MAX);
	struct err err = {0};

	if (argc != 3)
		die_with(EXIT_USAGE, "this program is started by the others");
	if (enter(argv[1], &err) < 0 || plugin_open(argv[1], argv[2], &filter, &err) < 0)
		_exit(tell(EXIT_NO, span_str(err.text)));
	catalog_put_plugin(&answer, argv[2], filter.about);
	/* Not exit: what the plugin wants done at the end is nothing we ask for. */
	_exit(tell(answer.failed ? EXIT_NO : EXIT_OK, buf_span(&answer)));
}
