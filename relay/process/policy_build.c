#include "relay/process/policy_build.h"
#include "relay/base/mem.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/process/policy_source.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct policy_build {
	void (*on_built)(void *arg, struct policy_built *built);
	void *arg;
	int event;
	struct watch *watch;
	bool is_building, has_next;
	pthread_t thread;
	struct policy_built built; /* the thread's, while is_building */
	struct buf next;
	uint64_t next_generation;
};

struct content {
	struct span bundle;
	struct buf *to;
};

/* A list that a content rule names, once. */
static void
add_list(void *arg, struct span name)
{
	struct content *c = arg;
	struct span text;

	if (!bundle_find(buf_span(c->to), BUNDLE_LIST, name, &text) &&
	    bundle_find(c->bundle, BUNDLE_LIST, name, &text))
		bundle_add(c->to, BUNDLE_LIST, name, text);
}

/* A worker neither has nor needs the other rules, nor their lists of a million addresses. */
static void
build_content(struct policy_built *built)
{
	struct content c = {buf_span(&built->bundle), &built->content};
	struct buf text = BUF_INIT(POLICY_TEXT_MAX);

	built->content.max = BUNDLE_MAX;
	snapshot_content(built->snapshot, &text, add_list, &c);
	bundle_add(&built->content, BUNDLE_POLICY, SPAN("content"), buf_span(&text));
	must(!text.failed && !built->content.failed); /* parts of what has fitted */
	buf_free(&text);
}

static void
build(struct policy_built *built)
{
	built->snapshot = policy_source_compile(buf_span(&built->bundle), built->generation);
	if (built->snapshot != NULL)
		build_content(built);
}

static struct policy_built
take(struct buf *bundle, uint64_t generation)
{
	struct policy_built built = {.bundle = *bundle, .generation = generation};

	*bundle = (struct buf)BUF_INIT(bundle->max);
	return built;
}

void
policy_build_now(struct buf *bundle, uint64_t generation, struct policy_built *built)
{
	*built = take(bundle, generation);
	build(built);
}

static void *
work(void *arg)
{
	struct policy_build *b = arg;
	uint64_t one = 1;

	build(&b->built);
	must(write(b->event, &one, sizeof(one)) == sizeof(one));
	return NULL;
}

static void
start(struct policy_build *b)
{
	b->is_building = true;
	must(pthread_create(&b->thread, NULL, work, b) == 0);
}

static void
on_event(void *arg, unsigned events)
{
	struct policy_build *b = arg;
	struct policy_built built;
	uint64_t count;

	(void)events;
	if (read(b->event, &count, sizeof(count)) != sizeof(count))
		return;
	must(pthread_join(b->thread, NULL) == 0);
	built = b->built;
	b->is_building = false;
	if (b->has_next) {
		b->has_next = false;
		b->built = take(&b->next, b->next_generation);
		start(b);
	}
	b->on_built(b->arg, &built);
}

struct policy_build *
policy_build_new(
    struct loop *loop, void (*on_built)(void *arg, struct policy_built *built), void *arg)
{
	struct policy_build *b = mem_alloc(sizeof(*b));

	b->on_built = on_built;
	b->arg = arg;
	b->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(b->event >= 0);
	b->watch = loop_watch(loop, b->event, LOOP_READ, on_event, b);
	return b;
}

void
policy_build_start(struct policy_build *b, struct buf *bundle, uint64_t generation)
{
	if (b->is_building) {
		buf_free(&b->next);
		b->next = take(bundle, generation).bundle;
		b->next_generation = generation;
		b->has_next = true;
		return;
	}
	b->built = take(bundle, generation);
	start(b);
}
