#include "relay/ipc/supervision.h"

void
role_setup_put(struct buf *to, const struct role_setup *s)
{
	put_span(to, s->config_file);
	put_u8(to, s->is_json_log);
	put_span(to, s->run_dir);
	put_u8(to, s->is_successor);
	put_span(to, s->loaded);
	put_span(to, s->barred);
}

int
role_setup_get(struct span payload, struct role_setup *s)
{
	struct wire w = wire_over(payload);

	s->config_file = get_span(&w, SETUP_NAME_MAX);
	s->is_json_log = get_bool(&w);
	s->run_dir = get_span(&w, SETUP_NAME_MAX);
	s->is_successor = get_bool(&w);
	s->loaded = get_span(&w, SETUP_LOADED_MAX);
	s->barred = get_span(&w, LOADS_BYTES_MAX);
	return wire_end(&w);
}

void
load_state_put(struct buf *to, const struct load_state *s)
{
	put_u32(to, s->filter);
	put_u8(to, (uint8_t)s->result);
	put_span(to, span_take(s->why, LOAD_WHY_MAX));
}

void
role_problem_put(struct buf *to, const struct role_problem_report *p)
{
	put_span(to, p->name);
	put_span(to, p->what);
	put_span(to, p->do_this);
}

int
role_problem_get(struct span payload, struct role_problem_report *p)
{
	struct wire w = wire_over(payload);

	p->name = get_span(&w, PROBLEM_TEXT_MAX);
	p->what = get_span(&w, PROBLEM_TEXT_MAX);
	p->do_this = get_span(&w, PROBLEM_TEXT_MAX);
	return wire_end(&w);
}

struct load_state
load_state_get(struct wire *w)
{
	struct load_state s = {.filter = get_u32(w), .result = get_enum(w, LOAD_BROKEN)};

	s.why = get_span(w, LOAD_WHY_MAX);
	if (s.filter >= LOAD_STATES_MAX)
		w->failed = true;
	return s;
}
