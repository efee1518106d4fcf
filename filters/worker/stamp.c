#include "filters/worker/stamp.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/stat.h>

#define START 14695981039346656037ull /* of FNV-1a */

static uint64_t
mix(uint64_t h, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) /* FNV-1a */
		h = (h ^ ((const unsigned char *)bytes)[i]) * 1099511628211ull;
	return h;
}

static uint64_t
mix_stat(uint64_t h, const struct stat *st)
{
	h = mix(h, &st->st_size, sizeof(st->st_size));
	h = mix(h, &st->st_mtim, sizeof(st->st_mtim));
	return mix(h, &st->st_ino, sizeof(st->st_ino)); /* written anew within one tick */
}

uint64_t
stamp_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return mix_stat(START, &st);
}

uint64_t
stamp_folder(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	uint64_t sum = 1;
	struct stat st;

	if (dir == NULL)
		return 0;
	while ((e = readdir(dir)) != NULL) {
		uint64_t h = START;
		size_t n = 0;

		if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
			continue;
		while (e->d_name[n] != '\0')
			n++;
		h = mix(h, e->d_name, n);
		sum += mix_stat(h, &st); /* in any order */
	}
	(void)closedir(dir); /* read only */
	return sum;
}
