/*
 * postern_filter.h - the whole contract between Postern and a content filter.  ABI version 1,
 * frozen: a filter built against any 1.x works with every Postern that has the same or a later
 * 1.x.  Only this grows, at the end and with a raised minor: struct pnf_filter (its `size` says
 * what is there), struct pnf_host (the same), what hooks are given by pointer, and the flags.
 * struct pnf_span, pnf_outcome, pnf_option and pnf_about stay as they are.
 *
 * A filter is one constant `struct pnf_filter`.  Postern loads it once, in the zygote, then calls
 * its hooks in SMTP order for every message, in a sandboxed worker without network or files.  A
 * hook looks, and reports through the host table: named outcomes that the filter has declared,
 * tags, scores, edits.  It never decides: configuration maps outcomes to actions.  Nothing
 * reported takes effect before the chain has finished, so a crash leaves no trace.
 */
#ifndef POSTERN_FILTER_H
#define POSTERN_FILTER_H
#include <stddef.h>
#include <stdint.h>

#define PNF_ABI_MAJOR 1 /* differs: the filter is refused */
#define PNF_ABI_MINOR 2 /* the filter's is later than Postern's: it is refused too */

/* Text that is not ours: never NUL-terminated, valid until the hook returns; the bytes of parts
 * (raw, decoded, text), of members and of the whole message until `done` has returned. */
struct pnf_span {
	const char *p;
	size_t n;
};

/* .needs: what the chain must prepare.  What is not declared does not come: no part or member hook
 * is called, `decoded` and `text` are empty, tmpdir is NULL. */
enum {
	PNF_NEEDS_PARTS = 1,
	PNF_NEEDS_DECODED = 2, /* parts with their transfer encoding undone, texts in UTF-8 */
	PNF_NEEDS_TMPDIR = 4,
	PNF_NEEDS_MEMBERS = 8, /* archives are unpacked, for the member hook */
	PNF_NEEDS_NO_TYPES =
	    16 /* with PNF_NEEDS_MEMBERS: `type` may be empty; telling it is dear */
};

/* .may: rights.  What is not declared is refused, in the worker and once more outside of it. */
enum {
	PNF_MAY_EDIT_HEADERS = 1,
	PNF_MAY_TAG = 2,
	PNF_MAY_SCORE = 4,     /* tags with a score other than 0 */
	PNF_MAY_NAME_PARTS = 8 /* since 1.1: outcomes about one part, for `strip` */
};

struct pnf_msg;    /* opaque: one message being judged */
struct pnf_config; /* opaque: this filter's settings */

/* An outcome the filter can report.  Every filter has `failure` besides (crash, deadline, or its
 * own word that it could not look). `action` is the action word when configuration names none. */
struct pnf_outcome {
	const char *name, *action, *help;
};

enum pnf_option_type {
	PNF_OPTION_BOOL,
	PNF_OPTION_NUMBER,
	PNF_OPTION_SIZE, /* bytes */
	PNF_OPTION_TIME, /* milliseconds */
	PNF_OPTION_TEXT,
	PNF_OPTION_LIST /* of texts */
};

struct pnf_option {
	const char *name;
	enum pnf_option_type type;
	const char *
	    fallback; /* as it would stand in the configuration; NULL: none, so that an option which is
			* not given is NULL (text), has no items (list), or is 0 */
	const char *help;
};

/* What can be known of a filter without running it: `check` reads this, so it stands in a file of
 * its own that needs no library. Both arrays end with a NULL name. */
struct pnf_about {
	const char *name, *version, *summary;
	uint32_t needs, may;
	const struct pnf_outcome *outcomes;
	const struct pnf_option *options;
};

struct pnf_client {
	struct pnf_span ip, host,
	    helo;             /* host: the verified reverse name, empty when there is none */
	struct pnf_span flow; /* the flow's name in the configuration */
};

