/*
 * normals.c - a message that can be read in more than one way, brought into one, where somebody's mail is
 * to be normalised for an outcome that was reported.
 */
#include "filters/chain/run.h"
#include "relay/ipc/rewrite.h"
#include "relay/message/normal.h"

enum {
	/* Texts, the ways of writing them that were tried in vain, and all of it once more for front. */
	MEMORY = 8 * NORMAL_TEXT_MAX
};

_Static_assert((int)REWRITE_CUTS_MAX == (int)NORMAL_CUTS_MAX &&
		   (int)REWRITE_PARTS_MAX == (int)NORMAL_NOTICES_MAX &&
		   (int)REWRITE_HEAD_MAX == (int)NORMAL_HEAD_MAX &&
		   (int)REWRITE_TEXT_MAX == (int)NORMAL_TEXT_MAX,
    "what can be made can be sent");

static bool
is_asked_for(const struct pnf_msg *m, const struct scan_outcome *o)
{
	return o->outcome >= 0 && config_may_be(m->chain->config, &m->flow->filters[o->filter],
				      o->outcome, ACTION_NORMALISE);
}

static void
fill(struct pnf_msg *m, const struct normal *made, struct rewrite *to)
{
	*to = (struct rewrite){.has_head = made->has_head,
	    .section = (uint32_t)made->section, /* up to HEADER_SECTION_MAX */
	    .head = made->head,
	    .n_cuts = made->n_cuts};
	for (size_t i = 0; i < made->n_cuts; i++) {
		const struct normal_cut *cut = &made->cuts[i];

		to->cuts[i] = (struct rewrite_cut){
		    .at = cut->at, .n = cut->n, .text = cut->text, .part = REWRITE_NO_PART};
		if (cut->notice == NORMAL_NO_NOTICE)
			continue;
		to->cuts[i].part = (uint16_t)to->n_parts;
		strips_describe(m, &m->mime.parts[cut->notice], &to->parts[to->n_parts++]);
	}
}

static void
keep(struct pnf_msg *m, const struct normal *made)
{
	struct rewrite *rewrite = mem_alloc(sizeof(*rewrite));
	struct buf bytes = BUF_INIT(SCAN_REWRITE_MAX);

	fill(m, made, rewrite);
	rewrite_put(&bytes, rewrite);
	if (!bytes.failed && arena_left(&m->normal_memory) > bytes.n + 64)
		m->result.rewrite = arena_copy(&m->normal_memory, buf_span(&bytes));
	buf_free(&bytes);
	mem_free(rewrite);
}

void
normals_make(struct pnf_msg *m)
{
	struct normal *made = mem_alloc(sizeof(*made));
	bool is_wanted = false;

	for (size_t i = 0; i < m->result.n_outcomes; i++)
		is_wanted |= is_asked_for(m, &m->result.outcomes[i]);
	arena_init(&m->normal_memory, MEMORY);
	made->why_not = "it is too large";
	if (is_wanted && normal_make(m->body, &m->mime, &m->normal_memory, made) == 0)
		keep(m, made);
	for (size_t i = 0; i < m->result.n_outcomes && m->result.rewrite.n == 0; i++)
		if (is_asked_for(m, &m->result.outcomes[i]))
			strips_give_up(m, i, span_str(made->why_not));
	mem_free(made);
}
