#include "relay/ipc/policy_bundle.h"

void
bundle_add(struct buf *to, enum bundle_kind kind, struct span name, struct span text)
{
	put_u8(to, (uint8_t)kind);
	put_span(to, name);
	put_span(to, text);
}

bool
bundle_find(struct span bundle, enum bundle_kind kind, struct span name, struct span *text)
{
	struct wire w = wire_over(bundle);

	while (w.rest.n > 0 && !w.failed) {
		unsigned this_kind = get_enum(&w, BUNDLE_LAST);
		struct span this_name = get_span(&w, BUNDLE_NAME_MAX);

		*text = get_span(&w, BUNDLE_MAX);
		if (!w.failed && this_kind == kind && span_eq(this_name, name))
			return true;
	}
	*text = (struct span){0};
	return false;
}

int
bundle_read_list(void *arg, struct span name, struct buf *text, struct err *err)
{
	const struct span *bundle = arg;
	struct span found;

	if (!bundle_find(*bundle, BUNDLE_LIST, name, &found))
		return err_set(err, E_NOT_FOUND, "list %.*s is not there", SPAN_ARG(name));
	text->max = BUNDLE_MAX;
	return buf_add_span(text, found);
}
