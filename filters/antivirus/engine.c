#include "filters/antivirus/engine.h"
#include "filters/antivirus/canary.h"
#include "filters/antivirus/clean.h"
#include "filters/antivirus/complaint.h"
#include "filters/antivirus/layers.h"
#include "filters/worker/interpose.h"
#include "relay/base/buf.h"
#include "relay/base/mem.h"

#include <clamav.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

/* libclamav looks at nothing shorter (its own constant, not in its header). */
enum { SHORTEST_FILE = 6 };

struct engine {
	struct cl_engine *clam;
	struct engine_settings settings; /* its strings are ours */
	uint32_t signatures;
	struct clean clean; /* this process's: a verdict is never another worker's word */
	struct layers seen; /* of the last whole message, when it was clean */
};

/* What libclamav has said since engine_look began: its message callback knows no context. */
static struct {
	unsigned complaints, shortages, inspections, bad_layers;
	char first[96];        /* of the complaints */
	struct layers *layers; /* NULL: nobody wants them */
} heard;

static void
on_message(enum cl_msg severity, const char *full, const char *text, void *context)
{
	struct span line = span_trim(span_str(text));

	(void)full; /* the same with a prefix */
	(void)context;
	if (severity < CL_MSG_WARN)
		return;
	if (heard.complaints++ == 0)
		(void)snprintf(
		    heard.first, sizeof(heard.first), "%.*s", SPAN_ARG(line)); /* cut is fine */
	heard.shortages += complaint_is_of_machine(line, severity >= CL_MSG_ERROR);
}

static bool
is_text_type(const char *type)
{
	return type != NULL &&
	       (strncmp(type, "CL_TYPE_TEXT_", 13) == 0 || strcmp(type, "CL_TYPE_HTML") == 0);
}

static cl_error_t
on_inspection(int fd, const char *type, const char **ancestors, size_t parent_size,
    const char *name, size_t size, const char *bytes, uint32_t level, uint32_t attributes,
    void *context)
{
	(void)fd;
	(void)ancestors;
	(void)parent_size;
	(void)name;
	(void)attributes;
	(void)context;
	heard.inspections++; /* a scan that looked at nothing is no scan */
	if (heard.layers != NULL && level > 0 && bytes != NULL)
		layers_add(heard.layers, span_of(bytes, size), is_text_type(type));
	return CL_CLEAN;
}

static bool
is_resource_error(int code)
{
	return (code >= CL_EOPEN && code <= CL_EMEM) || code == CL_ENULLARG || code == CL_EARG;
}

static cl_error_t
on_layer_done(int fd, int result, const char *virus, void *context)
{
	(void)fd;
	(void)virus;
	(void)context;
	if (is_resource_error(result))
		heard.bad_layers++;
	return CL_CLEAN;
}

static bool
has_suffix(struct span name, const char *const *suffixes)
{
	for (; *suffixes != NULL; suffixes++)
		if (span_ends_nocase(name, span_str(*suffixes)))
			return true;
	return false;
}

/* Whether there is something to load, and nothing that must not be. */
static int
folder_check(const char *path, struct err *err)
{
	static const char *const known[] = {".cvd", ".cld", ".cud", ".hdb", ".hsb", ".hdu", ".hsu",
	    ".mdb", ".msb", ".ndb", ".ndu", ".ldb", ".ldu", ".cdb", ".db", ".yar", ".yara", NULL};
	static const char *const refused[] = {".ftm", NULL};
	size_t n = 0;
	struct dirent *e;
	DIR *dir = opendir(path);

	if (dir == NULL)
		return err_set(err, E_NOT_FOUND,
		    "no virus signatures: cannot read %s: %m; run freshclam or set databases",
		    path);
	while ((e = readdir(dir)) != NULL) {
		if (has_suffix(span_str(e->d_name), refused)) {
			(void)err_set(err, E_CORRUPT,
			    "%s/%s would replace the built-in file types; remove it", path,
			    e->d_name);
			(void)closedir(dir); /* read only */
			return -E_CORRUPT;
		}
		n += has_suffix(span_str(e->d_name), known);
	}
	(void)closedir(dir); /* read only */
	if (n == 0)
		return err_set(err, E_NOT_FOUND,
		    "no virus signatures in %s; run freshclam or set databases", path);
	return 0;
}

