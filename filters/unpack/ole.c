#include "filters/unpack/ole.h"

/* MS-CFB section 2.2 and 2.6.1. */
enum {
	HEADER_BYTES = 512,
	SHIFT_AT = 30,
	DIRECTORY_AT = 48,
	DIFAT_NEXT_AT = 68,
	DIFAT_AT = 76,
	DIFAT_HEADER_N = 109,
	ENTRY_BYTES = 128,
	ENTRY_NAME_MAX = 32,
	ENTRY_NAME_LENGTH_AT = 64,
	ENTRY_KIND_AT = 66
};

#define SECTOR_LAST 0xFFFFFFFAu /* higher numbers are marks: the end, free, … */

struct file {
	struct span bytes;
	size_t sector;            /* bytes of one */
	uint32_t difat_sector[2]; /* one remembered: its ordinal and number */
};

static uint32_t
get_u32(struct span s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;

	if (at + 4 > s.n)
		return UINT32_MAX;
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t
get_u16(struct span s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.p + at;

	if (at + 2 > s.n)
		return 0;
	return (uint16_t)(p[0] | p[1] << 8);
}

/* Where a sector begins; past the end for a number that is none. */
static size_t
sector_at(const struct file *f, uint32_t number)
{
	if (number > SECTOR_LAST || number > f->bytes.n / f->sector)
		return f->bytes.n;
	return ((size_t)number + 1) * f->sector;
}

/* The sector that holds the n-th part of the allocation table. */
static uint32_t
table_sector(struct file *f, size_t n)
{
	size_t each = f->sector / 4 - 1, ordinal;
	uint32_t at;

	if (n < DIFAT_HEADER_N)
		return get_u32(f->bytes, DIFAT_AT + n * 4);
	ordinal = (n - DIFAT_HEADER_N) / each;
	if (ordinal > OLE_SECTORS_MAX)
		return UINT32_MAX;
	if (f->difat_sector[1] == UINT32_MAX || f->difat_sector[0] > ordinal) {
		f->difat_sector[0] = 0;
		f->difat_sector[1] = get_u32(f->bytes, DIFAT_NEXT_AT);
	}
	for (; f->difat_sector[0] < ordinal; f->difat_sector[0]++) {
		at = f->difat_sector[1];
		f->difat_sector[1] = get_u32(f->bytes, sector_at(f, at) + each * 4);
		if (f->difat_sector[1] > SECTOR_LAST)
			return UINT32_MAX;
	}
	return get_u32(
	    f->bytes, sector_at(f, f->difat_sector[1]) + (n - DIFAT_HEADER_N) % each * 4);
}

static uint32_t
next_sector(struct file *f, uint32_t number)
{
	size_t each = f->sector / 4;

	return get_u32(f->bytes, sector_at(f, table_sector(f, number / each)) + number % each * 4);
}

/* The name of an entry in ASCII, what is not as '?'. */
static struct span
entry_name(struct span entry, char to[ENTRY_NAME_MAX])
{
	size_t n = get_u16(entry, ENTRY_NAME_LENGTH_AT) / 2u, i;

	if (n > ENTRY_NAME_MAX)
		n = ENTRY_NAME_MAX;
	for (i = 0; i < n; i++) {
		uint16_t c = get_u16(entry, i * 2);

		if (c == 0)
			break;
		to[i] = c < 0x80 ? (char)c : '?';
	}
	return span_of(to, i);
}

static void
judge(struct ole_found *found, struct span name)
{
	static const char *const macro[] = {
	    "VBA", "_VBA_PROJECT", "_VBA_PROJECT_CUR", "Macros", "VBA_PROJECT", NULL};
	static const char *const encrypted[] = {
	    "EncryptedPackage", "EncryptionInfo", "EncryptedSummary", NULL};

	for (size_t i = 0; macro[i] != NULL; i++)
		found->has_macro |= span_eq_nocase(name, span_str(macro[i]));
	for (size_t i = 0; encrypted[i] != NULL; i++)
		found->is_encrypted |= span_eq_nocase(name, span_str(encrypted[i]));
}

struct ole_found
ole_look(struct span bytes)
{
	struct file f = {.bytes = bytes, .difat_sector = {0, UINT32_MAX}};
	struct ole_found found = {.is_ole = false};
	size_t entries = 0, sectors = 0;
	uint32_t number;
	uint16_t shift;

	if (!span_starts(bytes, SPAN("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")))
		return found;
	found.is_ole = true;
	shift = get_u16(bytes, SHIFT_AT);
	if (bytes.n < HEADER_BYTES || (shift != 9 && shift != 12)) {
		found.is_broken = true;
		return found;
	}
	f.sector = (size_t)1 << shift;
	number = get_u32(bytes, DIRECTORY_AT);
	while (number <= SECTOR_LAST && sectors++ < OLE_SECTORS_MAX) {
		struct span sector = span_take(span_skip(bytes, sector_at(&f, number)), f.sector);

		if (sector.n < ENTRY_BYTES)
			break;
		for (; sector.n >= ENTRY_BYTES && entries < OLE_ENTRIES_MAX; entries++) {
			char name[ENTRY_NAME_MAX];

			if (sector.p[ENTRY_KIND_AT] != 0)
				judge(&found, entry_name(sector, name));
			sector = span_skip(sector, ENTRY_BYTES);
		}
		number = next_sector(&f, number);
	}
	found.is_broken = number != 0xFFFFFFFEu; /* the end of the chain */
	return found;
}
