/* Lines of words up to an empty one, then a journal line that they filter. */
#include "policy/journal/filter.h"
#include "relay/ipc/control.h"

#include <jansson.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = span_of(data, n), words[CONTROL_WORDS_MAX];
	struct journal_filter filter;
	struct err err = {0};
	size_t n_words = 0;
	json_t *event;

	while (n_words < CONTROL_WORDS_MAX && rest.n > 0) {
		words[n_words] = span_cut(&rest, '\n');
		if (words[n_words].n == 0)
			break;
		n_words++;
	}
	if (journal_filter_parse(words, n_words, 1000000000, &filter, &err) < 0)
		return 0;
	event = json_loadb(rest.p != NULL ? rest.p : "", rest.n, 0, NULL);
	if (json_is_object(event))
		(void)journal_filter_matches(&filter, event); /* only that it ends */
	json_decref(event);
	return 0;
}
