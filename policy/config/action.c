#include "policy/config/action.h"

static const struct {
	const char *name;
	bool is_supported;
} actions[ACTION_COUNT] = {
    [ACTION_PASS] = {"pass", true},
    [ACTION_TAG] = {"tag", true},
    [ACTION_STRIP] = {"strip", true},
    [ACTION_QUARANTINE] = {"quarantine", true},
    [ACTION_DISCARD] = {"discard", true},
    [ACTION_HOLD] = {"hold", false},
    [ACTION_TEMPFAIL] = {"tempfail", true},
    [ACTION_REJECT] = {"reject", true},
    [ACTION_KEEP] = {"keep", true},
};

const char *
action_name(enum action a)
{
	return (size_t)a < ACTION_COUNT ? actions[a].name : "?";
}

bool
action_parse(struct span word, enum action *out)
{
	for (size_t i = 0; i < ACTION_COUNT; i++)
		if (span_eq(word, span_str(actions[i].name))) {
			*out = (enum action)i;
			return true;
		}
	return false;
}

bool
action_refuses_at_once(enum action a)
{
	return a == ACTION_TEMPFAIL || a == ACTION_REJECT;
}

bool
action_delivers(enum action a)
{
	return a <= ACTION_STRIP;
}

bool
action_marks(enum action a)
{
	return a == ACTION_TAG || a == ACTION_STRIP;
}

bool
action_is_supported(enum action a)
{
	return (size_t)a < ACTION_COUNT && actions[a].is_supported;
}
