#include "relay/message/url.h"
#include "relay/base/buf.h"

enum { ENTITY_MAX = 12, TEXT_MAX = 16 * 1024 * 1024 };

struct search {
	url_taker *take;
	void *arg;
	size_t n;
	bool is_over, is_cut; /* is_over: the taker has enough */
};

static bool
is_alnum(char c)
{
	c = char_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_slash(char c)
{
	return c == '/' || c == '\\';
}

static bool
is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* --- one URL ---------------------------------------------------------------------------------- */

/* The host in lower case, percent escapes undone, without user and port. */
static void
add_host(struct buf *to, struct span authority)
{
	size_t at = span_rfind(authority, '@');

	if (at < authority.n)
		authority = span_skip(authority, at + 1);
	if (authority.n > 0 && authority.p[0] != '[')
		authority = span_take(authority, span_find(authority, ':'));
	for (size_t i = 0; i < authority.n; i++) {
		char c = authority.p[i];

		if (c == '%' && i + 2 < authority.n && char_hex(authority.p[i + 1]) >= 0 &&
		    char_hex(authority.p[i + 2]) >= 0) {
			c = (char)(char_hex(authority.p[i + 1]) << 4 |
				   char_hex(authority.p[i + 2]));
			i += 2;
		}
		(void)buf_add_char(to, char_lower(c)); /* bounded by URL_MAX */
	}
}

/* `raw` begins with its scheme, with "//" or with the host. */
static void
give(struct search *s, struct span raw)
{
	struct buf url = BUF_INIT(2 * URL_MAX), host = BUF_INIT(URL_MAX);
	struct span rest = raw, authority;
	size_t n = 0;

	if (s->n++ >= URL_COUNT_MAX || raw.n > URL_MAX) {
		s->is_cut = true;
		raw = rest = span_take(raw, URL_MAX);
	}
	while (n < rest.n && n < URL_SCHEME_MAX && (is_alnum(rest.p[n]) || is_in(rest.p[n], "+.-")))
		n++;
	if (n < rest.n && rest.p[n] == ':') {
		for (size_t i = 0; i <= n; i++)
			(void)buf_add_char(&url, char_lower(rest.p[i])); /* fits, as all below */
		rest = span_skip(rest, n + 1);
	} else {
		(void)buf_add_str(&url, "http:");
	}
	n = 0;
	while (n < rest.n && is_slash(rest.p[n]))
		n++;
	if (n > 0 || span_eq(buf_span(&url), SPAN("http:")))
		(void)buf_add_str(&url, "//");
	rest = span_skip(rest, n);
	for (n = 0; n < rest.n && !is_slash(rest.p[n]) && !is_in(rest.p[n], "?#"); n++)
		;
	authority = span_take(rest, n);
	if (span_ends_nocase(buf_span(&url), SPAN("//")))
		add_host(&host, authority);
	for (size_t i = 0; i < n; i++)
		(void)buf_add_char(&url, char_lower(authority.p[i]));
	(void)buf_add_span(&url, span_skip(rest, n));
	if (!s->is_over && s->n <= URL_COUNT_MAX)
		s->is_over = !s->take(s->arg, buf_span(&url), buf_span(&host));
	buf_free(&url);
	buf_free(&host);
}

/* --- in a text -------------------------------------------------------------------------------- */

/* Bytes of a URL that stands free in a text. */
static size_t
free_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && (unsigned char)s.p[n] > 0x20 && s.p[n] != 0x7f && !is_in(s.p[n], "<>\"`"))
		n++;
	while (n > 0 && is_in(s.p[n - 1], ".,;:!?')]}*_"))
		n--;
	return n;
}

/* Where the scheme before the ':' at `colon` begins; `colon` when there is none. */
static size_t
scheme_start(struct span text, size_t colon)
{
	size_t at = colon;

	while (at > 0 && colon - at < URL_SCHEME_MAX &&
	       (is_alnum(text.p[at - 1]) || is_in(text.p[at - 1], "+-.")))
		at--;
	while (at < colon && !(char_lower(text.p[at]) >= 'a' && char_lower(text.p[at]) <= 'z'))
		at++;
	return at;
}

static bool
starts_www(struct span text, size_t at)
{
	return (at == 0 || (!is_alnum(text.p[at - 1]) && !is_in(text.p[at - 1], "/.@-"))) &&
	       span_starts_nocase(span_skip(text, at), SPAN("www."));
}

static void
search_text(struct search *s, struct span text)
{
	for (size_t at = 0; at < text.n && !s->is_over;) {
		size_t start = at, n;

		if (text.p[at] == ':' && at + 2 < text.n && is_slash(text.p[at + 1]) &&
		    is_slash(text.p[at + 2])) {
			start = scheme_start(text, at);
		} else if (!is_in(text.p[at], "wW") || !starts_www(text, at)) {
			at++;
			continue;
		}
		n = free_length(span_skip(text, start));
		/* More than "://" behind a scheme, more than "www." alone. */
		if (start < at ? n > at - start + 3 : n > 4 && text.p[at] != ':')
			give(s, span_take(span_skip(text, start), n));
		at = start + n > at ? start + n : at + 1;
	}
}

/* --- in HTML ---------------------------------------------------------------------------------- */

static const struct {
	const char *name, *text;
} ENTITIES[] = {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"},
    {"colon", ":"}, {"sol", "/"}, {"period", "."}, {"commat", "@"}, {"bsol", "\\"}, {"num", "#"},
    {"quest", "?"}, {"Tab", "\t"}, {"NewLine", "\n"}, {"percnt", "%"}, {"equals", "="}};

