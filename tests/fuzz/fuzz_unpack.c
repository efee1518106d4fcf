/* fuzz_unpack.c - names, compound files and winmail.dat: bounded, and nothing read past the end. */
#include "filters/unpack/name.h"
#include "filters/unpack/ole.h"
#include "filters/unpack/tnef.h"
#include "relay/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_name(struct span input)
{
	struct name_forms forms;

	name_read(input, &forms);
	must(forms.n <= NAME_FORMS_MAX && (input.n == 0 ? forms.n == 0 : forms.n > 0));
	for (size_t i = 0; i < forms.n; i++) {
		must(forms.forms[i].n > 0 && forms.forms[i].n <= NAME_BYTES_MAX);
		must(name_extension(forms.forms[i]).n < forms.forms[i].n);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct tnef_item item;
	struct tnef t;
	size_t items = 0;

	check_name(span_take(input, 3000));
	(void)ole_look(input);
	if (!tnef_open(input, &t))
		return 0;
	while (tnef_next(&t, &item)) {
		must(item.bytes.n == 0 ||
		     (item.bytes.p >= input.p && item.bytes.p + item.bytes.n <= input.p + input.n));
		must(strnlen(item.name, TNEF_NAME_MAX) < TNEF_NAME_MAX);
		must(++items <= size);
	}
	return 0;
}
