#include "filters/worker/share.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older headers do not name it */
#endif

enum {
	HUGE_PAGE = 2 * 1024 * 1024,
	SMALL_PAGE = 4096,
	PAGES = HUGE_PAGE / SMALL_PAGE,
	REGIONS_MAX = 256
};

/* Larger mappings are reservations (sanitizers'), not data. */
#define REGION_MAX ((uintptr_t)8 << 30)

struct region {
	uintptr_t start, end;
};

/* Writable private anonymous regions, of /proc/self/maps. */
static size_t
regions_read(struct region *to, size_t max)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	size_t n = 0;

	if (f == NULL)
		return 0;
	while (n < max && fgets(line, sizeof(line), f) != NULL) {
		unsigned long start, end, inode;
		char rights[5], device[16];

		if (sscanf(line, "%lx-%lx %4s %*s %15s %lu", &start, &end, rights, device,
			&inode) != 5)
			continue;
		if (strcmp(rights, "rw-p") == 0 && inode == 0 && end - start >= HUGE_PAGE &&
		    end - start <= REGION_MAX && strstr(line, "[stack]") == NULL)
			to[n++] = (struct region){start, end};
	}
	(void)fclose(f); /* read only */
	return n;
}

/* Mostly resident: collapsing an empty block would only waste memory. */
static int
is_filled(void *block)
{
	unsigned char resident[PAGES];
	size_t n = 0;

	if (mincore(block, HUGE_PAGE, resident) < 0)
		return 0;
	for (size_t i = 0; i < PAGES; i++)
		n += resident[i] & 1;
	return n >= PAGES / 2;
}

void
share_memory(void)
{
	static struct region regions[REGIONS_MAX];
	size_t n;

	(void)malloc_trim(0); /* speed only, as all of this */
	n = regions_read(regions, REGIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		uintptr_t at = (regions[i].start + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);

		for (; at + HUGE_PAGE <= regions[i].end; at += HUGE_PAGE) {
			void *block = (void *)at; /* NOLINT: an address the kernel gave as text */

			if (!is_filled(block))
				continue;
			(void)madvise(block, HUGE_PAGE, MADV_HUGEPAGE);
			(void)madvise(block, HUGE_PAGE, MADV_COLLAPSE);
		}
	}
}
