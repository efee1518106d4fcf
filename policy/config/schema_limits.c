/* limits { } of a listener: what one session may take of us. */
#include "policy/config/schema.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

/* The times are RFC 5321's (section 4.5.3.2), where it names any. */
const struct conf_limits conf_limits_default = {.sessions_per_client = 200,
    .messages = 1000,
    .mistakes = 20,
    .command_ms = 5 * MINUTE_MS,
    .data_ms = 3 * MINUTE_MS,
    .message_ms = 30 * MINUTE_MS,
    .data_rate = 100};

static const struct range count_range = {1, 1000000, "from 1 to 1000000"};
static const struct range time_range = {SECOND_MS, 24 * HOUR_MS, "from 1s to 24h"};
static const struct range rate_range = {0, 1024 * 1024 * 1024, "from 0 to 1G"};

/* What cannot be read keeps its default; the readers complain. */

static void
read_sessions_per_client(struct reading *r, const struct node *n, void *to)
{
	struct conf_limits *l = to;

	(void)schema_read_number(r, n, &count_range, &l->sessions_per_client); /* as above */
}

static void
read_messages(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_number(
	    r, n, &count_range, &((struct conf_limits *)to)->messages); /* as above */
}

static void
read_mistakes(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_number(
	    r, n, &count_range, &((struct conf_limits *)to)->mistakes); /* as above */
}

static void
read_command_timeout(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &time_range, &((struct conf_limits *)to)->command_ms); /* as above */
}

static void
read_data_timeout(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &time_range, &((struct conf_limits *)to)->data_ms); /* as above */
}

static void
read_message_timeout(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_time(
	    r, n, &time_range, &((struct conf_limits *)to)->message_ms); /* as above */
}

static void
read_data_rate(struct reading *r, const struct node *n, void *to)
{
	(void)schema_read_size(
	    r, n, &rate_range, &((struct conf_limits *)to)->data_rate); /* as above */
}

void
schema_read_limits(struct reading *r, const struct node *n, void *to)
{
	static const struct rule rules[] = {
	    {"sessions_per_client", RULE_ONE, read_sessions_per_client},
	    {"messages", RULE_ONE, read_messages},
	    {"mistakes", RULE_ONE, read_mistakes},
	    {"command_timeout", RULE_ONE, read_command_timeout},
	    {"data_timeout", RULE_ONE, read_data_timeout},
	    {"message_timeout", RULE_ONE, read_message_timeout},
	    {"data_rate", RULE_ONE, read_data_rate},
	    {NULL, RULE_ONE, NULL},
	};

	schema_read(r, n, rules, &((struct conf_listen *)to)->limits);
}
