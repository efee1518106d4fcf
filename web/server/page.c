#include "web/server/page.h"
#include "relay/base/rng.h"
#include "relay/base/utf8.h"

#include <jansson.h>

enum { ROWS_MAX = 500 /* of one table; a console page is no dump */ };

void
page_prepare(void)
{
	json_object_seed((size_t)rng_u64() | 1);
}

static struct span
text_of(const json_t *value)
{
	return json_is_string(value) ? span_of(json_string_value(value), json_string_length(value))
				     : (struct span){0};
}

void
page_add_escaped(struct buf *to, struct span text)
{
	while (text.n > 0) {
		size_t n = utf8_length(text);

		if (n == 0 || text.p[0] == '\0')
			(void)buf_add_str(to, "\xEF\xBF\xBD");
		else if (text.p[0] == '<')
			(void)buf_add_str(to, "&lt;");
		else if (text.p[0] == '>')
			(void)buf_add_str(to, "&gt;");
		else if (text.p[0] == '&')
			(void)buf_add_str(to, "&amp;");
		else if (text.p[0] == '"')
			(void)buf_add_str(to, "&quot;");
		else if (text.p[0] == '\'')
			(void)buf_add_str(to, "&#39;");
		else
			(void)buf_add(to, text.p, n);
		text = span_skip(text, n ? n : 1);
	}
}

static void
begin(struct buf *to, const char *title, struct span hostname)
{
	(void)buf_addf(to,
	    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	    "<title>%s - Postern</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n"
	    "</head>\n<body>\n<header><a class=\"brand\" href=\"/\">Postern</a><span>",
	    title);
	page_add_escaped(to, hostname);
	(void)buf_add_str(to, "</span></header>\n<main>\n");
}

static void
end(struct buf *to)
{
	(void)buf_add_str(to, "</main>\n</body>\n</html>\n");
}

/* "policy_version" as "Policy version". */
static void
add_label(struct buf *to, const char *key)
{
	char first = key[0];

	if (first >= 'a' && first <= 'z')
		first = (char)(first - 32);
	page_add_escaped(to, span_of(&first, 1));
	for (const char *c = key[0] != '\0' ? key + 1 : key; *c != '\0'; c++)
		page_add_escaped(to, *c == '_' ? SPAN(" ") : span_of(c, 1));
}

static void
add_scalar(struct buf *to, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		page_add_escaped(to, text_of(value));
		break;
	case JSON_INTEGER:
		(void)buf_addf(to, "%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL:
		(void)buf_addf(to, "%.3g", json_real_value(value));
		break;
	case JSON_TRUE:
		(void)buf_add_str(to, "yes");
		break;
	case JSON_FALSE:
		(void)buf_add_str(to, "no");
		break;
	case JSON_NULL:
		(void)buf_add_str(to, "-");
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		(void)buf_addf(to, "%zu",
		    json_is_array(value) ? json_array_size(value) : json_object_size(value));
		break;
	}
}

/* --- parts of the status page ------------------------------------------------------------------ */

static void
add_problems(struct buf *to, const json_t *problems, bool is_ok)
{
	size_t i;
	const json_t *item;

	if (is_ok && json_array_size(problems) == 0) {
		(void)buf_add_str(to,
		    "<p class=\"state good\" role=\"status\"><strong>All is well."
		    "</strong> Mail is accepted and every part is running.</p>\n");
		return;
	}
	(void)buf_add_str(
	    to, "<section class=\"state bad\" role=\"alert\">\n<h1>Needs attention</h1>\n");
	if (json_array_size(problems) == 0)
		(void)buf_add_str(to, "<p>The relay is not ready to accept mail.</p>\n");
	else
		(void)buf_add_str(to, "<dl>\n");
	json_array_foreach(problems, i, item)
	{
		(void)buf_add_str(to, "<dt>");
		page_add_escaped(to, text_of(json_object_get(item, "what")));
		(void)buf_add_str(to, "</dt><dd>");
		page_add_escaped(to, text_of(json_object_get(item, "do")));
		(void)buf_add_str(to, "</dd>\n");
	}
	(void)buf_add_str(
	    to, json_array_size(problems) == 0 ? "</section>\n" : "</dl>\n</section>\n");
}

static void
add_table_head(struct buf *to, const json_t *first)
{
	const char *key;
	json_t *value;

	(void)buf_add_str(to, "<thead><tr>");
	json_object_foreach((json_t *)(uintptr_t)first, key, value)
	{
		(void)buf_add_str(to, "<th scope=\"col\">");
		add_label(to, key);
		(void)buf_add_str(to, "</th>");
	}
	(void)buf_add_str(to, "</tr></thead>\n<tbody>\n");
}