static bool
limits_set(struct cl_engine *clam, const struct engine_settings *s)
{
	const struct {
		enum cl_engine_field field;
		long long value;
	} numbers[] = {
	    {CL_ENGINE_DISABLE_CACHE, 1}, /* the only structure written in quantity: it unshares */
	    {CL_ENGINE_BYTECODE_MODE, CL_BYTECODE_MODE_INTERPRETER}, /* the JIT needs PROT_EXEC */
	    {CL_ENGINE_DISABLE_PE_STATS, 1}, {CL_ENGINE_MAX_SCANSIZE, (long long)s->max_scan},
	    {CL_ENGINE_MAX_FILESIZE, (long long)s->max_file},
	    {CL_ENGINE_MAX_RECURSION, s->max_recursion}, {CL_ENGINE_MAX_FILES, s->max_files},
	    {CL_ENGINE_MAX_SCANTIME, s->max_time_ms}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (cl_engine_set_num(clam, numbers[i].field, numbers[i].value) != CL_SUCCESS)
			return false;
	return cl_engine_set_str(clam, CL_ENGINE_TMPDIR, s->tmpdir) == CL_SUCCESS;
}

static int
signatures_load(struct engine *e, struct err *err)
{
	const struct engine_settings *s = &e->settings;
	unsigned n = 0;
	int r = (int)cl_load(s->databases, e->clam, &n, CL_DB_PHISHING | CL_DB_BYTECODE);

	e->signatures = n;
	if (r != CL_SUCCESS)
		return err_set(err, E_CORRUPT,
		    "signatures in %s cannot be loaded: %s; "
		    "run freshclam",
		    s->databases, cl_strerror((cl_error_t)r));
	if (n < s->minimum_signatures || n == 0)
		return err_set(err, E_CORRUPT,
		    "only %u signatures in %s, minimum_signatures is %u; run freshclam", n,
		    s->databases, s->minimum_signatures);
	r = (int)cl_engine_compile(e->clam);
	if (r != CL_SUCCESS)
		return err_set(err, E_CORRUPT, "signatures in %s cannot be compiled: %s",
		    s->databases, cl_strerror((cl_error_t)r));
	return 0;
}

/* EICAR must be found, else whatever says clean says nothing. */
static int
canary_check(struct engine *e, struct err *err)
{
	struct buf bytes = BUF_INIT(CANARY_MAX);
	struct look look;
	int r = 0;

	for (int in_mail = 0; in_mail < 2 && r == 0; in_mail++) {
		buf_clear(&bytes);
		canary_add(&bytes, in_mail);
		engine_look(e, buf_span(&bytes), &look);
		if (look.kind == LOOK_FAILED)
			r = err_set(err, E_IO, "the scanner does not work: %s", look.why);
		else if (look.kind != LOOK_INFECTED)
			r = err_set(err, E_CORRUPT,
			    "the scanner does not find the EICAR test %s (%s); the signatures in "
			    "%s are incomplete: run freshclam",
			    in_mail ? "in a mail" : "file", look.why[0] ? look.why : "clean",
			    e->settings.databases);
	}
	buf_free(&bytes);
	return r;
}

static int
library_init(struct err *err)
{
	static bool is_ready;

	if (is_ready)
		return 0;
	cl_set_clcb_msg(on_message);
	if (cl_init(CL_INIT_DEFAULT) != CL_SUCCESS)
		return err_set(err, E_IO, "libclamav does not start");
	is_ready = true;
	return 0;
}

int
engine_new(const struct engine_settings *settings, struct engine **out, struct err *err)
{
	struct engine *e;
	int r = folder_check(settings->databases, err);

	*out = NULL;
	if (r == 0)
		r = library_init(err);
	if (r < 0)
		return r;
	e = mem_alloc(sizeof(*e));
	e->settings = *settings;
	e->settings.databases = mem_dup(span_str(settings->databases));
	e->settings.tmpdir = mem_dup(span_str(settings->tmpdir));
	e->clam = cl_engine_new();
	must(e->clam != NULL);
	if (!limits_set(e->clam, &e->settings))
		r = err_set(err, E_CONFIG, "libclamav refuses the limits; lower them");
	cl_engine_set_clcb_file_inspection(e->clam, on_inspection);
	cl_engine_set_clcb_post_scan(e->clam, on_layer_done);
	if (r == 0)
		r = signatures_load(e, err);
	if (r == 0)
		r = canary_check(e, err);
	if (r < 0)
		engine_free(&e);
	*out = e;
	return r;
}

void
engine_free(struct engine **e)
{
	if (*e == NULL)
		return;
	(void)cl_engine_free((*e)->clam); /* nothing to do about a failure */
	mem_free((void *)(uintptr_t)(*e)->settings.databases);
	mem_free((void *)(uintptr_t)(*e)->settings.tmpdir);
	mem_free(*e);
	*e = NULL;
}

int
engine_start(struct engine *e, const char *tmpdir, struct err *err)
{
	e->settings.tmpdir = mem_dup(span_str(tmpdir)); /* the old one is shared with the zygote */
	if (cl_engine_set_str(e->clam, CL_ENGINE_TMPDIR, e->settings.tmpdir) != CL_SUCCESS)
		return err_set(err, E_IO, "libclamav refuses %s", tmpdir);
	return canary_check(e, err);
}

uint32_t
engine_signatures(const struct engine *e)
{
	return e->signatures;
}

/* libclamav unpacks into files: without room it would see less and say clean. */
static bool
has_room(const struct engine *e)
{
	struct statvfs s;

	if (statvfs(e->settings.tmpdir, &s) < 0)
		return false;
	return (uint64_t)s.f_bavail * s.f_frsize > e->settings.max_scan &&
	       (s.f_files == 0 || s.f_favail > e->settings.max_files);
}

static bool
starts(const char *name, const char *prefix)
{
	return span_starts(span_str(name), span_str(prefix));
}

static enum verdict_kind
kind_of(int rc, const char *virus, unsigned long failed_calls, struct span bytes)
{
	if (rc == CL_VIRUS && (virus == NULL || starts(virus, "Heuristics.Limits.")))
		return LOOK_UNSCANNABLE;
	if (rc == CL_VIRUS && starts(virus, "Heuristics.Encrypted."))
		return LOOK_ENCRYPTED;
	if (rc == CL_VIRUS && starts(virus, "Heuristics.OLE2.ContainsMacros"))
		return LOOK_MACRO;
	if (rc == CL_VIRUS)
		return LOOK_INFECTED;
	if (rc == CL_ETIMEOUT || rc == CL_EMAXREC || rc == CL_EMAXSIZE || rc == CL_EMAXFILES)
		return LOOK_UNSCANNABLE;
	if (rc != CL_CLEAN || heard.shortages > 0 || heard.bad_layers > 0 || failed_calls > 0 ||
	    (heard.inspections == 0 && bytes.n >= SHORTEST_FILE))
		return LOOK_FAILED;
	/* All has worked, and what it complains of is in the message: "premature end of compressed stream". */
	return heard.complaints > 0 ? LOOK_UNSCANNABLE : LOOK_CLEAN;
}

static void
why_fill(struct look *out, int rc, const char *virus, unsigned long failed_calls)
{
	if (out->kind == LOOK_CLEAN)
		return;
	if (rc == CL_VIRUS)
		(void)snprintf(
		    out->why, sizeof(out->why), "%s", virus != NULL ? virus : "limit exceeded");
	else if (rc != CL_CLEAN)
		(void)snprintf(out->why, sizeof(out->why), "%s", cl_strerror((cl_error_t)rc));
	else if (heard.complaints > 0)
		(void)snprintf(out->why, sizeof(out->why), "scanner: %s", heard.first);
	else if (failed_calls > 0)
		(void)snprintf(out->why, sizeof(out->why), "%lu file calls failed while scanning",
		    failed_calls);
	else
		(void)snprintf(out->why, sizeof(out->why), "not everything was inspected");
}

static void
look(struct engine *e, struct span bytes, struct layers *layers, struct look *out)
{
	struct cl_scan_options options = {
	    .general = CL_SCAN_GENERAL_HEURISTICS,
	    .parse = ~0u,
	    .heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX | CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE |
			 CL_SCAN_HEURISTIC_ENCRYPTED_DOC | CL_SCAN_HEURISTIC_MACROS,
	};
	unsigned long before = interpose_failures != NULL ? interpose_failures() : 0, failed_calls;
	const char *virus = NULL;
	cl_fmap_t *map;
	int rc;

	*out = (struct look){0};
	if (bytes.n == 0)
		return;
	if (!has_room(e)) {
		out->kind = LOOK_FAILED;
		(void)snprintf(out->why, sizeof(out->why), "less than max_scan is free in %s",
		    e->settings.tmpdir);
		return;
	}
	memset(&heard, 0, sizeof(heard));
	heard.layers = layers;
	map = cl_fmap_open_memory(bytes.p, bytes.n);
	if (map == NULL) {
		out->kind = LOOK_FAILED;
		(void)snprintf(out->why, sizeof(out->why), "libclamav cannot map the message");
		return;
	}
	rc = (int)cl_scanmap_callback(map, NULL, &virus, NULL, e->clam, &options, NULL);
	cl_fmap_close(map);
	failed_calls = (interpose_failures != NULL ? interpose_failures() : 0) - before;
	out->kind = kind_of(rc, virus, failed_calls, bytes);
	why_fill(out, rc, virus, failed_calls);
}

void
engine_look(struct engine *e, struct span bytes, struct look *out)
{
	look(e, bytes, NULL, out);
}

void
engine_look_whole(struct engine *e, struct span message, struct look *out)
{
	layers_clear(&e->seen);
	look(e, message, &e->seen, out);
	/* One limit, one failure: which layers were scanned to their end is not told. */
	if (out->kind != LOOK_CLEAN)
		layers_clear(&e->seen);
}

bool
engine_has_seen(const struct engine *e, struct span bytes, bool is_text)
{
	return layers_have(&e->seen, bytes, is_text);
}

void
engine_look_once(struct engine *e, struct span bytes, struct look *out)
{
	struct clean_key key;

	*out = (struct look){0};
	if (!clean_key(bytes, &key)) {
		engine_look(e, bytes, out);
		return;
	}
	if (clean_has(&e->clean, &key))
		return;
	engine_look(e, bytes, out);
	if (out->kind == LOOK_CLEAN)
		clean_add(&e->clean, &key);
}
