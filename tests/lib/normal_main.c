/* normal: what the rewriter makes of message files: `normal [-l] FILE…` prints one line a file, and writes
 * FILE.normal where it has rewritten it ("plain": it is read in one way, "settled": and would not be written otherwise); -l its leaves before that, as "  part|TYPE|NAME|CONTENT", or "reading|…"
 * for a further one, the latter two in hex. */
#include "relay/message/decode.h"
#include "tests/lib/normalising.h"

#include <stdio.h>
#include <sys/stat.h>

enum { ARENA_MOST = 640 * 1024 * 1024, OUT_MOST = 128 * 1024 * 1024 };

static char *
read_all(const char *path, size_t *n)
{
	FILE *file = fopen(path, "rbe");
	struct stat st;
	char *bytes;

	if (file == NULL || fstat(fileno(file), &st) < 0) {
		perror(path);
		return NULL;
	}
	bytes = mem_alloc((size_t)st.st_size + 1);
	*n = fread(bytes, 1, (size_t)st.st_size, file);
	(void)fclose(file); /* only read */
	return bytes;
}

static int
write_all(const char *path, struct span bytes)
{
	char name[4096];
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s.normal", path);
	file = fopen(name, "wbe");
	if (file == NULL || fwrite(bytes.p, 1, bytes.n, file) != bytes.n || fclose(file) != 0) {
		perror(name);
		return 1;
	}
	return 0;
}

static void
print_hex(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		printf("%02x", (unsigned char)s.p[i]);
}

static void
print_leaves(const struct mime_message *m)
{
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *p = &m->parts[i];

		if (p->is_multipart || p->is_message)
			continue;
		printf("  %s|%.*s|", p->is_reading ? "reading" : "part", SPAN_ARG(p->type));
		print_hex(p->filename);
		printf("|");
		print_hex(p->decoded);
		printf("\n");
	}
}

static int
look(const char *path, bool with_leaves)
{
	static struct normal made;
	struct buf text = BUF_INIT(1000), out = BUF_INIT(OUT_MOST);
	struct arena arena, memory;
	struct mime_message m;
	size_t n = 0, notices = 0;
	char *bytes = read_all(path, &n);
	int status = 0;

	if (bytes == NULL)
		return 1;
	arena_init(&arena, ARENA_MOST);
	arena_init(&memory, 4 * NORMAL_TEXT_MAX);
	mime_parse(span_of(bytes, n), NULL, &arena, &m);
	mime_anomalies(m.anomalies, &text);
	if (normal_is_plain(&m)) {
		printf("%s: %s: %.*s\n", path,
		    normalising_is_settled(span_of(bytes, n), &m) ? "settled" : "plain",
		    SPAN_ARG(buf_span(&text)));
	} else if (normal_make(span_of(bytes, n), &m, &memory, &made) == 0) {
		normalising_apply(span_of(bytes, n), &made, &out);
		for (size_t i = 0; i < made.n_cuts; i++)
			notices += made.cuts[i].notice != NORMAL_NO_NOTICE;
		printf("%s: rewritten, %zu cuts, %zu notices: %.*s\n", path, made.n_cuts, notices,
		    SPAN_ARG(buf_span(&text)));
		status = write_all(path, buf_span(&out));
	} else {
		printf(
		    "%s: impossible (%s): %.*s\n", path, made.why_not, SPAN_ARG(buf_span(&text)));
	}
	if (with_leaves)
		print_leaves(&m);
	buf_free(&text);
	buf_free(&out);
	arena_free(&memory);
	arena_free(&arena);
	mem_free(bytes);
	return status;
}

int
main(int argc, char **argv)
{
	bool with_leaves = argc > 1 && strcmp(argv[1], "-l") == 0;
	int status = 0;

	decode_warm_up();
	for (int i = with_leaves ? 2 : 1; i < argc; i++)
		status |= look(argv[i], with_leaves);
	return status;
}
