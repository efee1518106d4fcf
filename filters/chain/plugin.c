#include "filters/chain/plugin.h"
#include "filters/chain/abi.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int
check_mode(const char *path, const struct stat *st, bool may_be_sticky, struct err *err)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, E_DENIED,
		    "%s belongs to user %u, who could change it; give it to root", path,
		    (unsigned)st->st_uid);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(may_be_sticky && (st->st_mode & S_ISVTX)))
		return err_set(err, E_DENIED,
		    "%s can be written by others (mode %04o); run chmod go-w on it", path,
		    (unsigned)st->st_mode & 07777);
	return 0;
}

int
plugin_check_folder(const char *path, struct err *err)
{
	char real[PATH_MAX];
	struct stat st;
	bool is_last = true;

	if (realpath(path, real) == NULL || stat(real, &st) < 0)
		return err_set(err, E_NOT_FOUND,
		    "%s cannot be read (%m); make the folder, or remove the word plugins", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, E_NOT_FOUND, "%s is not a folder; name one", path);
	for (;;) {
		size_t slash = span_rfind(span_str(real), '/');

		if (stat(real, &st) < 0)
			return err_set(err, E_NOT_FOUND, "%s cannot be read: %m", real);
		if (check_mode(real, &st, !is_last, err) < 0)
			return -err->code;
		if (real[1] == '\0')
			return 0;
		is_last = false;
		real[slash > 0 ? slash : 1] = '\0';
	}
}

static int
join(char path[PATH_MAX], const char *folder, const char *file, struct err *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, file) >= PATH_MAX)
		return err_set(err, E_LIMIT, "%s/%s is too long a name", folder, file);
	return 0;
}

int
plugin_check_file(const char *folder, const char *file, struct err *err)
{
	char path[PATH_MAX];
	struct stat st;

	if (join(path, folder, file, err) < 0)
		return -err->code;
	if (lstat(path, &st) < 0)
		return err_set(err, E_NOT_FOUND, "%s cannot be read: %m", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, E_DENIED,
		    "%s is not a file of its own; put the plugin itself there, no link", path);
	return check_mode(path, &st, false, err);
}

int
plugin_open(const char *folder, const char *file, struct pnf_filter *filter, struct err *err)
{
	char path[PATH_MAX];
	const void *symbol;
	void *object;

	if (join(path, folder, file, err) < 0)
		return -err->code;
	if (access(path, R_OK) < 0)
		return err_set(err, E_DENIED,
		    "%s cannot be read by the user who filters: %m; chmod a+r", path);
	/* All of it now: what is missing must not show in the middle of a message. */
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (object == NULL)
		return err_set(err, E_IO,
		    "%s cannot be loaded: %s; compile it with cc -shared -fPIC, and name the "
		    "libraries it needs",
		    path, dlerror());
	symbol = dlsym(object, "postern_filter");
	if (symbol == NULL)
		return err_set(err, E_SYNTAX,
		    "%s has no symbol postern_filter; define the filter with PNF_PLUGIN", path);
	if (abi_accept(symbol, filter, err) < 0)
		return err_add(err, "%s", path);
	return 0;
}