struct pnf_header {
	struct pnf_span name, value; /* value as it stands in the message, folds included */
	struct pnf_span decoded;     /* unfolded, RFC 2047 decoded, UTF-8 */
	uint32_t index;              /* of all header fields, from 0 */
};

/* Where mail readers differ (two Content-Types, broken base64, …) each reading is a part of its own;
 * a file inside a text (uuencode, yEnc) is one too.  Bytes may thus come more than once.
 *
 * Part 0 is the whole message and carries the flags of everything below it.  The chain's note
 * "message.anomalies" names what was wrong. */
enum {
	PNF_PART_TRUNCATED = 1,
	PNF_PART_MALFORMED = 2,
	PNF_PART_TEXT = 4,
	PNF_PART_MULTIPART = 8, /* raw holds other parts, which come by themselves */
	PNF_PART_READING = 16   /* what another mail reader may see in the part before it */
};

struct pnf_part {
	uint32_t id, parent, depth;
	struct pnf_span type; /* "text/plain", lower case */
	struct pnf_span charset, filename;
	struct pnf_span raw;     /* as transferred */
	struct pnf_span decoded; /* transfer encoding undone */
	struct pnf_span text;    /* for PNF_PART_TEXT: decoded and in UTF-8 */
	uint32_t flags;
	const struct pnf_span *names; /* every name that some reader shows, filename first */
	size_t n_names;
};

/* Everything that has a type or a name: each part that is no multipart (depth 0), and what is in
 * archives and winmail.dat, archives in archives too (depth 1 and up). */
enum {
	PNF_MEMBER_ENCRYPTED = 1, /* cannot be looked into */
	PNF_MEMBER_MACRO = 2,     /* an Office document with macros */
	PNF_MEMBER_BROKEN = 4,    /* an archive that cannot be read to its end */
	PNF_MEMBER_LIMIT = 8,     /* a limit: there is more inside */
	PNF_MEMBER_ARCHIVE = 16,
	PNF_MEMBER_UNUSUAL = 32 /* since 1.2: in an archive of a kind that few scanners unpack */
};

struct pnf_member {
	uint32_t part, depth;
	struct pnf_span name; /* as it stands in the archive; may be empty */
	struct pnf_span type; /* what its bytes are, "" when it cannot be told */
	uint64_t size;        /* bytes, unpacked; 0 when it is not known */
	uint32_t flags;
	const unsigned char *sha256; /* 32 bytes; NULL when they were not read */
	/* Since 1.2.  What it holds, of members (depth 1 and up) of archives that scanners do not unpack, or
	 * not all of: at most 64 MiB of a message, further ones come without. */
	struct pnf_span bytes;
};

/* What Postern does for a filter.  A table, so that tests can pass a fake one. */
struct pnf_host {
	uint32_t size; /* of this table in the Postern that runs */
	uint16_t abi_major, abi_minor;
	/* Settings, for load only: an option the filter has declared, "deadline" (milliseconds), which
	 * every filter has, and with PNF_NEEDS_TMPDIR the text "tmpdir", the zygote's folder.  A list's count; an element (NULL past the end). */
	int64_t (*option_number)(
	    const struct pnf_config *, const char *name); /* bool size time too */
	const char *(*option_text)(const struct pnf_config *, const char *name);
	size_t (*option_count)(const struct pnf_config *, const char *name);
	const char *(*option_item)(const struct pnf_config *, const char *name, size_t i);

