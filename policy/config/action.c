#include "policy/config/action.h"

static const char *const actions[ACTION_COUNT] = {
    [ACTION_PASS] = "pass",
    [ACTION_TAG] = "tag",
    [ACTION_NORMALISE] = "normalise",
    [ACTION_STRIP] = "strip",
    [ACTION_QUARANTINE] = "quarantine",
    [ACTION_DISCARD] = "discard",
    [ACTION_HOLD] = "hold",
    [ACTION_TEMPFAIL] = "tempfail",
    [ACTION_REJECT] = "reject",
    [ACTION_KEEP] = "keep",
};

const char *
action_name(enum action a)
{
	return (size_t)a < ACTION_COUNT ? actions[a] : "?";
}

bool
action_parse(struct span word, enum action *out)
{
	for (size_t i = 0; i < ACTION_COUNT; i++)
		if (span_eq(word, span_str(actions[i]))) {
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
	return a == ACTION_TAG || action_edits(a);
}

bool
action_edits(enum action a)
{
	return a == ACTION_NORMALISE || a == ACTION_STRIP;
}
