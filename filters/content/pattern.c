#include "filters/content/pattern.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <stdio.h>

struct pattern {
	char *text;
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static bool
flags_parse(struct span flags, uint32_t *options)
{
	for (size_t i = 0; i < flags.n; i++)
		switch (flags.p[i]) {
		case 'i':
			*options |= PCRE2_CASELESS;
			break;
		case 'm':
			*options |= PCRE2_MULTILINE;
			break;
		case 's':
			*options |= PCRE2_DOTALL;
			break;
		case 'x':
			*options |= PCRE2_EXTENDED;
			break;
		default:
			return false;
		}
	return true;
}

static bool
text_split(struct span text, struct span *regex, uint32_t *options)
{
	size_t end = span_rfind(text, '/');

	if (text.n < 3 || text.n > PATTERN_TEXT_MAX || text.p[0] != '/' || end == 0 ||
	    end == text.n)
		return false;
	*regex = span_of(text.p + 1, end - 1);
	return regex->n > 0 && flags_parse(span_skip(text, end + 1), options);
}

struct pattern *
pattern_new(struct span text, char *why, size_t why_n)
{
	uint32_t options =
	    PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
	struct span regex;
	struct pattern *p;
	pcre2_code *code;
	PCRE2_SIZE at;
	int e;

	if (!text_split(text, &regex, &options)) {
		(void)snprintf(why, why_n, "%.*s is no pattern; write /regex/ or /regex/i",
		    SPAN_ARG(span_take(text, 100))); /* cut is fine */
		return NULL;
	}
	code = pcre2_compile((PCRE2_SPTR)regex.p, regex.n, options, &e, &at, NULL);
	if (code == NULL) {
		PCRE2_UCHAR message[160] = "";

		(void)pcre2_get_error_message(e, message, sizeof(message)); /* cut is fine */
		(void)snprintf(why, why_n, "%.*s: %s at character %zu",
		    SPAN_ARG(span_take(text, 100)), (const char *)message, at);
		return NULL;
	}
	p = mem_alloc(sizeof(*p));
	p->text = mem_dup(text);
	p->code = code;
	p->data = pcre2_match_data_create(1, NULL);
	p->limits = pcre2_match_context_create(NULL);
	must(p->data != NULL && p->limits != NULL);
	(void)pcre2_set_match_limit(p->limits, PATTERN_MATCH_LIMIT); /* these always return 0 */
	(void)pcre2_set_depth_limit(p->limits, PATTERN_DEPTH_LIMIT);
	(void)pcre2_set_heap_limit(p->limits, PATTERN_HEAP_LIMIT_KIB);
	return p;
}

void
pattern_free(struct pattern **p)
{
	if (*p == NULL)
		return;
	pcre2_match_context_free((*p)->limits);
	pcre2_match_data_free((*p)->data);
	pcre2_code_free((*p)->code);
	mem_free((*p)->text);
	mem_free(*p);
	*p = NULL;
}

enum pattern_result
pattern_match(const struct pattern *p, struct span value, struct effort *effort)
{
	int n = effort_match(effort, p->code, value, p->data, p->limits);

	if (n >= 0)
		return PATTERN_YES;
	return n == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_LIMIT;
}

struct span
pattern_text(const struct pattern *p)
{
	return span_str(p->text);
}
