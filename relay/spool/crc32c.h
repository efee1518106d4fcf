/*
 * crc32c.h - CRC-32C (Castagnoli; RFC 3720 section 12.1), by SSE4.2 where the processor has it.
 *
 * Pure and safe from any thread.
 */
#ifndef SPOOL_CRC32C_H
#define SPOOL_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* The CRC of what `crc` covers (0: nothing yet) followed by n bytes at p. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by table, whatever the processor offers. */
uint32_t crc32c_by_table(uint32_t crc, const void *p, size_t n);

#endif
