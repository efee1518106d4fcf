#include "relay/base/log.h"
#include "relay/base/buf.h"
#include "relay/base/clock.h"

#include <unistd.h>

enum { LOG_LINE_MAX = 8192 };

static const char *log_role = "postern";
static bool log_is_json;
static enum log_level log_lowest = LOG_INFO;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void
log_setup(const char *role, bool is_json, enum log_level lowest)
{
	log_role = role;
	log_is_json = is_json;
	log_lowest = lowest;
}

static bool
is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '"')
			return false;
	return s.n > 0;
}

static void
add_value(struct buf *line, const struct kv *kv, bool always_quoted)
{
	if (kv->is_number)
		(void)buf_addf(line, "%lld", (long long)kv->number); /* sticky: see log_write */
	else if (!always_quoted && is_plain(kv->text))
		(void)buf_add_span(line, kv->text);
	else
		(void)buf_add_json(line, kv->text);
}

void
log_write(enum log_level level, const char *event, const struct kv *kvs)
{
	struct buf line = BUF_INIT(LOG_LINE_MAX);

	if (level < log_lowest)
		return;
	(void)buf_add_str(&line, log_is_json ? "{\"time\":\"" : "");
	(void)clock_add_rfc3339(&line, clock_wall_ms());
	if (log_is_json)
		(void)buf_addf(&line, "\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"%s\"",
		    level_names[level], log_role, event);
	else
		(void)buf_addf(&line, " %-5s %s %s", level_names[level], log_role, event);
	for (; kvs->key != NULL; kvs++) {
		(void)buf_addf(&line, log_is_json ? ",\"%s\":" : " %s=", kvs->key);
		add_value(&line, kvs, log_is_json);
	}
	(void)buf_add_str(&line, log_is_json ? "}\n" : "\n");
	if (line.failed) {
		/* Too long to be a line: the event's name is what can be kept. */
		buf_clear(&line);
		(void)buf_addf(
		    &line, log_is_json ? "{\"event\":\"%s\",\"cut\":true}\n" : "%s cut\n", event);
	}
	(void)!write(STDERR_FILENO, line.p, line.n); /* nowhere left to complain */
	buf_free(&line);
}
