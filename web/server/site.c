#include "web/server/site.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <jansson.h>
#include <stdio.h>

static const char html[] = "text/html; charset=utf-8";
static const char plain[] = "text/plain; charset=utf-8";
static const char json[] = "application/json";

struct site_wait {
	struct asks *asks;
	uint64_t id;
	struct site_reply *reply;
	void (*finish)(struct site_reply *reply, int status, struct span body);
	void (*done)(void *arg);
	void *arg;
};

static void
set_text(struct site_reply *reply, unsigned status, const char *type, struct span body)
{
	reply->status = status;
	reply->type = type;
	(void)buf_add_span(&reply->body, body); /* far below PAGE_BYTES_MAX, or bounded by ask */
}

void
site_refuse(struct site_reply *reply, unsigned status, const char *heading, const char *text)
{
	*reply = (struct site_reply){.status = status, .type = html};
	reply->body = BUF_INIT(PAGE_BYTES_MAX);
	page_message(&reply->body, heading, text);
}

static void
ask_to_sign_in(struct site_reply *reply, const char *note)
{
	reply->status = 401;
	reply->type = html;
	page_sign_in(&reply->body, note);
}

/* What we pass on and put into a header is a word of letters and digits. */
static bool
is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = char_lower(s.p[i]);

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.n > 0 && s.n <= SITE_TOKEN_MAX;
}

/* --- answers of the supervisor ----------------------------------------------------------------- */

static void
finish_ready(struct site_reply *reply, int status, struct span body)
{
	(void)body;
	if (status == EXIT_OK)
		set_text(reply, 200, plain, SPAN("ready\n"));
	else
		set_text(reply, 503, plain, SPAN("not ready\n"));
}

static void
finish_sign_in(struct site_reply *reply, int status, struct span body)
{
	if (status == EXIT_OK && is_token(body)) {
		(void)snprintf(reply->cookie, sizeof(reply->cookie),
		    SITE_COOKIE "=%.*s; Path=/; HttpOnly; SameSite=Strict", SPAN_ARG(body));
		reply->location = "/";
		set_text(reply, 303, plain, SPAN("signed in\n"));
	} else if (status == EXIT_NO) {
		ask_to_sign_in(reply, "This link is not valid, or it has been used already.");
		reply->status = 403;
	} else {
		site_refuse(reply, 503, "Not available",
		    "The relay did not answer. Try the link again in a moment.");
	}
}

static void
finish_status_page(struct site_reply *reply, int status, struct span body)
{
	json_t *object = status == EXIT_OK ? json_loadb(body.p, body.n, 0, NULL) : NULL;

	if (status == EXIT_NO) {
		ask_to_sign_in(reply, "Your session has ended.");
	} else if (!json_is_object(object)) {
		site_refuse(reply, 503, "Not available",
		    "The relay did not tell its status. Try again in a moment.");
	} else {
		reply->status = 200;
		reply->type = html;
		page_status(&reply->body, object);
	}
	json_decref(object);
}

static void
finish_status_json(struct site_reply *reply, int status, struct span body)
{
	if (status == EXIT_OK)
		set_text(reply, 200, json, body);
	else if (status == EXIT_NO)
		set_text(reply, 401, json, SPAN("{\"error\":\"not signed in\"}\n"));
	else
		set_text(reply, 503, json, SPAN("{\"error\":\"the relay did not answer\"}\n"));
}

/* --- asking ------------------------------------------------------------------------------------ */

static void
on_answer(void *arg, int status, struct span body)
{
	struct site_wait *w = arg;
	void (*done)(void *) = w->done;
	void *done_arg = w->arg;

	w->finish(w->reply, status, body);
	mem_free(w);
	done(done_arg);
}

void
site_cancel(struct site_wait **w)
{
	if (*w == NULL)
		return;
	ask_cancel((*w)->asks, (*w)->id);
	mem_free(*w);
	*w = NULL;
}

