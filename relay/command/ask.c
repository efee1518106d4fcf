#include "relay/command/ask.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/control.h"
#include "relay/ipc/control_path.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* -1: no relay there, or no permission (errno). */
static int
connect_control(const struct config *config)
{
	struct sockaddr_un sa;
	int dir = control_path(config->run_dir, &sa), fd, kept;

	if (dir < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
		(void)close(dir); /* O_PATH: nothing to lose */
		return fd;
	}
	kept = errno;
	if (fd >= 0)
		(void)close(fd); /* never used */
	(void)close(dir);        /* O_PATH: nothing to lose */
	errno = kept;
	return -1;
}

bool
ask_is_running(const struct config *config)
{
	int fd = connect_control(config);

	if (fd < 0)
		return errno == EACCES ||
		       errno == EPERM; /* something is there that we may not ask */
	(void)close(fd);               /* nothing was said */
	return true;
}

static int
send_request(int fd, const char *const *words, size_t n_words)
{
	struct control_request r = {.n_words = n_words};
	struct buf b = BUF_INIT(CONTROL_WORDS_MAX * (CONTROL_WORD_MAX + 8));
	int sent;

	if (n_words > CONTROL_WORDS_MAX)
		return -E_LIMIT;
	for (size_t i = 0; i < n_words; i++) {
		r.words[i] = span_str(words[i]);
		if (r.words[i].n > CONTROL_WORD_MAX)
			return -E_LIMIT;
	}
	control_request_put(&b, &r);
	sent = channel_send_now(fd, CONTROL_REQUEST, 1, buf_span(&b), NULL);
	buf_free(&b);
	return sent;
}

struct taker {
	void (*take)(void *arg, struct span piece);
	void *arg;
};

/* `more` gets the words behind a status of 0: what to ask next. */
static int
receive_answer(int fd, const struct taker *to, struct buf *more)
{
	struct buf packet = BUF_INIT(0);
	struct control_end end;
	struct message m;
	int r, status = -1;

	buf_clear(more);
	while (status < 0 && (r = channel_receive(fd, &m, &packet, ASK_TIMEOUT_MS)) == 0) {
		if (m.type == CONTROL_CHUNK) {
			to->take(to->arg, m.payload);
		} else if (m.type == CONTROL_END && control_end_get(m.payload, &end) == 0) {
			status = end.status;
			if (status == EXIT_OK)
				(void)buf_add_span(more, end.text); /* bounded by the control */
			else if (end.text.n > 0)
				(void)command_fail(status, "%.*s", SPAN_ARG(end.text));
		}
	}
	if (status < 0)
		status = command_fail(
		    EXIT_TEMPFAIL, "the relay gives no answer: %s; try again", err_name(r));
	buf_free(&packet);
	return status;
}

/* "more TOKEN": the answer has another page. */
static int
ask_next(int fd, struct span more)
{
	struct span word = span_word(&more), rest = span_trim(more);
	char token[32];
	const char *words[] = {"queue", "more", token};

	if (!span_eq(word, SPAN("more")) || !span_copy(rest, token, sizeof(token)))
		return -E_SYNTAX;
	return send_request(fd, words, 3);
}

int
ask_relay_each(const struct config *config, const char *const *words, size_t n_words,
    void (*take)(void *arg, struct span piece), void *arg)
{
	int fd = connect_control(config), status;
	const struct taker to = {take, arg};
	struct buf more = BUF_INIT(CONTROL_WORD_MAX);

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return command_fail(EXIT_NO,
		    "no permission to ask the relay; become root or a member of the group postern");
	if (fd < 0)
		return command_fail(EXIT_NOT_RUNNING,
		    "the relay is not running (no answer at %s/control.sock); start it with "
		    "\"postern "
		    "run\"",
		    config->run_dir);
	if (send_request(fd, words, n_words) < 0)
		status = command_fail(EXIT_USAGE, "too many or too long words");
	else
		status = receive_answer(fd, &to, &more);
	while (status == EXIT_OK && more.n > 0 && ask_next(fd, buf_span(&more)) == 0)
		status = receive_answer(fd, &to, &more);
	(void)close(fd); /* all was said */
	buf_free(&more);
	return status;
}

static void
gather(void *arg, struct span piece)
{
	(void)buf_add_span(arg, piece); /* sticky: ask_relay tests */
}

int
ask_relay(const struct config *config, const char *const *words, size_t n_words, struct buf *answer)
{
	int status;

	answer->max = ASK_ANSWER_MAX;
	status = ask_relay_each(config, words, n_words, gather, answer);
	return answer->failed ? command_fail(EXIT_TEMPFAIL, "the answer is too long; ask for less")
			      : status;
}

int
ask_and_print(const struct command_line *line, const char *const *words, size_t n_words,
    void (*print)(struct span answer))
{
	struct buf answer = BUF_INIT(0);
	struct config *config = command_place(line);
	int status;

	if (config == NULL)
		return EXIT_CONFIG;
	status = ask_relay(config, words, n_words, &answer);
	if (line->is_json)
		printf("%.*s", (int)answer.n, answer.n ? answer.p : "");
	else if (answer.n > 0)
		print(buf_span(&answer));
	buf_free(&answer);
	config_free(&config);
	return status;
}
