/*
 * Two files of arbitrary bytes as a spool folder: recovery must not crash, and what it yields can
 * be settled for good.  The first byte chooses how much is put right, so that the inside is
 * reached: bit 0 the headers, bit 1 the nonces and CRCs of what stands where records would.
 */
#include "relay/base/log.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/record.h"
#include "relay/spool/segment.h"
#include "tests/lib/memfs.h"
#include "relay/spool/spool.h"

enum { SEGMENT = 16384, ROOM = SEGMENT - SEGMENT_HEADER };

struct found {
	struct spool_message *messages[512];
	size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_recovered(
    void *arg, struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct found *found = arg;

	must(id.n <= SPOOL_ID_MAX && envelope.n <= SPOOL_ENVELOPE_MAX && note.n <= SPOOL_NOTE_MAX);
	must(found->n < 512);
	found->messages[found->n++] = m;
}

static void
on_committed(void *arg, uint64_t cookie, struct spool_message *m, const struct err *err)
{
	(void)arg;
	(void)cookie;
	(void)m;
	(void)err;
	must(false); /* nothing was put */
}

static void
put_crcs_right(unsigned char *bytes, const struct record *r)
{
	unsigned char *payload = bytes + RECORD_HEADER;
	uint64_t head = r->type == RECORD_VOID ? 0 : r->length;
	struct record_message m;
	uint32_t crc;

	if (r->type == RECORD_MSG &&
	    record_decode_message(span_of(payload, (size_t)r->length), r->length, &m) == 0) {
		head = record_message_head(&m);
		crc = crc32c(0, payload + head, (size_t)(r->length - head));
		record_store_u32(payload + RECORD_BODY_CRC_AT, crc);
	}
	crc = crc32c(record_crc_of_header(bytes), payload, (size_t)head);
	record_set_crc(bytes, crc);
}

/* Makes records of what stands there: a length that fits, the nonce, the CRCs. */
static void
put_right(unsigned char *bytes, size_t n, uint64_t nonce)
{
	size_t at = 0;

	while (at + RECORD_HEADER <= n) {
		struct record r;

		record_store_u64(bytes + at, nonce);
		if (!record_decode(bytes + at, &r) || r.length > n - at - RECORD_HEADER)
			return;
		put_crcs_right(bytes + at, &r);
		at += (size_t)record_size(r.length);
	}
}

static void
make_file(struct memfs *fs, int file, enum segment_kind kind, const uint8_t *data, size_t n,
    unsigned mode)
{
	struct segment_header h = {
	    .kind = kind, .number = (uint64_t)file, .nonce = 77, .first_serial = 1};
	char name[SEGMENT_NAME_SIZE];
	unsigned char block[SEGMENT] = {0};
	int fd;

	if (n > ROOM)
		n = ROOM;
	if ((mode & 1) != 0)
		segment_encode(&h, block);
	else if (n > 0)
		memcpy(block, data, n < SEGMENT_HEADER ? n : SEGMENT_HEADER);
	if (n > 0)
		memcpy(block + SEGMENT_HEADER, data, n);
	if ((mode & 2) != 0)
		put_right(block + SEGMENT_HEADER, ROOM, h.nonce);
	segment_name((uint64_t)file, name);
	fd = memfs_open_file(fs, MEMFS_DIR, name, true);
	memfs_put(&fs->files[fd], block, sizeof(block), 0);
	memfs_close_fd(fs, fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct spool_events events = {.on_recovered = on_recovered, .on_committed = on_committed};
	struct memfs *fs = memfs_new(3);
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &fs->io};
	struct loop *loop = loop_new();
	struct found found = {.n = 0};
	struct err err = {0};
	struct spool *s;
	size_t half;

	log_setup("fuzz", false, (enum log_level)(LOG_ERROR + 1));
	if (n > 2) {
		half = 2 + (n - 2) * data[1] / 255;
		make_file(fs, 1, SEGMENT_MESSAGES, data + 2, half - 2, data[0]);
		make_file(fs, 2, SEGMENT_NOTES, data + half, n - half, data[0]);
	}
	s = spool_open(&options, loop, &events, &found, &err);
	must(s != NULL);
	for (size_t i = 0; i < found.n; i++) {
		(void)spool_verify(s, found.messages[i]); /* a body may be bad behind a seal */
		spool_forget(s, &found.messages[i]);
	}
	spool_close(&s);
	found.n = 0;
	s = spool_open(&options, loop, &events, &found, &err);
	must(s != NULL && found.n == 0); /* settled is settled */
	spool_close(&s);
	loop_free(&loop);
	memfs_free(&fs);
	return 0;
}
