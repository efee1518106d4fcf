#include "relay/front/grey_client.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/ipc/journal.h"

enum {
	/* The file is written anew when it has grown by so many entries, or by as many again as there
	 * are. */
	APPENDED_MIN = 4096,
	ALL_MAX = (GREYLIST_WAITING_MAX + GREYLIST_KNOWN_MAX) * GREYLIST_ENTRY
};

struct grey_client {
	struct greylist *list;
	struct channel *journal; /* NULL: away */
	int64_t keep_ms;
	bool is_read;
	size_t n_appended; /* since the file was last written as a whole */
};

static void
add_entry(void *arg, const struct greylist_entry *e)
{
	greylist_entry_put(arg, e);
}

static void
send_all(struct grey_client *g)
{
	struct buf b = BUF_INIT(ALL_MAX);

	greylist_each(g->list, clock_wall_ms(), add_entry, &b);
	if (!b.failed && channel_has_room(g->journal))
		channel_send(g->journal, JOURNAL_GREY_ALL, 0, buf_span(&b), NULL);
	buf_free(&b);
	g->n_appended = 0;
}

/* A change that cannot be sent is known to us, if not to our successor. */
static void
on_change(void *arg, const struct greylist_entry *e)
{
	struct grey_client *g = arg;
	char room[GREYLIST_ENTRY];
	struct buf b = {.p = room, .cap = sizeof(room), .max = sizeof(room)};

	if (!channel_has_room(g->journal))
		return;
	greylist_entry_put(&b, e);
	channel_send(g->journal, JOURNAL_GREY_ENTRY, 0, buf_span(&b), NULL);
	if (++g->n_appended >= APPENDED_MIN && g->n_appended >= greylist_count(g->list))
		send_all(g);
}

struct grey_client *
grey_client_new(int64_t keep_ms)
{
	struct grey_client *g = mem_alloc(sizeof(*g));

	g->list = greylist_new(on_change, g);
	g->keep_ms = keep_ms;
	return g;
}

void
grey_client_free(struct grey_client **g)
{
	if (*g == NULL)
		return;
	greylist_free(&(*g)->list);
	mem_free(*g);
	*g = NULL;
}

void
grey_client_connect(struct grey_client *g, struct channel *journal)
{
	g->journal = journal;
	if (journal == NULL)
		return;
	if (g->is_read)
		send_all(g);
	else
		channel_send(journal, JOURNAL_GREY_READ, 0, (struct span){0}, NULL);
}

void
grey_client_hear(struct grey_client *g, struct span entries)
{
	struct wire w = wire_over(entries);
	int64_t now_ms = clock_wall_ms();

	while (w.rest.n >= GREYLIST_ENTRY && !w.failed) {
		struct greylist_entry e;

		greylist_entry_get(&w, &e);
		greylist_put(g->list, &e, now_ms);
	}
}

void
grey_client_take(struct grey_client *g, struct span entries)
{
	grey_client_hear(g, entries);
	if (g->is_read)
		return;
	g->is_read = true;
	g->n_appended = entries.n / GREYLIST_ENTRY;
	log_event(LOG_INFO, "greylist read", KV_INT("entries", greylist_count(g->list)));
}

enum greylist_fact
grey_client_see(struct grey_client *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t *left_ms)
{
	*left_ms = 0;
	if (!g->is_read)
		return GREYLIST_UNKNOWN;
	return greylist_see(g->list, conf, mail, clock_wall_ms(), left_ms);
}

enum greylist_fact
grey_client_look(const struct grey_client *g, const struct conf_greylist *conf,
    const struct greylist_mail *mail, int64_t *left_ms)
{
	*left_ms = 0;
	if (!g->is_read)
		return GREYLIST_UNKNOWN;
	return greylist_look(g->list, conf, mail, clock_wall_ms(), left_ms);
}

void
grey_client_know(struct grey_client *g, struct span address)
{
	greylist_know(g->list, address, g->keep_ms, clock_wall_ms());
}

size_t
grey_client_count(const struct grey_client *g)
{
	return greylist_count(g->list);
}
