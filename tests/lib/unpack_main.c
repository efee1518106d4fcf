/* unpack: what the walk through archives makes of files, as if each were an attachment: `unpack FILE…`
 * prints a line for each item. */
#include "filters/unpack/unpack.h"
#include "filters/unpack/kind.h"

#include <stdio.h>
#include <sys/stat.h>

enum { ARENA_MOST = 32 * 1024 * 1024 };

static void
print_flags(unsigned flags)
{
	static const char *const names[] = {"encrypted", "macro", "broken", "limit", "archive"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags & 1u << i)
			printf(" %s", names[i]);
	printf("\n");
}

static int
look(const char *path)
{
	struct mime_part part = {.type = SPAN("application/octet-stream")};
	struct mime_message message = {.parts = &part, .n_parts = 1};
	struct stat st;
	char *bytes;
	FILE *file = fopen(path, "rbe");
	struct unpack found;
	struct arena arena;

	if (file == NULL || fstat(fileno(file), &st) < 0) {
		perror(path);
		return 1;
	}
	bytes = mem_alloc((size_t)st.st_size + 1);
	part.filename = span_str(path);
	part.raw = part.decoded = span_of(bytes, fread(bytes, 1, (size_t)st.st_size, file));
	(void)fclose(file); /* only read */
	arena_init(&arena, ARENA_MOST);
	unpack_message(&message, &arena, &found);
	for (size_t i = 0; i < found.n; i++) {
		const struct unpack_item *item = &found.items[i];

		printf("%*s%.*s: %.*s, %llu bytes;", (int)item->depth * 2, "", SPAN_ARG(item->name),
		    SPAN_ARG(item->type), (unsigned long long)item->size);
		print_flags(item->flags);
	}
	printf("%s: %zu items;", path, found.n);
	print_flags(found.flags);
	arena_free(&arena);
	mem_free(bytes);
	return 0;
}

int
main(int argc, char **argv)
{
	struct err err = {0};
	int status = 0;

	if (kind_load(&err) < 0)
		fprintf(stderr, "%s\n", err.text);
	for (int i = 1; i < argc; i++)
		status |= look(argv[i]);
	return status;
}
