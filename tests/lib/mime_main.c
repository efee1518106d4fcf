/* mime: what the parser makes of message files: `mime [-v] FILE…` prints one line a file, its parts and
 * its anomalies; -v each part too. */
#include "relay/message/decode.h"
#include "relay/message/mime.h"

#include <stdio.h>
#include <sys/stat.h>

enum { ARENA_MOST = 640 * 1024 * 1024 };

static void
print_parts(const struct mime_message *m)
{
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *p = &m->parts[i];

		printf("  %zu in %u%s %.*s, %zu bytes decoded, name '%.*s' (%zu)\n", i, p->parent,
		    p->is_reading ? " reading" : "", SPAN_ARG(p->type), p->decoded.n,
		    SPAN_ARG(p->filename), p->n_names);
	}
}

static int
look(const char *path, bool is_verbose)
{
	struct mime_message m;
	struct arena arena;
	struct buf text = BUF_INIT(1000);
	FILE *file = fopen(path, "rbe");
	struct stat st;
	char *bytes;
	size_t n;

	if (file == NULL || fstat(fileno(file), &st) < 0) {
		perror(path);
		return 1;
	}
	bytes = mem_alloc((size_t)st.st_size + 1);
	n = fread(bytes, 1, (size_t)st.st_size, file);
	(void)fclose(file); /* only read */
	arena_init(&arena, ARENA_MOST);
	mime_parse(span_of(bytes, n), NULL, &arena, &m);
	mime_anomalies(m.anomalies, &text);
	printf("%s: %s%s%zu parts; %.*s\n", path, mime_is_malformed(&m) ? "MALFORMED " : "",
	    mime_is_truncated(&m) ? "UNSCANNABLE " : "", m.n_parts, SPAN_ARG(buf_span(&text)));
	if (is_verbose)
		print_parts(&m);
	buf_free(&text);
	arena_free(&arena);
	mem_free(bytes);
	return 0;
}

int
main(int argc, char **argv)
{
	bool is_verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	int status = 0;

	decode_warm_up();
	for (int i = is_verbose ? 2 : 1; i < argc; i++)
		status |= look(argv[i], is_verbose);
	return status;
}
