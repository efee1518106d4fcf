/*
 * scan_loop - the bare loop that the relay is compared to: libclamav and nothing else.
 *
 *     scan_loop DATABASES CORPUS TMPDIR PROCESSES
 *
 * Loads as the filter `clamav` does (the same limits and options), then obeys lines on its standard
 * input: "scan N" forks PROCESSES and has them scan the first N messages of CORPUS (length, line end,
 * bytes; again from the start when there are fewer) with cl_scanmap_callback from memory, "fork N"
 * forks N times, "share" does with its memory what the zygote does.  Each answers with one line of JSON.
 */
#include "filters/worker/share.h"
#include "relay/base/err.h"
#include "tests/lib/corpus.h"

#include <clamav.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 64, LINE_MAX_BYTES = 128, PATH_BYTES = 512 };

/* What the processes share. */
struct common {
	_Atomic uint64_t next, n_found, n_failed;
};

static struct common *common;
static struct cl_engine *engine;
static struct span *messages;
static size_t n_messages;
static const char *tmpdir;
static unsigned n_processes;

static int64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* As limits_set and signatures_load of filters/antivirus/engine.c, with clamav_about.c's defaults. */
static void
engine_load(const char *databases)
{
	static const struct {
		enum cl_engine_field field;
		long long value;
	} numbers[] = {{CL_ENGINE_DISABLE_CACHE, 1},
	    {CL_ENGINE_BYTECODE_MODE, CL_BYTECODE_MODE_INTERPRETER},
	    {CL_ENGINE_DISABLE_PE_STATS, 1}, {CL_ENGINE_MAX_SCANSIZE, 400LL << 20},
	    {CL_ENGINE_MAX_FILESIZE, 100LL << 20}, {CL_ENGINE_MAX_RECURSION, 17},
	    {CL_ENGINE_MAX_FILES, 10000}, {CL_ENGINE_MAX_SCANTIME, 45000}};
	unsigned n = 0;

	if (cl_init(CL_INIT_DEFAULT) != CL_SUCCESS || (engine = cl_engine_new()) == NULL)
		die("libclamav does not start");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		must(cl_engine_set_num(engine, numbers[i].field, numbers[i].value) == CL_SUCCESS);
	must(cl_engine_set_str(engine, CL_ENGINE_TMPDIR, tmpdir) == CL_SUCCESS);
	if (cl_load(databases, engine, &n, CL_DB_PHISHING | CL_DB_BYTECODE) != CL_SUCCESS ||
	    cl_engine_compile(engine) != CL_SUCCESS)
		die("%s: cannot be loaded", databases);
	(void)fprintf(stderr, "%u signatures\n", n);
}

/* As engine_look does. */
static void
scan_one(struct span bytes)
{
	struct cl_scan_options options = {
	    .general = CL_SCAN_GENERAL_HEURISTICS,
	    .parse = ~0u,
	    .heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
			 CL_SCAN_HEURISTIC_ENCRYPTED_DOC | CL_SCAN_HEURISTIC_MACROS,
	};
	const char *virus = NULL;
	cl_fmap_t *map = cl_fmap_open_memory(bytes.p, bytes.n);
	cl_error_t r;

	must(map != NULL);
	r = cl_scanmap_callback(map, NULL, &virus, NULL, engine, &options, NULL);
	cl_fmap_close(map);
	if (r == CL_VIRUS)
		atomic_fetch_add(&common->n_found, 1);
	else if (r != CL_CLEAN)
		atomic_fetch_add(&common->n_failed, 1);
}

static void __attribute__((noreturn)) be_scanner(unsigned i, uint64_t n)
{
	char path[PATH_BYTES];
	uint64_t at;

	must(snprintf(path, sizeof(path), "%s/%u", tmpdir, i) < (int)sizeof(path));
	(void)mkdir(path, 0700); /* there already, or the scans fail */
	must(cl_engine_set_str(engine, CL_ENGINE_TMPDIR, path) == CL_SUCCESS);
	/* As workers do: libclamav allocates and frees large tables for every layer. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	while ((at = atomic_fetch_add(&common->next, 1)) < n)
		scan_one(messages[at % n_messages]);
	_exit(0);
}

static double
cpu_of_children(void)
{
	struct rusage use;

	(void)getrusage(RUSAGE_CHILDREN, &use); /* cannot fail */
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void
wait_all(void)
{
	int status;

	while (wait(&status) > 0)
		if (status != 0)
			die("a scanner ended with %d", status);
}

static void
scan(uint64_t n)
{
	double cpu_s = cpu_of_children(), seconds;
	int64_t begun_ns = now_ns();

	*common = (struct common){0};
	for (unsigned i = 0; i < n_processes; i++) {
		pid_t pid = fork();

		must(pid >= 0);
		if (pid == 0)
			be_scanner(i, n);
	}
	wait_all();
	seconds = (double)(now_ns() - begun_ns) / 1e9;
	(void)printf("{\"rate\":%.1f,\"cpu_s\":%.4f,\"found\":%" PRIu64 ",\"failed\":%" PRIu64
		     "}\n",
	    (double)n / seconds, (cpu_of_children() - cpu_s) * 1000 / (double)n,
	    atomic_load(&common->n_found), atomic_load(&common->n_failed));
}

static void
time_forks(uint64_t n)
{
	int64_t forks_ns = 0;

	for (uint64_t i = 0; i < n; i++) {
		int64_t begun_ns = now_ns();
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		forks_ns += now_ns() - begun_ns;
		wait_all();
	}
	(void)printf("{\"fork_ms\":%.3f}\n", (double)forks_ns / (double)n / 1e6);
}

static void
obey(struct span line)
{
	struct span word = span_cut(&line, ' ');
	uint64_t n;

	if (span_eq(word, SPAN("share"))) {
		share_memory();
		(void)printf("{}\n");
	} else if (!span_to_u64(line, &n) || n == 0) {
		die("scan N, fork N or share");
	} else if (span_eq(word, SPAN("scan"))) {
		scan(n);
	} else {
		time_forks(n);
	}
	(void)fflush(stdout); /* whoever asked has gone when it fails */
}

int
main(int argc, char **argv)
{
	char line[LINE_MAX_BYTES];
	uint64_t n;

	if (argc != 5 || !span_to_u64(span_str(argv[4]), &n) || n == 0 || n > PROCESSES_MAX)
		die_with(EXIT_USAGE, "see the head of scan_loop_main.c");
	n_processes = (unsigned)n;
	tmpdir = argv[3];
	common =
	    mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(common != MAP_FAILED);
	n_messages = corpus_read(argv[2], &messages);
	engine_load(argv[1]);
	while (fgets(line, sizeof(line), stdin) != NULL)
		obey(span_trim(span_str(line)));
	return EXIT_OK; /* the engine ends with the process */
}
