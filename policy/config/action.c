#include "policy/config/action.h"

static const struct {
	const char *name;
	bool is_supported;
} actions[] = {
    [ACTION_PASS] = {"pass", true},
    [ACTION_TAG] = {"tag", true},
    [ACTION_QUARANTINE] = {"quarantine", false},
    [ACTION_DISCARD] = {"discard", false},
    [ACTION_HOLD] = {"hold", false},
    [ACTION_TEMPFAIL] = {"tempfail", true},
    [ACTION_REJECT] = {"reject", true},
    [ACTION_KEEP] = {"keep", false},
};

enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

const char *
action_name(enum action a)
{
	return (size_t)a < ACTIONS ? actions[a].name : "?";
}

bool
action_parse(struct span word, enum action *out)
{
	for (size_t i = 0; i < ACTIONS; i++)
		if (span_eq(word, span_str(actions[i].name))) {
			*out = (enum action)i;
			return true;
		}
	return false;
}

bool
action_is_supported(enum action a)
{
	return (size_t)a < ACTIONS && actions[a].is_supported;
}
