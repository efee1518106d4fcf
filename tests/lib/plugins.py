"""Filters as shared objects, compiled by the test with the installed header alone."""

import os
import re
import subprocess

import tree

# Does what the header field X-Trouble of the message asks for; says "bad" to X-Bad.  With "switch" that
# is what stands in the file SWITCH at that moment, "fine" for nothing; "all hang" there is for every message.
TROUBLE = r"""
#include <fcntl.h>
#include <postern_filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct pnf_host *host;
static char trouble[32];
static int is_bad;
static const char no_trouble[sizeof(trouble)];
static const char *trouble_now = no_trouble; /* what "switch" stands for */

static const struct pnf_outcome outcomes[] = {{"bad", "reject", "it said so"}, {0}};
static const struct pnf_option options[] = {{0}};
static const struct pnf_about about = {.name = "NAME", .version = "1", .summary = "makes trouble",
    .needs = PNF_NEEDS_TMPDIR, .outcomes = outcomes, .options = options};

static int
load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t n)
{
	(void)c, (void)self, (void)why, (void)n;
	host = h;
#ifdef SWITCH
	/* A worker keeps no descriptors of its zygote's, but the memory. */
	trouble_now = mmap(NULL, sizeof(trouble), PROT_READ, MAP_SHARED, open(SWITCH, O_RDONLY), 0);
	if (trouble_now == MAP_FAILED)
		return PNF_BROKEN;
#endif
	return PNF_LOADED;
}

static void
on_connect(void *self, struct pnf_msg *m, const struct pnf_client *c)
{
	(void)self, (void)m, (void)c;
	trouble[0] = '\0';
	is_bad = 0;
}

static int
is_named(const struct pnf_header *h, const char *name)
{
	return h->name.n == strlen(name) && memcmp(h->name.p, name, h->name.n) == 0;
}

static void
on_header(void *self, struct pnf_msg *m, const struct pnf_header *h)
{
	(void)self, (void)m;
	if (is_named(h, "X-Bad"))
		is_bad = 1;
	if (!is_named(h, "X-Trouble") || h->decoded.n >= sizeof(trouble))
		return;
	memcpy(trouble, h->decoded.p, h->decoded.n);
	trouble[h->decoded.n] = '\0';
}

static int
sink(int depth)
{
	volatile char room[65536];

	room[depth % 65536] = (char)depth;
	return depth < 1 << 30 ? sink(depth + 1) + room[depth % 65536] : 0;
}

/* Dies as it would without a sanitizer, whose report would read like one about Postern. */
static void
die_silently(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], SIG_DFL);
}

/* For whoever comes after it: folders in folders in folders. */
static void
build_labyrinth(const char *tmpdir)
{
	int fd = open(tmpdir, O_RDONLY | O_DIRECTORY);

	for (int i = 0; i < 300 && fd >= 0; i++) {
		int next = mkdirat(fd, "x", 0700) < 0 ? -1 : openat(fd, "x", O_RDONLY | O_DIRECTORY);

		close(fd);
		fd = next;
	}
}

/* Folders of all workers, its own too, which nobody may enter. */
static void
close_folders(const char *tmpdir)
{
	char path[512];

	for (int i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "%s/../%d", tmpdir, i);
		(void)!chmod(path, 0);
	}
}

static void
on_eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
	static const struct pnf_span why = {"so it was", 9};

	(void)self, (void)raw;
	if (strcmp(trouble, "switch") == 0) {
		memcpy(trouble, trouble_now, sizeof(trouble) - 1);
		is_bad = strcmp(trouble, "bad") == 0;
	}
	if (strncmp(trouble_now, "all ", 4) == 0)
		memcpy(trouble, trouble_now + 4, sizeof(trouble) - 5);
	if (trouble[0] != '\0')
		die_silently();
	if (strcmp(trouble, "crash") == 0)
		*(volatile int *)8 = 1;
	else if (strcmp(trouble, "abort") == 0)
		abort();
	else if (strcmp(trouble, "exit") == 0)
		exit(0);
	else if (strcmp(trouble, "hang") == 0)
		for (;;)
			sleep(1);
	else if (strcmp(trouble, "spin") == 0)
		for (volatile unsigned i = 0;; i++)
			;
	else if (strcmp(trouble, "memory") == 0)
		for (;;) { /* not malloc: a sanitizer's would report that it is at the end */
			void *more = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			if (more == MAP_FAILED)
				abort();
			memset(more, 1, 64 << 20);
		}
	else if (strcmp(trouble, "stack") == 0)
		is_bad = sink(0);
	else if (strcmp(trouble, "network") == 0)
		(void)!socket(AF_INET, SOCK_STREAM, 0);
	else if (strcmp(trouble, "fork") == 0)
		(void)!fork();
	else if (strcmp(trouble, "exec") == 0)
		execl("/bin/true", "true", (char *)0);
	else if (strcmp(trouble, "kill") == 0)
		(void)kill(getppid(), SIGKILL);
	else if (strcmp(trouble, "labyrinth") == 0) {
		build_labyrinth(host->tmpdir(m));
		abort();
	} else if (strcmp(trouble, "closed") == 0) {
		close_folders(host->tmpdir(m));
		abort();
	} else if (strcmp(trouble, "log") == 0) {
		(void)!ftruncate(2, 0);
		abort();
	} else if (strcmp(trouble, "shared") == 0)
		(void)mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	else if (strcmp(trouble, "failure") == 0)
		(void)host->outcome(m, "failure", why);
	if (is_bad)
		(void)host->outcome(m, "bad", why);
}

PNF_PLUGIN(.about = &about, .load = load, .connect = on_connect, .header = on_header, .eom = on_eom);
"""

