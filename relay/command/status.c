/* postern status and postern reload: how the running relay is, and new configuration for it. */
#include "relay/command/ask.h"
#include "relay/command/table.h"

#include <jansson.h>
#include <stdio.h>

enum { S_MINUTE = 60, S_HOUR = 60 * S_MINUTE, S_DAY = 24 * S_HOUR };
enum { KIB = 1024, GATEWAY_WIDTH = 16, SERVER_WIDTH = 24 };

/* What a list of DNS has done, in the order it is told. */
static const struct {
	const char *key, *text;
} zone_counters[] = {{"asked", "asked"}, {"listed", "listed"}, {"sole", "by it alone"},
    {"errors", "errors"}, {"unanswered", "unanswered"}};

static long long
number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* A member that is a string, without what could steer a terminal. */
static void
print_text(const json_t *object, const char *key, int width)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);
	int n = 0;

	for (size_t i = 0; text != NULL && i < json_string_length(value); i++, n++)
		(void)putchar((unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
	printf("%*s", n < width ? width - n : 0, "");
}

static void
print_age(long long s)
{
	if (s < 2 * S_MINUTE)
		printf("%lld s", s);
	else if (s < 2 * S_HOUR)
		printf("%lld min", s / S_MINUTE);
	else if (s < 2 * S_DAY)
		printf("%lld h", s / S_HOUR);
	else
		printf("%lld d", s / S_DAY);
}

static void
print_size(long long bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	double value = (double)bytes;

	for (; value >= KIB && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= KIB;
	printf(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void
print_problems(const json_t *status)
{
	const json_t *problems = json_object_get(status, "problems");
	const json_t *problem;
	size_t i;

	if (json_is_true(json_object_get(status, "ok"))) {
		printf("ok           no problems\n");
		return;
	}
	if (json_array_size(problems) == 0)
		printf("NOT OK       a process is not up\n");
	else
		printf("NOT OK       %zu problem%s\n", json_array_size(problems),
		    json_array_size(problems) == 1 ? "" : "s");
	json_array_foreach(problems, i, problem)
	{
		printf("  ");
		print_text(problem, "what", 0);
		printf("\n    do: ");
		print_text(problem, "do", 0);
		printf("\n");
	}
}

static void
print_roles(const json_t *status)
{
	const json_t *role;
	size_t i;

	printf("processes    ");
	json_array_foreach(json_object_get(status, "roles"), i, role)
	{
		const char *state = json_string_value(json_object_get(role, "state"));

		printf("%s", i > 0 ? ", " : "");
		print_text(role, "role", 0);
		if (state == NULL || strcmp(state, "up") != 0) {
			printf(" ");
			print_text(role, "state", 0);
		}
		if (json_is_string(json_object_get(role, "loading"))) {
			printf(" (loading ");
			print_text(role, "loading", 0);
			printf(")");
		}
		if (number(role, "restarts") > 0)
			printf(" (restarted %lld times)", number(role, "restarts"));
	}
	printf("\n");
}

static void
print_mail(const json_t *status)
{
	const json_t *front = json_object_get(status, "front");
	const json_t *queue = json_object_get(status, "queue");
	const json_t *shelf = json_object_get(status, "quarantine");

	printf("mail         %lld accepted, %lld refused, %lld connections; %lld sessions now, "
	       "room for %lld\n",
	    number(front, "accepted"), number(front, "refused"), number(front, "connections"),
	    number(front, "sessions"), number(front, "sessions_max"));
	printf("filters      %lld workers, %lld idle\n", number(front, "workers"),
	    number(front, "idle_workers"));
	printf("queue        %lld messages, ", number(queue, "messages"));
	print_size(number(queue, "bytes"));
	printf("; %lld deferred, %lld held", number(queue, "deferred"), number(queue, "held"));
	if (number(queue, "messages") > 0) {
		printf("; the oldest waits for ");
		print_age(number(queue, "oldest_seconds"));
	}
	printf("\nquarantine   ");
	if (json_is_true(json_object_get(shelf, "is_counting")))
		printf("is being counted, so far ");
	printf("%lld messages, ", number(shelf, "messages"));
	print_size(number(shelf, "bytes"));
	printf(" of ");
	print_size(number(shelf, "max"));
	printf("\n");
}

static void
print_gateways(const json_t *status)
{
	const json_t *server;
	size_t i;

	json_array_foreach(json_object_get(status, "gateways"), i, server)
	{
		printf("%-13s", i == 0 ? "gateways" : "");
		print_text(server, "gateway", GATEWAY_WIDTH);
		printf(" ");
		print_text(server, "server", SERVER_WIDTH);
		printf(" ");
		print_text(server, "state", 0);
		printf("\n");
	}
}

static void
print_zones(const json_t *status)
{
	const json_t *zone;
	size_t i;

	json_array_foreach(json_object_get(status, "dnsbl"), i, zone)
	{
		printf("%-13s", i == 0 ? "lists" : "");
		print_text(zone, "zone", GATEWAY_WIDTH + 1 + SERVER_WIDTH);
		if (number(zone, "off") > 0)
			printf(" OFF;");
		for (size_t k = 0; k < sizeof(zone_counters) / sizeof(zone_counters[0]); k++)
			printf("%s %lld %s", k > 0 ? "," : "", number(zone, zone_counters[k].key),
			    zone_counters[k].text);
		printf("\n");
	}
}

static void
print_status(struct span answer)
{
	json_error_t error;
	json_t *status = json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, &error);

	if (status == NULL)
		return;
	print_text(status, "hostname", 0);
	printf(", policy version %lld, started ", number(status, "policy_version"));
	print_text(status, "started", 0);
	printf("\n");
	print_problems(status);
	print_roles(status);
	print_mail(status);
	print_gateways(status);
	print_zones(status);
	printf("\"postern status --json\" has every figure.\n");
	json_decref(status);
}

int
command_status(const struct command_line *line)
{
	static const char *const words[] = {"status"};

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "status takes no further words");
	return ask_and_print(line, words, 1, print_status);
}

/* What the relay says is what is wrong, a line each. */
int
command_reload(const struct command_line *line)
{
	static const char *const words[] = {"reload"};
	struct buf answer = BUF_INIT(0);
	struct config *config;
	int status;

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "reload takes no further words");
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	status = ask_relay(config, words, 1, &answer);
	fprintf(stderr, "%.*s", (int)answer.n, answer.n ? answer.p : "");
	if (line->is_json && (status == EXIT_OK || status == EXIT_CONFIG))
		command_print_check(status == EXIT_OK, NULL, buf_span(&answer));
	buf_free(&answer);
	config_free(&config);
	return status;
}