/* A value called "state" is shown with a mark whose class the style sheet may know. */
static void
add_cell(struct buf *to, const char *key, const json_t *value)
{
	if (value != NULL && json_is_string(value) && strcmp(key, "state") == 0) {
		(void)buf_add_str(to, "<td><span class=\"mark ");
		page_add_escaped(to, text_of(value));
		(void)buf_add_str(to, "\">");
		page_add_escaped(to, text_of(value));
		(void)buf_add_str(to, "</span></td>");
		return;
	}
	(void)buf_add_str(to, json_is_number(value) ? "<td class=\"number\">" : "<td>");
	if (value != NULL)
		add_scalar(to, value);
	(void)buf_add_str(to, "</td>");
}

/* Objects as rows; the first one's keys are the columns. */
static void
add_rows(struct buf *to, const char *label, const json_t *list)
{
	const json_t *first = json_array_get(list, 0), *item;
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(first))
		return;
	(void)buf_add_str(to, "<section>\n<h2>");
	add_label(to, label);
	(void)buf_add_str(to, "</h2>\n<div class=\"wide\"><table>\n");
	add_table_head(to, first);
	json_array_foreach(list, i, item)
	{
		if (i == ROWS_MAX)
			break;
		(void)buf_add_str(to, "<tr>");
		json_object_foreach((json_t *)(uintptr_t)first, key, value)
		    add_cell(to, key, json_object_get(item, key));
		(void)buf_add_str(to, "</tr>\n");
	}
	(void)buf_add_str(to, "</tbody></table></div>\n");
	if (json_array_size(list) > ROWS_MAX)
		(void)buf_addf(
		    to, "<p>The first %d of %zu.</p>\n", ROWS_MAX, json_array_size(list));
	(void)buf_add_str(to, "</section>\n");
}

static void
add_figures(struct buf *to, const char *label, const json_t *object)
{
	const char *key;
	json_t *value;

	(void)buf_add_str(to, "<section>\n<h2>");
	add_label(to, label);
	(void)buf_add_str(to, "</h2>\n<dl class=\"figures\">\n");
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (json_is_array(value) || json_is_object(value))
			continue;
		(void)buf_add_str(to, "<div><dt>");
		add_label(to, key);
		(void)buf_add_str(to, "</dt><dd>");
		add_scalar(to, value);
		(void)buf_add_str(to, "</dd></div>\n");
	}
	(void)buf_add_str(to, "</dl>\n</section>\n");
	json_object_foreach((json_t *)(uintptr_t)object, key, value) if (json_is_array(value))
	    add_rows(to, key, value);
}

/* The scalars of the top level: since when, which policy. */
static void
add_overview(struct buf *to, const json_t *status)
{
	static const char *const keys[] = {"policy_version", "started", "now"};

	(void)buf_add_str(to, "<section>\n<h2>Overview</h2>\n<dl class=\"figures\">\n");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *value = json_object_get(status, keys[i]);

		if (value == NULL)
			continue;
		(void)buf_add_str(to, "<div><dt>");
		add_label(to, keys[i]);
		(void)buf_add_str(to, "</dt><dd>");
		add_scalar(to, value);
		(void)buf_add_str(to, "</dd></div>\n");
	}
	(void)buf_add_str(to, "</dl>\n</section>\n");
}

void
page_status(struct buf *to, const struct json_t *status)
{
	const char *key;
	json_t *value;

	begin(to, "Status", text_of(json_object_get(status, "hostname")));
	add_problems(
	    to, json_object_get(status, "problems"), json_is_true(json_object_get(status, "ok")));
	add_overview(to, status);
	json_object_foreach((json_t *)(uintptr_t)status, key, value)
	{
		if (json_is_object(value))
			add_figures(to, key, value);
		else if (json_is_array(value) && strcmp(key, "problems") != 0)
			add_rows(to, key, value);
	}
	(void)buf_add_str(to, "<p><a class=\"button\" href=\"/\">Refresh</a></p>\n");
	end(to);
}

void
page_sign_in(struct buf *to, const char *note)
{
	begin(to, "Sign in", SPAN(""));
	(void)buf_add_str(to, "<section class=\"card\">\n<h1>Sign in</h1>\n");
	if (note != NULL) {
		(void)buf_add_str(to, "<p class=\"state bad\" role=\"alert\">");
		page_add_escaped(to, span_str(note));
		(void)buf_add_str(to, "</p>\n");
	}
	(void)buf_add_str(to,
	    "<p>This console opens with a one-time link. The relay prints it in its log when it "
	    "starts: look for the line <code>sign-in</code> and open its link in this "
	    "browser.</p>\n"
	    "<p>If you have just opened the link, <a href=\"/\">go on to the console</a>.</p>\n"
	    "</section>\n");
	end(to);
}

void
page_message(struct buf *to, const char *heading, const char *text)
{
	begin(to, heading, SPAN(""));
	(void)buf_add_str(to, "<section class=\"card\">\n<h1>");
	page_add_escaped(to, span_str(heading));
	(void)buf_add_str(to, "</h1>\n<p>");
	page_add_escaped(to, span_str(text));
	(void)buf_add_str(to, "</p>\n<p><a href=\"/\">To the console</a></p>\n</section>\n");
	end(to);
}
