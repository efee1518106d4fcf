/* ldap_bytes.h - an LDAP server's messages (RFC 4511) as bytes, for tests that are one. */
#ifndef TESTS_LDAP_BYTES_H
#define TESTS_LDAP_BYTES_H
#include "relay/base/err.h"
#include "relay/lookup/ldap_link.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
	LDAP_BIND_DONE = 0x61,
	LDAP_ENTRY = 0x64,
	LDAP_SEARCH_DONE = 0x65,
	LDAP_EXTENDED_DONE = 0x78
};

/* An LDAPResult with this code, or (LDAP_ENTRY) an entry without attributes. */
static inline void
ldap_bytes_add(struct buf *to, int msgid, unsigned char operation, char code)
{
	const char result[] = {
	    0x30, 12, 2, 1, (char)msgid, (char)operation, 7, 10, 1, code, 4, 0, 4, 0};
	const char entry[] = {
	    0x30, 12, 2, 1, (char)msgid, (char)operation, 7, 4, 3, 'c', 'n', '=', 0x30, 0};

	must(buf_add(to, operation == LDAP_ENTRY ? entry : result, 14) == 0);
}

#endif
