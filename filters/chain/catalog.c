#include "filters/chain/catalog.h"
#include "filters/chain/abi.h"
#include "filters/chain/abouts.h"

enum { CATALOG_MEMORY = 128 * 1024 * 1024 };

static size_t
count_outcomes(const struct pnf_about *a)
{
	size_t n = 0;

	while (a->outcomes != NULL && a->outcomes[n].name != NULL)
		n++;
	return n;
}

static size_t
count_options(const struct pnf_about *a)
{
	size_t n = 0;

	while (a->options != NULL && a->options[n].name != NULL)
		n++;
	return n;
}

void
catalog_put_head(struct buf *to, const char *folder, size_t n)
{
	put_u8(to, CATALOG_VERSION);
	put_span(to, span_str(folder));
	put_u32(to, (uint32_t)n);
}

void
catalog_put_plugin(struct buf *to, const char *file, const struct pnf_about *a)
{
	size_t outcomes = count_outcomes(a), options = count_options(a);

	put_span(to, span_str(file));
	put_span(to, span_str(a->name));
	put_span(to, span_str(a->version));
	put_span(to, span_str(a->summary));
	put_u32(to, a->needs);
	put_u32(to, a->may);
	put_u32(to, (uint32_t)outcomes);
	for (size_t i = 0; i < outcomes; i++) {
		put_span(to, span_str(a->outcomes[i].name));
		put_span(to, span_str(a->outcomes[i].action));
		put_span(to, span_str(a->outcomes[i].help));
	}
	put_u32(to, (uint32_t)options);
	for (size_t i = 0; i < options; i++) {
		put_span(to, span_str(a->options[i].name));
		put_u8(to, (uint8_t)a->options[i].type);
		put_span(to, span_str(a->options[i].fallback));
		put_span(to, span_str(a->options[i].help));
	}
}

/* A NUL-terminated copy; a NUL inside fails the reader. */
static const char *
get_text(struct wire *w, struct arena *memory, size_t max)
{
	struct span s = get_span(w, max);

	if (span_find(s, '\0') < s.n || arena_left(memory) < s.n + 64) {
		w->failed = true;
		s.n = 0;
	}
	return arena_copy(memory, s).p;
}

static void
get_outcomes(struct wire *w, struct arena *memory, struct pnf_about *a)
{
	uint32_t n = get_count(w, ABI_OUTCOMES_MAX);
	struct pnf_outcome *all = arena_alloc(memory, (n + 1) * sizeof(*all));

	for (uint32_t i = 0; i < n && !w->failed; i++) {
		all[i].name = get_text(w, memory, ABI_NAME_MAX);
		all[i].action = get_text(w, memory, ABI_NAME_MAX);
		all[i].help = get_text(w, memory, ABI_TEXT_MAX);
	}
	a->outcomes = all;
}

static void
get_options(struct wire *w, struct arena *memory, struct pnf_about *a)
{
	uint32_t n = get_count(w, ABI_OPTIONS_MAX);
	struct pnf_option *all = arena_alloc(memory, (n + 1) * sizeof(*all));

	for (uint32_t i = 0; i < n && !w->failed; i++) {
		all[i].name = get_text(w, memory, ABI_NAME_MAX);
		all[i].type = (enum pnf_option_type)get_enum(w, PNF_OPTION_LIST);
		all[i].fallback = get_text(w, memory, ABI_TEXT_MAX);
		all[i].help = get_text(w, memory, ABI_TEXT_MAX);
	}
	a->options = all;
}

static void
get_plugin(struct wire *w, struct arena *memory, struct catalog_plugin *p)
{
	struct err err = {0};

	p->file = get_text(w, memory, CATALOG_FILE_MAX);
	p->about.name = get_text(w, memory, ABI_NAME_MAX);
	p->about.version = get_text(w, memory, ABI_TEXT_MAX);
	p->about.summary = get_text(w, memory, ABI_TEXT_MAX);
	p->about.needs = get_u32(w);
	p->about.may = get_u32(w);
	get_outcomes(w, memory, &p->about);
	get_options(w, memory, &p->about);
	if (!w->failed && (p->file[0] == '\0' || strchr(p->file, '/') != NULL ||
			      abi_check_about(&p->about, &err) < 0))
		w->failed = true;
}

/* Two plugins of one name: nobody could tell which is meant. */
static bool
has_twins(const struct pnf_about *const *abouts)
{
	for (size_t i = 0; abouts[i] != NULL; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(abouts[i]->name, abouts[k]->name) == 0)
				return true;
	return false;
}

static int
get_all(struct catalog *c, struct span bytes)
{
	const struct pnf_about *const *builtin = filters_abouts();
	struct wire w = wire_over(bytes);
	size_t n = 0;

	if (bytes.n > 0) {
		if (get_u8(&w) != CATALOG_VERSION)
			w.failed = true;
		c->folder = get_text(&w, &c->memory, ABI_TEXT_MAX);
		c->n = get_count(&w, CATALOG_PLUGINS_MAX);
	}
	c->plugins = arena_alloc(&c->memory, (c->n + 1) * sizeof(c->plugins[0]));
	for (size_t i = 0; i < c->n && !w.failed; i++)
		get_plugin(&w, &c->memory, &c->plugins[i]);
	if (bytes.n > 0 && wire_end(&w) < 0)
		return -E_CORRUPT;
	while (builtin[n] != NULL)
		n++;
	c->abouts = arena_alloc(&c->memory, (n + c->n + 1) * sizeof(c->abouts[0]));
	for (size_t i = 0; i < n; i++)
		c->abouts[i] = builtin[i];
	for (size_t i = 0; i < c->n; i++)
		c->abouts[n + i] = &c->plugins[i].about;
	return has_twins(c->abouts) ? -E_CORRUPT : 0;
}

struct catalog *
catalog_get(struct span bytes)
{
	struct catalog *c = mem_alloc(sizeof(*c));

	arena_init(&c->memory, CATALOG_MEMORY);
	if (get_all(c, bytes) < 0)
		catalog_free(&c);
	return c;
}

void
catalog_free(struct catalog **c)
{
	if (*c == NULL)
		return;
	arena_free(&(*c)->memory);
	mem_free(*c);
	*c = NULL;
}

const struct catalog_plugin *
catalog_find(const struct catalog *c, const struct pnf_about *about)
{
	for (size_t i = 0; i < c->n; i++)
		if (&c->plugins[i].about == about)
			return &c->plugins[i];
	return NULL;
}

bool
catalog_is_same(const struct pnf_about *a, const struct pnf_about *b)
{
	struct buf x = BUF_INIT(CATALOG_BYTES_MAX), y = BUF_INIT(CATALOG_BYTES_MAX);
	bool is_same;

	catalog_put_plugin(&x, "", a);
	catalog_put_plugin(&y, "", b);
	is_same = !x.failed && span_eq(buf_span(&x), buf_span(&y));
	buf_free(&x);
	buf_free(&y);
	return is_same;
}