KINDS = ("crash", "abort", "exit", "hang", "spin", "memory", "stack", "network", "fork", "exec", "kill", "failure")
# What one that was taken over might do to those beside it and after it.
OWNED = ("labyrinth", "closed", "log", "shared")


def include_folder(folder):
    """A folder with what `make install` puts into include/, and nothing else of the tree."""
    target = os.path.join(folder, "installed")
    if not os.path.isdir(target):
        made = subprocess.run(["make", "--no-print-directory", "-s", "install-header", f"DESTDIR={target}", "PREFIX=/usr"],
                              cwd=tree.ROOT, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise AssertionError(made.stderr)
    return os.path.join(target, "usr", "include")


def build(folder, name, source, *flags):
    """Compiles `source` to FOLDER/plugins/NAME.so; the path of the plugin folder."""
    plugins = os.path.join(folder, "plugins")
    os.makedirs(plugins, exist_ok=True)
    os.chmod(plugins, 0o755)
    c = os.path.join(folder, f"{name}.c")
    with open(c, "w", encoding="utf-8") as f:
        f.write(source)
    made = subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Wno-infinite-recursion", *flags, "-I",
                           include_folder(folder), "-o", os.path.join(plugins, f"{name}.so"), c],
                          cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode != 0 or made.stderr:
        raise AssertionError(f"compiling {name}.c:\n{made.stderr}")
    os.chmod(os.path.join(plugins, f"{name}.so"), 0o644)
    return plugins


def trouble(folder, name="trouble"):
    return build(folder, name, TROUBLE.replace("NAME", name))


class Switch:
    """A trouble filter that does what the test says at that moment, to mail with X-Trouble: switch."""

    HEADER = "X-Trouble: switch\n"

    def __init__(self, folder, trouble="fine"):
        self.path = os.path.join(folder, "switch")
        self.set(trouble)
        self.plugins = build(folder, "trouble", TROUBLE.replace("NAME", "trouble"), f'-DSWITCH="{self.path}"')

    def set(self, trouble):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:  # in place: the filter has it mapped
            f.write(trouble.encode().ljust(32, b"\0"))
        os.chmod(self.path, 0o644)


def guide_example():
    """The complete filter of docs/filter-guide.md, as it stands there."""
    with open(os.path.join(tree.ROOT, "docs", "filter-guide.md"), encoding="utf-8") as f:
        return re.search(r"```c\n(.*?)```", f.read(), re.S).group(1)