/* Sends the question of `w`, or answers at once that there are too many. */
static struct site_wait *
ask(struct site_wait *w, const char *verb, struct span word)
{
	const struct span words[] = {SPAN("console"), span_str(verb), word};
	struct site_reply *reply = w->reply;

	w->id = ask_send(w->asks, words, word.n > 0 ? 3 : 2, on_answer, w);
	if (w->id != 0)
		return w;
	mem_free(w);
	site_refuse(
	    reply, 503, "Too busy", "Too many requests wait already. Try again in a moment.");
	return NULL;
}

static struct site_wait *
wait_new(struct asks *asks, struct site_reply *reply,
    void (*finish)(struct site_reply *, int, struct span), void (*done)(void *), void *arg)
{
	struct site_wait *w = mem_alloc(sizeof(*w));

	*w = (struct site_wait){
	    .asks = asks, .reply = reply, .finish = finish, .done = done, .arg = arg};
	return w;
}

/* --- routes ------------------------------------------------------------------------------------ */

/* Replies that need nobody: true when this path has one. */
static bool
reply_at_once(const struct site_request *request, struct site_reply *reply)
{
	if (span_eq(request->path, SPAN("/healthz")))
		set_text(reply, 200, plain, SPAN("ok\n"));
	else if (span_eq(request->path, SPAN("/style.css")))
		set_text(reply, 200, "text/css; charset=utf-8", page_style());
	else if (span_eq(request->path, SPAN("/metrics")))
		set_text(reply, 501, plain, SPAN("not in this version\n"));
	else
		return false;
	return true;
}

static struct site_wait *
sign_in(struct asks *asks, const struct site_request *request, struct site_reply *reply,
    void (*done)(void *), void *arg)
{
	/* A look ahead, as mail and chat programs take at links, does not use the link up. */
	if (span_eq(request->method, SPAN("HEAD"))) {
		ask_to_sign_in(reply, NULL);
		return NULL;
	}
	if (is_token(request->token))
		return ask(
		    wait_new(asks, reply, finish_sign_in, done, arg), "sign-in", request->token);
	ask_to_sign_in(reply, "This link is not complete.");
	reply->status = 400;
	return NULL;
}

static struct site_wait *
status(struct asks *asks, const struct site_request *request, struct site_reply *reply,
    bool is_page, void (*done)(void *), void *arg)
{
	if (is_token(request->session))
		return ask(wait_new(asks, reply, is_page ? finish_status_page : finish_status_json,
			       done, arg),
		    "status", request->session);
	if (is_page)
		ask_to_sign_in(reply, NULL);
	else
		finish_status_json(reply, EXIT_NO, (struct span){0});
	return NULL;
}

static const struct span api_status = {"/api/v1/status", sizeof("/api/v1/status") - 1};

/* Of the API what is not there yet, whatever is asked of it. */
static bool
is_later(struct span path)
{
	return span_starts(path, SPAN("/api/")) && !span_eq(path, api_status);
}

struct site_wait *
site_begin(struct asks *asks, const struct site_request *request, struct site_reply *reply,
    void (*done)(void *), void *arg)
{
	*reply = (struct site_reply){.body = BUF_INIT(PAGE_BYTES_MAX)};
	if (is_later(request->path)) {
		set_text(reply, 501, json, SPAN("{\"error\":\"not in this version\"}\n"));
		return NULL;
	}
	if (!span_eq(request->method, SPAN("GET")) && !span_eq(request->method, SPAN("HEAD"))) {
		if (span_eq(request->path, api_status))
			set_text(
			    reply, 405, json, SPAN("{\"error\":\"not allowed; it takes GET\"}\n"));
		else
			site_refuse(
			    reply, 405, "Not allowed", "This console only shows; it takes GET.");
		reply->allow = "GET, HEAD";
		return NULL;
	}
	if (reply_at_once(request, reply))
		return NULL;
	if (span_eq(request->path, SPAN("/readyz")))
		return ask(
		    wait_new(asks, reply, finish_ready, done, arg), "ready", (struct span){0});
	if (span_eq(request->path, SPAN("/sign-in")))
		return sign_in(asks, request, reply, done, arg);
	if (span_eq(request->path, SPAN("/")))
		return status(asks, request, reply, true, done, arg);
	if (span_eq(request->path, api_status))
		return status(asks, request, reply, false, done, arg);
	site_refuse(reply, 404, "Not found", "There is no such page.");
	return NULL;
}
