#include "filters/chain/abi.h"
#include "policy/config/config.h"
#include "relay/base/span.h"

/*
 * The layout of ABI 1, held fast: a filter that was compiled yesterday must find everything where
 * it was.  A new field goes behind the last one of struct pnf_filter, struct pnf_host or of what
 * hooks are given, raises PNF_ABI_MINOR and gets a line of its own here; no line ever changes.
 */
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " has moved")
#define SIZE(type, size) \
	_Static_assert(sizeof(struct type) == (size), "struct " #type " has another size")

/* Never to grow: they stand in arrays, or travel by value. */
SIZE(pnf_span, 16);
AT(pnf_span, p, 0);
AT(pnf_span, n, 8);
SIZE(pnf_outcome, 24);
AT(pnf_outcome, name, 0);
AT(pnf_outcome, action, 8);
AT(pnf_outcome, help, 16);
SIZE(pnf_option, 32);
AT(pnf_option, name, 0);
AT(pnf_option, type, 8);
AT(pnf_option, fallback, 16);
AT(pnf_option, help, 24);
SIZE(pnf_about, 48);
AT(pnf_about, name, 0);
AT(pnf_about, version, 8);
AT(pnf_about, summary, 16);
AT(pnf_about, needs, 24);
AT(pnf_about, may, 28);
AT(pnf_about, outcomes, 32);
AT(pnf_about, options, 40);

AT(pnf_client, ip, 0);
AT(pnf_client, host, 16);
AT(pnf_client, helo, 32);
AT(pnf_client, flow, 48);
AT(pnf_header, name, 0);
AT(pnf_header, value, 16);
AT(pnf_header, decoded, 32);
AT(pnf_header, index, 48);
AT(pnf_part, id, 0);
AT(pnf_part, parent, 4);
AT(pnf_part, depth, 8);
AT(pnf_part, type, 16);
AT(pnf_part, charset, 32);
AT(pnf_part, filename, 48);
AT(pnf_part, raw, 64);
AT(pnf_part, decoded, 80);
AT(pnf_part, text, 96);
AT(pnf_part, flags, 112);
AT(pnf_part, names, 120);
AT(pnf_part, n_names, 128);
AT(pnf_member, part, 0);
AT(pnf_member, depth, 4);
AT(pnf_member, name, 8);
AT(pnf_member, type, 24);
AT(pnf_member, size, 40);
AT(pnf_member, flags, 48);
AT(pnf_member, sha256, 56);
AT(pnf_member, bytes, 64);

AT(pnf_host, size, 0);
AT(pnf_host, abi_major, 4);
AT(pnf_host, abi_minor, 6);
AT(pnf_host, option_number, 8);
AT(pnf_host, option_text, 16);
AT(pnf_host, option_count, 24);
AT(pnf_host, option_item, 32);
AT(pnf_host, alloc, 40);
AT(pnf_host, outcome, 48);
AT(pnf_host, tag, 56);
AT(pnf_host, note_set, 64);
AT(pnf_host, note_get, 72);
AT(pnf_host, header_add, 80);
AT(pnf_host, header_change, 88);
AT(pnf_host, header_remove, 96);
AT(pnf_host, ms_left, 104);
AT(pnf_host, tmpdir, 112);
AT(pnf_host, log, 120);
AT(pnf_host, outcome_part, 128); /* 1.1 */

AT(pnf_filter, abi_major, 0);
AT(pnf_filter, abi_minor, 2);
AT(pnf_filter, size, 4);
AT(pnf_filter, about, 8);
AT(pnf_filter, load, 16);
AT(pnf_filter, unload, 24);
AT(pnf_filter, start, 32);
AT(pnf_filter, connect, 40);
AT(pnf_filter, mail, 48);
AT(pnf_filter, rcpt, 56);
AT(pnf_filter, header, 64);
AT(pnf_filter, eoh, 72);
AT(pnf_filter, part, 80);
AT(pnf_filter, member, 88);
AT(pnf_filter, eom, 96);
AT(pnf_filter, done, 104);

enum {
	SIZE_1_0 = 112, /* of struct pnf_filter in ABI 1.0 */
	NEEDS_ALL = PNF_NEEDS_PARTS | PNF_NEEDS_DECODED | PNF_NEEDS_TMPDIR | PNF_NEEDS_MEMBERS |
		    PNF_NEEDS_NO_TYPES,
	MAY_ALL = PNF_MAY_EDIT_HEADERS | PNF_MAY_TAG | PNF_MAY_SCORE | PNF_MAY_NAME_PARTS
};
_Static_assert(sizeof(struct pnf_filter) >= SIZE_1_0, "struct pnf_filter has shrunk");

static int
check_version(const struct pnf_filter *f, struct err *err)
{
	if (f->abi_major != PNF_ABI_MAJOR)
		return err_set(err, E_UNSUPPORTED,
		    "it is built for ABI version %u, this Postern has version %d; compile it again "
		    "with "
		    "this Postern's postern_filter.h",
		    f->abi_major, PNF_ABI_MAJOR);
	if (f->abi_minor > PNF_ABI_MINOR)
		return err_set(err, E_UNSUPPORTED,
		    "it is built for ABI version %u.%u, this Postern has %d.%d; compile it again "
		    "with "
		    "this Postern's postern_filter.h, or install a later Postern",
		    f->abi_major, f->abi_minor, PNF_ABI_MAJOR, PNF_ABI_MINOR);
	if (f->size < SIZE_1_0 || f->size > sizeof(*f) ||
	    (f->abi_minor == PNF_ABI_MINOR && f->size != sizeof(*f)))
		return err_set(err, E_SYNTAX,
		    "its struct pnf_filter has %u bytes, which no ABI version has; use the macro "
		    "PNF_PLUGIN",
		    f->size);
	return 0;
}

int
abi_accept(const struct pnf_filter *f, struct pnf_filter *full, struct err *err)
{
	uint32_t needs;

	if (check_version(f, err) < 0)
		return -err->code;
	*full = (struct pnf_filter){0};
	memcpy(full, f, f->size);
	if (f->about == NULL)
		return err_set(err, E_SYNTAX, "it has no about; set .about");
	if (abi_check_about(f->about, err) < 0)
		return -err->code;
	needs = f->about->needs;
	if (f->part != NULL && !(needs & PNF_NEEDS_PARTS))
		return err_set(err, E_SYNTAX,
		    "it has a part hook without PNF_NEEDS_PARTS; declare it in .needs");
	if (f->member != NULL && !(needs & PNF_NEEDS_MEMBERS))
		return err_set(err, E_SYNTAX,
		    "it has a member hook without PNF_NEEDS_MEMBERS; declare it in .needs");
	return 0;
}

/* Letters in lower case, digits, '-' and '_', a letter first: it stands in configurations. */
static bool
is_word(const char *word)
{
	size_t n = 0;

	if (word == NULL || word[0] < 'a' || word[0] > 'z')
		return false;
	for (; word[n] != '\0' && n <= ABI_NAME_MAX; n++)
		if (!((word[n] >= 'a' && word[n] <= 'z') || (word[n] >= '0' && word[n] <= '9') ||
			word[n] == '-' || word[n] == '_'))
			return false;
	return n <= ABI_NAME_MAX;
}

/* Words of every filter section: they are not a plugin's to take. */
static bool
is_reserved(const char *word)
{
	static const char *const words[] = {
	    "failure", "plugin", "deadline", "load_deadline", "max_failures", "pause"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

/* Whether the text may be missing, and is none that tears a line of output apart. */
static bool
is_line(const char *text)
{
	size_t n = 0;

	for (; text != NULL && text[n] != '\0'; n++)
		if ((unsigned char)text[n] < 0x20 || text[n] == 0x7f || n == ABI_TEXT_MAX)
			return false;
	return true;
}

static int
check_outcomes(const struct pnf_about *about, struct err *err)
{
	const struct pnf_outcome *all = about->outcomes;
	enum action action;

	for (size_t i = 0; all != NULL && all[i].name != NULL; i++) {
		if (i == ABI_OUTCOMES_MAX)
			return err_set(
			    err, E_LIMIT, "it has more than %d outcomes", ABI_OUTCOMES_MAX);
		if (!is_word(all[i].name) || is_reserved(all[i].name) || !is_line(all[i].help))
			return err_set(err, E_SYNTAX,
			    "outcome %zu has no good name; use lower-case letters, digits, - and "
			    "_, and "
			    "none of failure, plugin, deadline, load_deadline, max_failures, pause",
			    i + 1);
		if (all[i].action == NULL || all[i].action[0] == '\0')
			return err_set(err, E_SYNTAX,
			    "outcome \"%s\" has no action; give one like \"tag\" or \"reject\"",
			    all[i].name);
		if (!action_parse(span_str(all[i].action), &action))
			return err_set(err, E_SYNTAX,
			    "outcome \"%s\" has the action \"%.64s\", which is none; give one "
			    "like \"tag\" or \"reject\"",
			    all[i].name, is_line(all[i].action) ? all[i].action : "");
		if (action == ACTION_STRIP && !(about->may & PNF_MAY_NAME_PARTS))
			return err_set(err, E_SYNTAX,
			    "outcome \"%s\" has the action \"strip\" without PNF_MAY_NAME_PARTS; "
			    "declare it in .may, or give another action",
			    all[i].name);
		if (action == ACTION_NORMALISE &&
		    !config_can_normalise(about, span_str(all[i].name)))
			return err_set(err, E_SYNTAX,
			    "outcome \"%s\" has the action \"normalise\", which is for "
			    "\"malformed\" of "
			    "antivirus only; give another one",
			    all[i].name);
		for (size_t k = 0; k < i; k++)
			if (strcmp(all[k].name, all[i].name) == 0)
				return err_set(err, E_EXISTS,
				    "it has outcome \"%s\" twice; keep one", all[i].name);
	}
	return 0;
}

static bool
has_outcome(const struct pnf_about *about, const char *name)
{
	for (const struct pnf_outcome *o = about->outcomes; o != NULL && o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return true;
	return false;
}

static int
check_options(const struct pnf_about *about, struct err *err)
{
	const struct pnf_option *all = about->options;

	for (size_t i = 0; all != NULL && all[i].name != NULL; i++) {
		if (i == ABI_OPTIONS_MAX)
			return err_set(
			    err, E_LIMIT, "it has more than %d options", ABI_OPTIONS_MAX);
		if (!is_word(all[i].name) || is_reserved(all[i].name) || !is_line(all[i].help) ||
		    !is_line(all[i].fallback) || (unsigned)all[i].type > PNF_OPTION_LIST)
			return err_set(err, E_SYNTAX,
			    "option %zu has no good name or type; use lower-case letters, digits, "
			    "- and "
			    "_, and none of failure, plugin, deadline, load_deadline, "
			    "max_failures, pause",
			    i + 1);
		if (has_outcome(about, all[i].name))
			return err_set(err, E_EXISTS,
			    "\"%s\" is both an outcome and an option; rename one", all[i].name);
		for (size_t k = 0; k < i; k++)
			if (strcmp(all[k].name, all[i].name) == 0)
				return err_set(err, E_EXISTS,
				    "it has option \"%s\" twice; keep one", all[i].name);
	}
	return 0;
}

int
abi_check_about(const struct pnf_about *about, struct err *err)
{
	if (!is_word(about->name))
		return err_set(err, E_SYNTAX,
		    "it has no good name; use lower-case letters, digits, - and _, a letter first");
	if (!is_line(about->version) || !is_line(about->summary))
		return err_set(err, E_SYNTAX, "its version or summary is not one line of text");
	if ((about->needs & ~(uint32_t)NEEDS_ALL) != 0 || (about->may & ~(uint32_t)MAY_ALL) != 0)
		return err_set(err, E_UNSUPPORTED,
		    "it needs or may what this Postern does not know; install a later Postern");
	if (check_outcomes(about, err) < 0 || check_options(about, err) < 0)
		return -err->code;
	return 0;
}