/* Appends a code point; what is no ASCII as it stands in UTF-8, up to U+FFFF. */
static void
add_point(struct buf *to, uint32_t c)
{
	if (c < 0x80) {
		(void)buf_add_char(to, (char)c); /* sticky, as below */
	} else if (c < 0x800) {
		(void)buf_add_char(to, (char)(0xc0 | c >> 6));
		(void)buf_add_char(to, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		(void)buf_add_char(to, (char)(0xe0 | c >> 12));
		(void)buf_add_char(to, (char)(0x80 | (c >> 6 & 0x3f)));
		(void)buf_add_char(to, (char)(0x80 | (c & 0x3f)));
	}
}

/* An entity at the start of s ("&amp;", "&#x2f;", the ';' may be missing); its bytes, 0: none. */
static size_t
add_entity(struct span s, struct buf *to)
{
	size_t n = 1;
	uint32_t c = 0;

	if (n < s.n && s.p[n] == '#') {
		bool is_hex = n + 1 < s.n && char_lower(s.p[n + 1]) == 'x';
		size_t start = n + 1 + is_hex;

		for (n = start; n < s.n && n < start + ENTITY_MAX; n++) {
			int digit = char_hex(s.p[n]);

			if (digit < 0 || (!is_hex && digit > 9) || c > 0x110000)
				break;
			c = c * (is_hex ? 16u : 10u) + (unsigned)digit;
		}
		if (n == start)
			return 0;
		add_point(to, c);
		return n + (n < s.n && s.p[n] == ';');
	}
	for (size_t i = 0; i < sizeof(ENTITIES) / sizeof(ENTITIES[0]); i++) {
		struct span name = span_str(ENTITIES[i].name);

		if (!span_starts_nocase(span_skip(s, 1), name))
			continue;
		(void)buf_add_str(to, ENTITIES[i].text); /* sticky */
		n = 1 + name.n;
		return n + (n < s.n && s.p[n] == ';');
	}
	return 0;
}

static void
unescape(struct span html, struct buf *to)
{
	while (html.n > 0 && !to->failed) {
		size_t n = span_find(html, '&');

		(void)buf_add_span(to, span_take(html, n)); /* sticky: asked for by the loop */
		html = span_skip(html, n);
		if (html.n == 0)
			return;
		n = add_entity(html, to);
		if (n == 0)
			(void)buf_add_char(to, '&');
		html = span_skip(html, n > 0 ? n : 1);
	}
}

/* An attribute's value: entities undone, and without what browsers drop. */
static void
give_attribute(struct search *s, struct span value)
{
	struct buf text = BUF_INIT(TEXT_MAX), url = BUF_INIT(2 * URL_MAX);
	struct span in;

	unescape(span_take(value, 2 * URL_MAX), &text);
	in = span_trim(buf_span(&text));
	for (size_t i = 0; i < in.n; i++)
		if (!is_in(in.p[i], "\t\r\n"))
			(void)buf_add_char(&url, in.p[i]); /* sticky: the same size */
	in = buf_span(&url);
	if (span_find(in, ':') < in.n || (in.n > 2 && is_slash(in.p[0]) && is_slash(in.p[1])))
		give(s, in);
	buf_free(&text);
	buf_free(&url);
}

/* The value behind "name" at the start of s; its end, 0: no attribute. */
static size_t
attribute_value(struct span s, size_t name, struct span *value)
{
	size_t at = name, start;

	while (at < s.n && is_in(s.p[at], " \t\r\n"))
		at++;
	if (at == s.n || s.p[at] != '=')
		return 0;
	at++;
	while (at < s.n && is_in(s.p[at], " \t\r\n"))
		at++;
	if (at < s.n && is_in(s.p[at], "\"'")) {
		start = at + 1;
		at = start + span_find(span_skip(s, start), s.p[at]);
		*value = span_of(s.p + start, at - start);
		return at < s.n ? at + 1 : at;
	}
	start = at;
	while (at < s.n && !is_in(s.p[at], " \t\r\n>"))
		at++;
	*value = span_of(s.p + start, at - start);
	return at;
}

static void
search_attributes(struct search *s, struct span html)
{
	static const char *const names[] = {"href", "src", "action", "background", "data", NULL};

	for (size_t at = 0; at < html.n && !s->is_over; at++) {
		struct span rest = span_skip(html, at), value;

		if (!is_in(rest.p[0], "hHsSaAbBdD") ||
		    (at > 0 && (is_alnum(html.p[at - 1]) || html.p[at - 1] == '-')))
			continue;
		for (size_t i = 0; names[i] != NULL; i++) {
			struct span name = span_str(names[i]);
			size_t end = span_starts_nocase(rest, name)
					 ? attribute_value(rest, name.n, &value)
					 : 0;

			if (end == 0)
				continue;
			give_attribute(s, value);
			at += name.n; /* what is inside of the value may be one again */
			break;
		}
	}
}

bool
url_each(struct span text, bool is_html, url_taker *take, void *arg)
{
	struct search s = {.take = take, .arg = arg};
	struct buf plain = BUF_INIT(TEXT_MAX);

	if (!is_html) {
		search_text(&s, text);
		return !s.is_cut;
	}
	search_attributes(&s, text);
	unescape(text, &plain);
	search_text(&s, buf_span(&plain));
	s.is_cut |= plain.failed;
	buf_free(&plain);
	return !s.is_cut;
}
