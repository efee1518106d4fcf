#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/process/supervisor.h"

static const char *
state_name(const struct child *c)
{
	static const char *const names[] = {"down", "starting", "up", "stopping"};

	return names[c->state];
}

static void
add_roles(const struct supervisor *s, struct json *j)
{
	json_open(j, "roles", '[');
	for (int i = ROLE_FRONT; i < ROLE_COUNT; i++) {
		const struct child *c = &s->children[i];

		if (!c->is_wanted)
			continue;
		json_open(j, NULL, '{');
		json_str(j, "role", role_name(c->role));
		json_str(j, "state", state_name(c));
		json_int(j, "pid", c->pid);
		json_int(j, "restarts", (int64_t)c->restarts);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
add_silent(struct json *j, unsigned silent)
{
	for (int i = ROLE_FRONT; i < ROLE_COUNT; i++) {
		struct buf what = BUF_INIT(256);

		if (!(silent & (1U << i)))
			continue;
		(void)buf_addf(&what, "%s does not answer", role_name((enum role_id)i)); /* short */
		json_open(j, NULL, '{');
		json_text(j, "what", buf_span(&what));
		json_str(j, "do", "see what holds it up; if it hangs, end it: it is started again");
		json_close(j, '}');
		buf_free(&what);
	}
}

static void
add_problems(const struct supervisor *s, struct json *j, unsigned silent)
{
	json_open(j, "problems", '[');
	for (size_t i = 0; i < s->problems.n; i++) {
		json_open(j, NULL, '{');
		json_str(j, "what", s->problems.items[i].what);
		json_str(j, "do", s->problems.items[i].do_this);
		json_close(j, '}');
	}
	for (int i = ROLE_FRONT; i < ROLE_COUNT; i++) {
		const struct child *c = &s->children[i];
		struct buf what = BUF_INIT(256);

		if (!c->is_wanted || c->state == CHILD_UP)
			continue;
		(void)buf_addf(&what, "%s is not running", role_name(c->role)); /* short */
		json_open(j, NULL, '{');
		json_text(j, "what", buf_span(&what));
		json_str(
		    j, "do", "look into the log for why it ended; it is started again by itself");
		json_close(j, '}');
		buf_free(&what);
	}
	add_silent(j, silent);
	json_close(j, ']');
}

void
status_write(const struct supervisor *s, unsigned silent, struct span members, struct buf *to)
{
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", supervisor_is_ready(s) && s->problems.n == 0 && silent == 0);
	json_time(&j, "started", s->started_wall_ms);
	json_time(&j, "now", clock_wall_ms());
	json_str(&j, "hostname", s->config->hostname);
	json_int(&j, "policy_version", (int64_t)s->policy_version);
	add_problems(s, &j, silent);
	add_roles(s, &j);
	(void)buf_add_span(to, members); /* sticky: bounded by whoever gathered them */
	(void)buf_add_str(to, "}\n");
}

/* A role answers with an object; its members become ours. */
void
status_add_role(struct buf *to, struct span object)
{
	object = span_trim(object);
	if (object.n <= 2 || object.p[0] != '{' || object.p[object.n - 1] != '}')
		return;
	(void)buf_add_char(to, ','); /* sticky: the caller tests */
	(void)buf_add(to, object.p + 1, object.n - 2);
}
