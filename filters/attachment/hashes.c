#include "filters/attachment/hashes.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

struct sum {
	unsigned char bytes[HASH_BYTES];
};

struct hashes {
	struct sum *sums; /* sorted */
	size_t n, cap;
};

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, HASH_BYTES);
}

static bool
read_sum(struct span word, struct sum *to)
{
	if (word.n != 2 * HASH_BYTES)
		return false;
	for (size_t i = 0; i < HASH_BYTES; i++) {
		int high = char_hex(word.p[2 * i]), low = char_hex(word.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to->bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

int
hashes_parse(struct span text, const char *name, struct hashes **out, struct err *err)
{
	struct hashes *h = mem_alloc(sizeof(*h));
	size_t number = 0;

	text = span_skip_bom(text);
	while (text.n > 0) {
		struct span line = span_trim(span_cut(&text, '\n'));

		number++;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (h->n == h->cap) {
			h->cap = h->cap == 0 ? 64 : h->cap * 2;
			h->sums = mem_grow(h->sums, h->cap * sizeof(h->sums[0]));
		}
		if (!read_sum(span_word(&line), &h->sums[h->n])) {
			hashes_free(&h);
			return err_set(err, E_SYNTAX,
			    "%s:%zu: no SHA-256 sum; write 64 hexadecimal digits", name, number);
		}
		h->n++;
	}
	if (h->n > 0)
		qsort(h->sums, h->n, sizeof(h->sums[0]), compare);
	*out = h;
	return 0;
}

int
hashes_load(const char *path, struct hashes **out, struct err *err)
{
	struct buf text = BUF_INIT(HASHES_FILE_MAX);
	FILE *file = fopen(path, "re");
	char *room;
	size_t n = 1;
	int r;

	if (file == NULL)
		return err_set(
		    err, E_NOT_FOUND, "cannot read %s: %m; make it, or take out hashes", path);
	while (n > 0 && (room = buf_room(&text, 65536)) != NULL) {
		n = fread(room, 1, 65536, file);
		text.n += n;
	}
	r = ferror(file) || n > 0
		? err_set(err, E_NOT_FOUND, "cannot read %s, or it is over %d bytes", path,
		      HASHES_FILE_MAX)
		: hashes_parse(buf_span(&text), path, out, err);
	(void)fclose(file); /* only read */
	buf_free(&text);
	return r;
}

void
hashes_free(struct hashes **h)
{
	if (*h == NULL)
		return;
	mem_free((*h)->sums);
	mem_free(*h);
	*h = NULL;
}

size_t
hashes_count(const struct hashes *h)
{
	return h->n;
}

bool
hashes_have(const struct hashes *h, const unsigned char sum[HASH_BYTES])
{
	return h->n > 0 && bsearch(sum, h->sums, h->n, sizeof(h->sums[0]), compare) != NULL;
}
