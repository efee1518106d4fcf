#include "relay/command/queue_fsck.h"
#include "relay/base/json.h"
#include "relay/command/ask.h"
#include "relay/command/queue_print.h"
#include "relay/spool/fsck.h"

#include <inttypes.h>
#include <stdio.h>

enum { FINDING_MAX = 4096, DIR_MAX = 4096 };

static const char *const kind_names[] = {[FSCK_FILE_UNKNOWN] = "file_unknown",
    [FSCK_FILE_TWICE] = "file_twice",
    [FSCK_MARKS_UNREADABLE] = "marks_unreadable",
    [FSCK_NO_RECORD] = "no_record",
    [FSCK_BODY_BAD] = "body_bad",
    [FSCK_UNREADABLE] = "unreadable",
    [FSCK_TORN] = "torn",
    [FSCK_COPIES] = "copies",
    [FSCK_NOTHING] = "nothing",
    [FSCK_ASIDE] = "aside"};

/* How findings are told: as they come, since a broken disk may have any number of them. */
struct report {
	bool is_json;
	uint64_t n;
};

static void
print_finding(void *arg, const struct fsck_finding *f)
{
	struct report *report = arg;
	struct buf line = BUF_INIT(FINDING_MAX);
	struct json j = {.to = &line, .needs_comma = report->n > 0};

	report->n++;
	if (!report->is_json) {
		printf("%s: %s\n", f->is_damage ? "damage" : "note", f->text);
		return;
	}
	json_open(&j, NULL, '{');
	json_str(&j, "kind", kind_names[f->kind]);
	json_bool(&j, "damage", f->is_damage);
	json_str(&j, "file", f->file);
	json_int(&j, "offset", (int64_t)f->offset);
	json_int(&j, "length", (int64_t)f->length);
	if (f->id.n > 0)
		json_text(&j, "id", f->id);
	json_str(&j, "text", f->text);
	json_close(&j, '}');
	printf("%.*s", SPAN_ARG(buf_span(&line)));
	buf_free(&line);
}

static void
print_summary(const struct fsck_summary *s, bool is_sound, bool is_repair)
{
	struct buf size = BUF_INIT(64);

	queue_add_size(&size, (int64_t)s->bytes);
	printf("%" PRIu64 " files, %" PRIu64 " messages wait (%.*s), %" PRIu64 " settled\n",
	    s->files, s->messages, SPAN_ARG(buf_span(&size)), s->settled);
	if (s->damaged == 0)
		printf("the spool is sound\n");
	else if (is_repair)
		printf("damage in %" PRIu64 " places, %" PRIu64 " set aside%s\n", s->damaged,
		    s->set_aside, is_sound ? "" : "; look at the disk");
	else
		printf("damage in %" PRIu64
		       " places; `postern queue fsck --repair` sets it aside, and "
		       "every good message stays\n",
		    s->damaged);
	buf_free(&size);
}

static int
check(const char *dir, bool is_repair, bool is_json)
{
	struct report report = {.is_json = is_json};
	struct fsck_summary s = {0};
	struct err err = {0};
	bool is_sound;
	int rc;

	if (is_json)
		printf("{\"findings\":[");
	rc = fsck_run(NULL, dir, is_repair, print_finding, &report, &s, &err);
	is_sound = rc == 0 && s.damaged == s.set_aside;
	if (is_json)
		printf("],\"ok\":%s,\"files\":%" PRIu64 ",\"records\":%" PRIu64
		       ",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"notes\":%" PRIu64
		       ",\"settled\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"set_aside\":%" PRIu64
		       "}\n",
		    is_sound ? "true" : "false", s.files, s.records, s.messages, s.bytes, s.notes,
		    s.settled, s.damaged, s.set_aside);
	if (rc == -E_NOT_FOUND)
		return command_fail(EXIT_NO, "%s", err.text);
	if (rc < 0)
		return command_fail(EXIT_TEMPFAIL, "%s", err.text);
	if (!is_json)
		print_summary(&s, is_sound, is_repair);
	return is_sound ? EXIT_OK : EXIT_NO;
}

int
command_queue_fsck(const struct command_line *line)
{
	bool is_repair = line->n_words == 2 && strcmp(line->words[1], "--repair") == 0;
	char dir[DIR_MAX];
	struct config *config;
	int status;

	if (line->n_words > 1 && !is_repair)
		return command_fail(EXIT_USAGE, "say queue fsck, or queue fsck --repair");
	config = command_place(line);
	if (config == NULL)
		return EXIT_CONFIG;
	(void)snprintf(dir, sizeof(dir), "%s/spool", config->state_dir);
	if (ask_is_running(config))
		status = command_fail(
		    EXIT_TEMPFAIL, "the relay is running, and uses its spool; stop it first");
	else
		status = check(dir, is_repair, line->is_json);
	config_free(&config);
	return status;
}
