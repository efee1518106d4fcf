#include "relay/front/clients.h"

size_t
clients_sessions_max(uint64_t n_files, size_t wanted)
{
	uint64_t room;

	if (n_files < CLIENTS_FILES_OURS + CLIENTS_FILES_SESSION)
		return 1;
	room = (n_files - CLIENTS_FILES_OURS) / CLIENTS_FILES_SESSION;
	return room < wanted ? (size_t)room : wanted;
}
