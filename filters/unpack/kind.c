#include "filters/unpack/kind.h"

#include <magic.h>

static magic_t cookie; /* NULL: not loaded; of this process and its forks */

int
kind_load(struct err *err)
{
	static const struct {
		int parameter;
		size_t value;
	} limits[] = {{MAGIC_PARAM_INDIR_MAX, 15}, {MAGIC_PARAM_NAME_MAX, 50},
	    {MAGIC_PARAM_ELF_PHNUM_MAX, 128}, {MAGIC_PARAM_ELF_SHNUM_MAX, 1024},
	    {MAGIC_PARAM_ELF_NOTES_MAX, 64}, {MAGIC_PARAM_REGEX_MAX, 4096}};

	if (cookie != NULL)
		return 0;
	cookie = magic_open(MAGIC_MIME_TYPE | MAGIC_NO_CHECK_COMPRESS | MAGIC_NO_CHECK_TOKENS |
			    MAGIC_NO_CHECK_JSON | MAGIC_NO_CHECK_CSV);
	if (cookie == NULL)
		return err_set(err, E_NOT_FOUND, "libmagic does not start");
	if (magic_load(cookie, NULL) < 0) {
		magic_close(cookie);
		cookie = NULL;
		return err_set(err, E_NOT_FOUND,
		    "libmagic's database cannot be loaded; install the package libmagic-mgc");
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		(void)magic_setparam(cookie, limits[i].parameter, &limits[i].value); /* known */
	(void)magic_buffer(cookie, "MZ", 2); /* what it opens at first use, it opens now */
	return 0;
}

bool
kind_is_loaded(void)
{
	return cookie != NULL;
}

void
kind_of(struct span bytes, char to[KIND_NAME_MAX])
{
	const char *said;
	size_t n = 0;

	to[0] = '\0';
	if (cookie == NULL || bytes.n == 0)
		return;
	bytes = span_take(bytes, KIND_LOOK);
	said = magic_buffer(cookie, bytes.p, bytes.n);
	for (; said != NULL && said[n] > ' ' && said[n] <= '~' && n + 1 < KIND_NAME_MAX; n++)
		to[n] = char_lower(said[n]);
	to[n] = '\0';
	if (span_find(span_of(to, n), '/') == n) /* a sentence about what went wrong */
		to[0] = '\0';
}

struct span
kind_other_name(struct span type)
{
	static const struct {
		const char *name, *other;
	} pairs[] = {{"application/vnd.microsoft.portable-executable", "application/x-dosexec"},
	    {"application/x-dosexec", "application/vnd.microsoft.portable-executable"},
	    {"application/x-gzip", "application/gzip"}, {"application/gzip", "application/x-gzip"},
	    {"application/x-rar", "application/vnd.rar"},
	    {"application/vnd.rar", "application/x-rar"}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (span_eq(type, span_str(pairs[i].name)))
			return span_str(pairs[i].other);
	return span_take(type, 0);
}
