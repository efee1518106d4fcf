/*
 * record.h - the bytes of one log record.  Pure: no fd, no clock, no global.
 *
 *     u64 nonce    the segment's, drawn anew for each of its lives
 *     u64 length   of the payload
 *     u64 serial   of the message it is or speaks of (0 in SEAL)
 *     u32 type
 *     u32 crc32c   of the 28 bytes above and the payload (VOID: of the 28 bytes only; MSG: up to
 *                  the end of the envelope)
 *     payload, then up to 7 bytes that mean nothing: records begin at multiples of 8
 *
 *     MSG   u32 id, u32 envelope, u32 prefix (lengths), u32 crc32c of prefix and body, u64 body
 *           (length), then id, envelope, prefix, body: a recovery need not read bodies
 *     NOTE  u64 home, u64 former (numbers of segments that hold the message), then the note
 *     DONE  u64 home, u64 former
 *     SEAL  u64 number, u64 nonce, u64 end, u64 gaps: that segment's records end there, whatever
 *           follows, and so many bytes before are in no record
 *     VOID  bytes that never became a record
 */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H
#include "relay/base/span.h"

enum record_type { RECORD_MSG = 1, RECORD_NOTE, RECORD_DONE, RECORD_SEAL, RECORD_VOID };

enum {
	RECORD_HEADER = 32,
	RECORD_CRC_AT = 28,
	RECORD_ALIGN = 8,
	RECORD_LENGTHS = 24, /* the fixed start of a MSG payload */
	RECORD_BODY_CRC_AT = 12,
	RECORD_HOMES = 16, /* the fixed start of a NOTE payload, all of a DONE's */
	RECORD_SEAL_LENGTH = 32,
	RECORD_PEEK = 64 /* first bytes of a payload: enough for a MSG's lengths and id */
};

struct record {
	uint64_t nonce, length, serial;
	enum record_type type;
	uint32_t crc;
};

struct record_message {
	uint32_t id_n, envelope_n, prefix_n;
	uint64_t body_n;
	uint32_t body_crc; /* of prefix and body */
};

struct record_homes {
	uint64_t home, former; /* former 0: none */
};

struct record_seal {
	uint64_t number, nonce, end, gaps;
};

void record_encode(const struct record *r, unsigned char to[RECORD_HEADER]);
/* False: no header of ours (type, or a length that its type cannot have). The CRC is not looked
 * at: it needs the payload. */
bool record_decode(const unsigned char from[RECORD_HEADER], struct record *out);
/* The CRC over the part of an encoded header that it covers; go on over the payload. */
uint32_t record_crc_of_header(const unsigned char header[RECORD_HEADER]);
void record_set_crc(unsigned char header[RECORD_HEADER], uint32_t crc);
/* Bytes a record takes in a segment. */
uint64_t record_size(uint64_t length);

/* Payload bytes that the header's CRC covers; of a MSG those before the prefix. */
uint64_t record_message_head(const struct record_message *m);
/* Payload bytes of a message; its parts are within the limits of spool.h. */
uint64_t record_message_length(const struct record_message *m);
void record_encode_message(const struct record_message *m, unsigned char to[RECORD_LENGTHS]);
/* 0, or -E_CORRUPT: the lengths do not add up to `length` or pass a limit of spool.h. */
int record_decode_message(struct span start, uint64_t length, struct record_message *out);
void record_encode_homes(const struct record_homes *h, unsigned char to[RECORD_HOMES]);
int record_decode_homes(struct span start, struct record_homes *out);
void record_encode_seal(const struct record_seal *s, unsigned char to[RECORD_SEAL_LENGTH]);
int record_decode_seal(struct span start, struct record_seal *out);

/* Little-endian, for the two files that write the disk format. */
void record_store_u64(unsigned char *to, uint64_t value);
void record_store_u32(unsigned char *to, uint32_t value);

#endif
