#include "filters/antivirus/canary.h"
#include "relay/base/base64.h"

enum { CANARY_BYTES = 68, MASK = 0x55 };

static void
add_plain(struct buf *to)
{
	/* Each byte of the EICAR test file, exclusive-or MASK. */
	static const unsigned char masked[CANARY_BYTES] = {0x0d, 0x60, 0x1a, 0x74, 0x05, 0x70, 0x15,
	    0x14, 0x05, 0x0e, 0x61, 0x09, 0x05, 0x0f, 0x0d, 0x60, 0x61, 0x7d, 0x05, 0x0b, 0x7c,
	    0x62, 0x16, 0x16, 0x7c, 0x62, 0x28, 0x71, 0x10, 0x1c, 0x16, 0x14, 0x07, 0x78, 0x06,
	    0x01, 0x14, 0x1b, 0x11, 0x14, 0x07, 0x11, 0x78, 0x14, 0x1b, 0x01, 0x1c, 0x03, 0x1c,
	    0x07, 0x00, 0x06, 0x78, 0x01, 0x10, 0x06, 0x01, 0x78, 0x13, 0x1c, 0x19, 0x10, 0x74,
	    0x71, 0x1d, 0x7e, 0x1d, 0x7f};

	for (size_t i = 0; i < CANARY_BYTES; i++)
		(void)buf_add_char(to, (char)(masked[i] ^ MASK)); /* sticky */
}

void
canary_add(struct buf *to, bool in_mail)
{
	struct buf plain = BUF_INIT(CANARY_BYTES);

	add_plain(in_mail ? &plain : to);
	if (!in_mail)
		return;
	(void)buf_add_str(to, /* sticky: CANARY_MAX is enough */
	    "Received: from canary by canary; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
	    "From: canary@localhost\r\nTo: canary@localhost\r\nSubject: canary\r\n"
	    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=canary\"\r\n\r\n"
	    "--=canary\r\nContent-Type: text/plain\r\n\r\ncanary\r\n"
	    "--=canary\r\nContent-Type: application/octet-stream; name=\"canary.bin\"\r\n"
	    "Content-Disposition: attachment; filename=\"canary.bin\"\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\n");
	(void)base64_add(to, buf_span(&plain)); /* sticky too */
	(void)buf_add_str(to, "\r\n--=canary--\r\n");
	buf_free(&plain);
}
