/*
 * postern user password NAME: the line that lets NAME sign in by AUTH with the password read from
 * standard input, for the file that a listener's `users` names.
 */
#include "relay/base/json.h"
#include "relay/command/command.h"
#include "relay/key/users.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_BYTES = 2048, RECORD_MAX = 1024 };

/* A line without its end, into `to`; false at the end of input or when it is too long. */
static bool
read_line(char to[LINE_BYTES], struct span *line)
{
	if (fgets(to, LINE_BYTES, stdin) == NULL)
		return false;
	*line = span_of(to, strlen(to));
	if (line->n == LINE_BYTES - 1 && to[line->n - 1] != '\n')
		return false;
	*line = span_chomp(*line);
	return true;
}

/* Without echo where somebody types it. */
static bool
read_password(const char *prompt, char to[LINE_BYTES], struct span *password)
{
	struct termios was, quiet;
	bool is_terminal = tcgetattr(STDIN_FILENO, &was) == 0, is_fine;

	if (is_terminal) {
		fprintf(stderr, "%s: ", prompt);
		quiet = was;
		quiet.c_lflag &= (tcflag_t)~ECHO;
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet); /* then it is seen, no more */
	}
	is_fine = read_line(to, password);
	if (is_terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was); /* as above */
		fprintf(stderr, "\n");
	}
	return is_fine;
}

static void
print_record(const char *name, struct span record, bool is_json)
{
	struct buf b = BUF_INIT(8 * RECORD_MAX);
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_str(&j, "name", name);
	json_text(&j, "line", record);
	json_close(&j, '}');
	printf("%.*s\n", SPAN_ARG(is_json ? buf_span(&b) : record));
	buf_free(&b);
}

static int
print_line(const char *name, bool is_json)
{
	char first[LINE_BYTES], second[LINE_BYTES];
	struct buf line = BUF_INIT(RECORD_MAX);
	struct span password, again;
	int r = EXIT_OK;

	if (!read_password("Password", first, &password))
		r = command_fail(EXIT_USAGE, "no password on standard input");
	else if (isatty(STDIN_FILENO) &&
		 (!read_password("Again", second, &again) || !span_eq(password, again)))
		r = command_fail(EXIT_NO, "the two are not the same; try again");
	else if (user_add_line(&line, span_str(name), password) < 0)
		r = command_fail(EXIT_USAGE,
		    "a name has 1 to 255 characters without blanks and \":\" and does not begin "
		    "with \"#\"; a password has 1 to 1024 bytes");
	else
		print_record(name, buf_span(&line), is_json);
	explicit_bzero(first, sizeof(first));
	explicit_bzero(second, sizeof(second));
	buf_free(&line);
	return r;
}

int
command_user(const struct command_line *line)
{
	if (line->n_words == 2 && strcmp(line->words[0], "password") == 0)
		return print_line(line->words[1], line->is_json);
	if (line->n_words > 0 && strcmp(line->words[0], "password") != 0)
		return command_fail(EXIT_USAGE,
		    "user %s is not in this version; there is: user password NAME", line->words[0]);
	return command_fail(EXIT_USAGE, "say: user password NAME");
}
