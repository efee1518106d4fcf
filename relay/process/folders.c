#include "relay/process/folders.h"
#include "relay/process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
make(const char *dir, const char *name, mode_t mode, unsigned owner, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s%s", dir, name[0] ? "/" : "", name) >=
	    (int)sizeof(path))
		return err_set(err, E_LIMIT, "%s: the path is too long", dir);
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return err_set(err, E_DENIED,
		    "cannot make %s: %m; make it yourself or choose another state_dir or run_dir",
		    path);
	if (geteuid() != 0)
		return 0;
	if (chown(path, owner, owner) < 0 || chmod(path, mode) < 0)
		return err_set(err, E_DENIED, "cannot hand %s to user %u: %m", path, owner);
	return 0;
}

int
folders_make(const struct config *config, struct err *err)
{
	const struct {
		const char *dir, *name;
		mode_t mode;
		unsigned owner;
	} wanted[] = {
	    {config->state_dir, "", 0755, 0},
	    {config->state_dir, "lists", 0755, 0},
	    {config->state_dir, "spool", 0700, sandbox_uid(SANDBOX_SPOOL)},
	    {config->state_dir, "quarantine", 0700, sandbox_uid(SANDBOX_SPOOL)},
	    {config->state_dir, "journal", 0700, sandbox_uid(SANDBOX_JOURNAL)},
	    {config->run_dir, "", 0755, 0},
	    {config->run_dir, "filter", 0700, sandbox_uid(SANDBOX_ZYGOTE)},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		r = make(wanted[i].dir, wanted[i].name, wanted[i].mode, wanted[i].owner, err);
	return r;
}

int
folders_lock(const struct config *config, struct err *err)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/lock", config->state_dir) >= (int)sizeof(path))
		return err_set(err, E_LIMIT, "%s: the path is too long", config->state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(
		    err, E_DENIED, "cannot write in %s: %m; give us the folder", config->state_dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		(void)close(fd); /* not ours */
		return err_set(err, E_EXISTS,
		    "another relay runs on %s; stop it or choose another state_dir",
		    config->state_dir);
	}
	return 0; /* held until we end */
}
