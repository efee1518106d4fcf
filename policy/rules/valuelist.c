#include "policy/rules/valuelist.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"

bool
valuelist_is_name(struct span name)
{
	if (name.n == 0 || name.n > VALUELIST_NAME_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = char_lower(name.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    c != '.')
			return false;
	}
	return true;
}

/* Cuts the comment off. */
static struct span
value_of_line(struct span line, enum value_kind kind)
{
	line = span_trim(line);
	if (line.n > 0 && line.p[0] == '#')
		return span_take(line, 0);
	for (size_t i = 1; i < line.n && kind != VALUE_TEXT; i++)
		if (line.p[i] == '#' && (line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return span_trim(span_take(line, i));
	return line;
}

static int
read_value(struct span text, enum value_kind kind, struct value *out, struct err *err)
{
	if (!utf8_is_valid(text) || memchr(text.p, '\0', text.n) != NULL)
		return err_set(err, E_SYNTAX, "not UTF-8 text; save the file as UTF-8");
	if (text.n > 1 && text.p[0] == '/' && text.p[text.n - 1] == '/')
		return err_set(err, E_SYNTAX, "a regex in a list; write it into a rule of its own");
	if (kind != VALUE_TEXT && span_find(text, '*') < text.n)
		return err_set(err, E_SYNTAX,
		    "a glob in a list; write .example.org for everything below "
		    "a domain, or a rule of its own");
	return value_read(text, kind, out, err);
}

static void
add_value(struct valuelist *list, const struct value *value)
{
	switch (value->form) {
	case VALUE_CIDR:
		netset_add(&list->nets, &value->net);
		return;
	case VALUE_EXACT:
		must(textset_add(
		    &list->exact, value->text)); /* the text's limit is below the set's */
		return;
	case VALUE_DOMAIN:
		must(textset_add(&list->domains, value->text));
		return;
	case VALUE_BELOW:
		must(textset_add(&list->below, value->text));
		return;
	}
}

struct valuelist *
valuelist_parse(struct span text, enum value_kind kind, valuelist_complaint *complain, void *arg)
{
	struct valuelist *list = mem_alloc(sizeof(*list));
	uint32_t number = 0;

	list->kind = kind;
	if (text.n > VALUELIST_TEXT_MAX) {
		complain(arg, 0, "a list of more than 64 MiB; divide it into several");
		return list;
	}
	while (text.n > 0) {
		struct span line = value_of_line(span_cut(&text, '\n'), kind);
		struct value value;
		struct err err = {0};

		number++;
		if (line.n == 0)
			continue;
		if (read_value(line, kind, &value, &err) < 0)
			complain(arg, number, err.text);
		else
			add_value(list, &value);
	}
	netset_seal(&list->nets);
	return list;
}

/* The name itself, then what is left behind each of its dots. */
static bool
has_below(const struct textset *below, struct span name)
{
	while (below->count > 0 && name.n > 0) {
		if (textset_has(below, name))
			return true;
		(void)span_cut(&name, '.'); /* what follows is wanted */
	}
	return false;
}

bool
valuelist_has_ip(const struct valuelist *list, const struct ip *ip)
{
	return netset_has(&list->nets, ip);
}

bool
valuelist_has(const struct valuelist *list, struct span fact)
{
	struct ip ip;

	if (list->kind == VALUE_NET)
		return ip_parse(fact, &ip) && netset_has(&list->nets, &ip);
	if (fact.n > VALUE_TEXT_MAX)
		return false;
	if (textset_has(&list->exact, fact))
		return true;
	if (list->kind == VALUE_NAME)
		return has_below(&list->below, fact);
	if (list->kind != VALUE_ADDRESS || span_find(fact, '@') == fact.n)
		return false;
	return textset_has(&list->domains, value_domain(fact)) ||
	       has_below(&list->below, value_domain(fact));
}

void
valuelist_free(struct valuelist **list)
{
	if (*list == NULL)
		return;
	netset_free(&(*list)->nets);
	textset_free(&(*list)->exact);
	textset_free(&(*list)->domains);
	textset_free(&(*list)->below);
	mem_free(*list);
	*list = NULL;
}
