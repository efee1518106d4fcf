/*
 * builtins.c - the built-in filters, each of which fails when the sender's address says so: for a filter
 * role that tests alone run ($(BUILD)/troubled), linked with this in place of filters/chain/builtins.c.
 *
 * "crash.early.clamav@…": what to do, before the filter has seen anything (early) or behind all of
 * its work (late), in which plugin.  "crash.early.clamav.2@…" is over as soon as any filter has seen mail from
 * "well.2@…".  The shipped role has no such code.
 */
#include "filters/chain/builtins.h"
#include "filters/antivirus/clamav.h"
#include "filters/attachment/attachment.h"
#include "filters/content/content.h"
#include "filters/header/header.h"
#include "filters/tag/tag.h"
#include "relay/base/err.h"
#include "relay/base/span.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORD_MAX_BYTES = 32, STEP = 64 * 1024 * 1024 };

static struct {
	char what[WORD_MAX_BYTES], when[WORD_MAX_BYTES], plugin[WORD_MAX_BYTES];
	uint64_t until; /* 0: for ever */
} wanted;               /* of the message at hand */

static uint64_t *well; /* the last number that was said to be well; of all workers */

/* Dies as it would without a sanitizer, whose report would read like one about Postern. */
static void
die_silently(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		must(signal(signals[i], SIG_DFL) != SIG_ERR);
}

static void
crash(void)
{
	(void)raise(SIGSEGV); /* does not return */
}

/* Up to the limit of the worker, whose reply is the null pointer that any code may meet. */
static void
eat_memory(void)
{
	for (;;) {
		char *p =
		    mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			crash();
		else
			*(volatile char *)p = 1;
	}
}

static void
make_trouble(const char *plugin, const char *when)
{
	struct span what = span_str(wanted.what);

	if ((wanted.until > 0 && wanted.until <= __atomic_load_n(well, __ATOMIC_ACQUIRE)) ||
	    !span_eq(span_str(wanted.plugin), span_str(plugin)) ||
	    !span_eq(span_str(wanted.when), span_str(when)))
		return;
	die_silently();
	if (span_eq(what, SPAN("crash")))
		crash();
	else if (span_eq(what, SPAN("memory")))
		eat_memory();
	else if (span_eq(what, SPAN("hang")))
		for (;;)
			(void)sleep(1); /* until it is killed */
}

static void
read_sender(struct pnf_span from)
{
	struct span rest = span_of(from.p, from.n), local = span_cut(&rest, '@');
	uint64_t number = 0;

	(void)span_copy(span_cut(&local, '.'), wanted.what, sizeof(wanted.what)); /* cut: no word */
	if (span_eq(span_str(wanted.what), SPAN("well"))) {
		if (span_to_u64(local, &number))
			__atomic_store_n(well, number, __ATOMIC_RELEASE);
		return;
	}
	(void)span_copy(span_cut(&local, '.'), wanted.when, sizeof(wanted.when));
	(void)span_copy(span_cut(&local, '.'), wanted.plugin, sizeof(wanted.plugin));
	wanted.until = span_to_u64(local, &number) ? number : 0;
}

#define TROUBLED(name)                                                               \
	static void name##_mail(void *self, struct pnf_msg *m, struct pnf_span from) \
	{                                                                            \
		(void)self, (void)m; /* it fails whatever they hold */               \
		read_sender(from);                                                   \
		make_trouble(#name, "early");                                        \
	}                                                                            \
	static void name##_done(void *self, struct pnf_msg *m)                       \
	{                                                                            \
		(void)self, (void)m; /* it fails whatever they hold */               \
		make_trouble(#name, "late");                                         \
	}

TROUBLED(clamav)
TROUBLED(attachment)
TROUBLED(content)
TROUBLED(header)
TROUBLED(tag)

const struct pnf_filter *
filters_builtin(const struct pnf_about *about)
{
	static const struct {
		const struct pnf_filter *real;
		void (*mail)(void *, struct pnf_msg *, struct pnf_span);
		void (*done)(void *, struct pnf_msg *);
	} all[] = {{&clamav_filter, clamav_mail, clamav_done},
	    {&attachment_filter, attachment_mail, attachment_done},
	    {&content_filter, content_mail, content_done},
	    {&header_filter, header_mail, header_done}, {&tag_filter, tag_mail, tag_done}};
	static struct pnf_filter troubled[sizeof(all) / sizeof(all[0])];

	if (well == NULL)
		well = mmap(
		    NULL, sizeof(*well), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(well != MAP_FAILED);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].real->about != about)
			continue;
		troubled[i] = *all[i].real;
		must(troubled[i].mail == NULL && troubled[i].done == NULL);
		troubled[i].mail = all[i].mail;
		troubled[i].done = all[i].done;
		return &troubled[i];
	}
	return NULL;
}