	/* Memory that lives as long as the message; NULL when its budget is spent. */
	void *(*alloc)(struct pnf_msg *, size_t);
	/* A declared outcome, or "failure".  0, or -1 when it is not declared: that is a failure too. */
	int (*outcome)(struct pnf_msg *, const char *name, struct pnf_span why);
	/* score in thousandths; NAME is letters, digits, '-' and '_'.  -1 when that is not so, .may
	 * does not allow it, or there are too many. */
	int (*tag)(struct pnf_msg *, const char *name, int32_t score_milli, struct pnf_span why);
	/* A value that later filters can read: "antivirus.signatures". */
	int (*note_set)(struct pnf_msg *, const char *key, struct pnf_span value);
	int (*note_get)(struct pnf_msg *, const char *key, struct pnf_span *out);
	/* Edits, recorded now and applied after the chain; -1 when not allowed by .may or malformed.
	 * only_tagged: applied to copies that leave with a tag only. */
	int (*header_add)(
	    struct pnf_msg *, struct pnf_span name, struct pnf_span value, int only_tagged);
	int (*header_change)(
	    struct pnf_msg *, uint32_t index, struct pnf_span value, int only_tagged);
	int (*header_remove)(struct pnf_msg *, uint32_t index, int only_tagged);
	int64_t (*ms_left)(struct pnf_msg *);
	const char *(*tmpdir)(struct pnf_msg *); /* private to this worker */
	void (*log)(struct pnf_msg *, const char *event, struct pnf_span text);

	/* Since 1.1.  As outcome, and says which part it is about (pnf_part.id, pnf_member.part); call
	 * it for each such part.  Where configuration has the action `strip` for the outcome, these
	 * parts are taken out of the mail; of an outcome that was also reported without a part, none
	 * is, and the mail goes into quarantine.  -1 too when there is no such part, or .may does
	 * not allow it: the outcome counts all the same, as one without a part. */
	int (*outcome_part)(struct pnf_msg *, const char *name, uint32_t part, struct pnf_span why);
};

enum { PNF_LOADED = 0, PNF_BROKEN = -1, PNF_NOT_NOW = -2 };

struct pnf_filter {
	uint16_t abi_major, abi_minor;
	uint32_t size; /* sizeof(struct pnf_filter) when built */
	const struct pnf_about *about;

	/* In the zygote, before any fork that shall have it.  PNF_LOADED; PNF_BROKEN when the settings
	 * cannot work; PNF_NOT_NOW when something outside is missing.  With either every message meets
	 * `failure` until a later call of load succeeds.  `why` takes what is wrong and what to do:
	 * "no list /a; make it".  `self` is what all other hooks are given. */
	int (*load)(const struct pnf_host *, const struct pnf_config *, void **self, char *why,
	    size_t why_n);
	/* In the zygote only, of a self that load has made (PNF_BROKEN included): frees it. */
	void (*unload)(void *self);
	/* In each worker, after the fork, inside the sandbox; -1: the worker is not ready, nor is any of
	 * the others: this is no place to find out whether settings can work. */
	int (*start)(void *self, const char *tmpdir, char *why, size_t why_n);

	/* For each message, in this order; any may be NULL. */
	void (*connect)(void *self, struct pnf_msg *, const struct pnf_client *);
	void (*mail)(void *self, struct pnf_msg *, struct pnf_span from);
	void (*rcpt)(void *self, struct pnf_msg *, struct pnf_span to);
	void (*header)(void *self, struct pnf_msg *, const struct pnf_header *);
	void (*eoh)(void *self, struct pnf_msg *);
	void (*part)(void *self, struct pnf_msg *, const struct pnf_part *);
	/* With PNF_NEEDS_MEMBERS, after all parts. */
	void (*member)(void *self, struct pnf_msg *, const struct pnf_member *);
	void (*eom)(void *self, struct pnf_msg *, struct pnf_span raw);
	void (*done)(void *self, struct pnf_msg *); /* always, last */
};

#define PNF_FILTER(symbol, ...)                                       \
	const struct pnf_filter symbol = {.abi_major = PNF_ABI_MAJOR, \
	    .abi_minor = PNF_ABI_MINOR,                               \
	    .size = sizeof(struct pnf_filter),                        \
	    __VA_ARGS__}

/* The one filter of a shared object: what Postern looks for in every .so of its plugin folder. */
#define PNF_PLUGIN(...)                                \
	extern const struct pnf_filter postern_filter; \
	__attribute__((visibility("default"))) PNF_FILTER(postern_filter, __VA_ARGS__)

#endif
