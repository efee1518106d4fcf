#include "relay/front/files.h"
#include "relay/base/err.h"

static size_t room = SIZE_MAX, taken;

void
files_set_limit(uint64_t n_files, uint64_t n_listeners)
{
	uint64_t ours = FILES_OURS + n_listeners;

	room = n_files > ours ? (size_t)(n_files - ours) : 0;
}

uint64_t
files_needed(uint64_t n_listeners)
{
	return FILES_OURS + FILES_CLIENTS_MIN + n_listeners;
}

size_t
files_sessions_max(size_t wanted)
{
	size_t most = (room - room / FILES_MESSAGES_SHARE) / FILES_SESSION;

	if (most > wanted)
		most = wanted;
	return most > 0 ? most : 1;
}

size_t
files_left(void)
{
	return room > taken ? room - taken : 0;
}

void
files_take(size_t n)
{
	taken += n;
}

void
files_give(size_t n)
{
	must(n <= taken);
	taken -= n;
}
