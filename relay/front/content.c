#include "relay/front/content.h"
#include "relay/front/files.h"
#include "relay/ipc/channel.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"
#include "relay/message/received.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_CHUNK = 256 * 1024 };

static uint64_t budget = CONTENT_BYTES_MAX, held_by_all;

uint64_t
content_budget_of_machine(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t quarter;

	if (pages <= 0 || page <= 0)
		return CONTENT_BYTES_MAX;
	quarter = (uint64_t)pages / 4 * (uint64_t)page;
	return quarter < CONTENT_BYTES_MAX ? quarter : CONTENT_BYTES_MAX;
}

void
content_set_budget(uint64_t bytes)
{
	budget = bytes;
}

uint64_t
content_held(void)
{
	return held_by_all;
}

bool
content_has_room(void)
{
	return held_by_all < budget;
}

void
content_count(uint64_t *counted, uint64_t now)
{
	held_by_all = held_by_all - *counted + now;
	*counted = now;
}

/* What its buffers take, not what stands in them: they keep their memory. */
static void
count(struct content *c)
{
	content_count(&c->held, c->bytes.cap + c->section.cap + c->in_file);
}

/* Room that a buffer has already is counted already; what goes to the file comes on top. */
static bool
fits_budget(const struct content *c, size_t n)
{
	return held_by_all + n <= budget || (c->fd < 0 && n <= c->bytes.cap - c->bytes.n);
}

void
content_start(struct content *c, const char *hostname)
{
	*c = (struct content){.fd = -1, .hostname = hostname};
	c->bytes.max = HEADER_SECTION_MAX + FILE_CHUNK + CHANNEL_INLINE_MAX;
	c->section.max = HEADER_SECTION_MAX;
}

void
content_adopt(struct content *c, int fd)
{
	c->fd = fd;
	if (fd >= 0)
		files_take(FILES_MESSAGE);
}

static int
write_out(struct content *c)
{
	struct span left = buf_span(&c->bytes);

	while (left.n > 0) {
		ssize_t n = write(c->fd, left.p, left.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -E_IO;
		left = span_skip(left, (size_t)n);
	}
	c->in_file += c->bytes.n;
	buf_clear(&c->bytes);
	return 0;
}

/* Moves to a memory file once memory would hold too much. */
static int
spill(struct content *c)
{
	if (c->fd < 0 && c->bytes.n > CHANNEL_INLINE_MAX) {
		int fd;

		if (files_left() < FILES_MESSAGE)
			return -E_FULL;
		fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			return -E_IO;
		content_adopt(c, fd);
		return write_out(c);
	}
	return c->fd >= 0 && c->bytes.n >= FILE_CHUNK ? write_out(c) : 0;
}

/* The raw header section is complete: `length` bytes of c->bytes, the rest belongs to the body. */
static int
clean_header(struct content *c, size_t length)
{
	struct span raw = buf_span(&c->bytes);
	struct buf whole = BUF_INIT(c->bytes.max);

	if (length > HEADER_SECTION_MAX ||
	    edit_strip_foreign(span_take(raw, length), span_str(c->hostname), &c->section) < 0)
		return -E_LIMIT;
	c->hops = received_count(buf_span(&c->section));
	c->header = c->section.n;
	c->is_header_done = true;
	(void)buf_add_span(&whole, buf_span(&c->section)); /* not longer than what it replaces */
	(void)buf_add_span(&whole, span_skip(raw, length));
	buf_free(&c->bytes);
	c->bytes = whole;
	c->size = whole.n;
	return 0;
}

/* Whether the section has ended: an empty line behind it, or at once a line that is no header. */
static bool
header_is_complete(struct span bytes)
{
	return span_starts(bytes, SPAN("\r\n")) ||
	       (bytes.n > 0 && memmem(bytes.p, bytes.n, "\r\n\r\n", 4) != NULL);
}

static int
add(struct content *c, struct span bytes)
{
	int r = 0;

	if (buf_add_span(&c->bytes, bytes) < 0)
		return -E_LIMIT;
	if (c->is_header_done) {
		c->size += bytes.n;
		return spill(c);
	}
	if (header_is_complete(buf_span(&c->bytes)))
		r = clean_header(c, header_section_length(buf_span(&c->bytes)));
	else if (c->bytes.n > HEADER_SECTION_MAX + 1) /* one byte short of the empty line's end */
		r = -E_LIMIT;
	return r < 0 || !c->is_header_done ? r : spill(c);
}

int
content_add(struct content *c, struct span bytes)
{
	int r = fits_budget(c, bytes.n) ? add(c, bytes) : -E_FULL;

	count(c);
	return r;
}

static int
finish(struct content *c)
{
	int r = c->is_header_done ? 0 : clean_header(c, header_section_length(buf_span(&c->bytes)));

	if (r < 0 || (c->fd < 0 && c->bytes.n <= CHANNEL_INLINE_MAX))
		return r;
	r = spill(c);
	if (r == 0 && c->bytes.n > 0)
		r = write_out(c);
	buf_free(&c->bytes); /* all of it is in the file */
	if (r == 0 &&
	    fcntl(c->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -E_IO;
	return r;
}

int
content_end(struct content *c)
{
	int r = finish(c);

	count(c);
	return r;
}

void
content_drop(struct content *c)
{
	if (c->fd >= 0) {
		(void)close(c->fd); /* memory only */
		files_give(FILES_MESSAGE);
	}
	c->fd = -1;
	c->in_file = 0;
	buf_free(&c->bytes);
	count(c);
}

void
content_free(struct content *c)
{
	content_drop(c);
	buf_free(&c->section);
	count(c);
}

struct span
content_inline(const struct content *c)
{
	return buf_span(&c->bytes);
}
