/* fuzz_smtp_command.c - whatever is accepted is within the limits and valid by itself. */
#include "relay/smtp/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span line = span_of(data, size);
	struct smtp_command c;
	char to[64];
	size_t n = 0;
	int status = smtp_command_parse(line, &c);

	must(status == 0 || status == -E_SYNTAX || status == -E_LIMIT);
	must(c.n_params <= SMTP_PARAMS_MAX);
	if (status == 0) {
		must(is_inside(c.path, line) && is_inside(c.argument, line));
		for (size_t i = 0; i < c.n_params; i++) {
			must(c.params[i].name.n > 0 && is_inside(c.params[i].name, line));
			must(is_inside(c.params[i].value, line));
			if (smtp_xtext_decode(c.params[i].value, to, sizeof(to), &n))
				must(n <= sizeof(to));
		}
		if (c.path.n > 0 && !span_eq_nocase(c.path, SPAN("postmaster"))) {
			must(smtp_address_is_valid(c.path));
			must(c.path.n <= SMTP_PATH_MAX);
			must(smtp_address_domain(c.path).n > 0);
		}
	}
	(void)smtp_address_is_valid(line); /* for the sanitizers, as below */
	(void)smtp_domain_is_valid(line);
	(void)smtp_helo_is_valid(line);
	return 0;
}
