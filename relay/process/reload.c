#include "relay/process/reload.h"
#include "relay/base/log.h"
#include "relay/process/control_socket.h"
#include "relay/process/policy_source.h"
#include "relay/process/secrets.h"
#include "relay/process/successor.h"
#include "relay/process/trial.h"

static bool
is_same(const struct buf *a, const struct buf *b)
{
	return span_eq(buf_span(a), buf_span(b));
}

static int
read_policy(struct proposal *p, struct buf *errors)
{
	int r;

	buf_free(&p->bundle);
	secrets_close(&p->secrets);
	r = policy_source_read(p->config, &p->bundle, &p->policy_version, errors);
	if (secrets_read(p->config, &p->bundle, &p->secrets, errors) < 0)
		r = -E_CONFIG;
	p->is_policy_old = false;
	return r;
}

static int
proposal_read(const struct supervisor *s, struct proposal *p, struct buf *errors)
{
	struct config_errors found = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct err err = {0};
	int r = -E_CONFIG;

	errors->max = CONFIG_TEXT_MAX;
	p->config_text.max = CONFIG_TEXT_MAX;
	if (file_read(s->config_file, CONFIG_TEXT_MAX, &p->config_text, &err) < 0) {
		(void)buf_addf(errors, "%s\n", err.text); /* bounded */
		return -E_CONFIG;
	}
	p->config =
	    plugins_parse_config(buf_span(&p->config_text), s->config_file, &p->plugins, &found);
	if (p->config != NULL) {
		r = config_check_machine(p->config, &found);
		if (read_policy(p, errors) < 0)
			r = -E_CONFIG;
	}
	(void)buf_add_span(errors, buf_span(&found.lines)); /* same bound */
	buf_free(&found.lines);
	if (r == 0 && (strcmp(p->config->state_dir, s->config->state_dir) != 0 ||
			  strcmp(p->config->run_dir, s->config->run_dir) != 0)) {
		(void)buf_addf(errors,
		    "%s: state_dir and run_dir cannot change while the relay runs; restart it\n",
		    s->config_file); /* bounded */
		return -E_CONFIG;
	}
	return r;
}

static void
proposal_free(struct proposal **proposal)
{
	struct proposal *p = *proposal;

	if (p == NULL)
		return;
	buf_free(&p->config_text);
	buf_free(&p->bundle);
	config_free(&p->config);
	plugins_free(&p->plugins);
	secrets_close(&p->secrets);
	mem_free(p);
	*proposal = NULL;
}

/* What was in force is freed. */
static void
take(struct supervisor *s, struct proposal *p)
{
	struct proposal before = *p;

	before.config_text = s->config_text;
	before.bundle = s->bundle;
	before.plugins = s->plugins;
	before.config = s->config;
	before.secrets = s->secrets;
	s->config_text = p->config_text;
	s->bundle = p->bundle;
	s->plugins = p->plugins;
	s->config = p->config;
	s->secrets = p->secrets;
	s->policy_version = p->policy_version;
	*p = before;
	trial_watch(s);
}

void
reload_refuse(struct supervisor *s, struct span lines)
{
	log_event(LOG_ERROR, "reload refused", KV("errors", lines));
	proposal_free(&s->next);
	control_reload_done(s->control, EXIT_CONFIG, lines);
}

/* What the proposal cannot have after all; 0 when there is nothing of that kind. */
static int
look_again(
    struct supervisor *s, const struct child *filter, struct buf *errors, struct buf *lacking)
{
	struct err err = {0};

	loads_compare(&filter->loads, &successor_filter(s)->loads, errors, lacking);
	if (errors->n > 0)
		return -E_CONFIG;
	if (s->next->is_policy_old && read_policy(s->next, errors) < 0)
		return -E_CONFIG;
	if (listener_open_all(&s->listeners, s->next->config, &err) < 0) {
		(void)buf_addf(errors, "%s\n", err.text); /* bounded */
		return -E_CONFIG;
	}
	return 0;
}

void
reload_commit(struct supervisor *s, struct child *filter)
{
	struct buf errors = BUF_INIT(CONFIG_TEXT_MAX), lacking = BUF_INIT(CONFIG_TEXT_MAX);

	if (look_again(s, filter, &errors, &lacking) < 0) {
		reload_refuse(s, buf_span(&errors));
		child_stop(filter);
	} else {
		log_event(LOG_INFO, "reload", KV_INT("policy", s->next->policy_version),
		    KV_STR("configuration", "changed"));
		take(s, s->next);
		proposal_free(&s->next);
		s->generation++;
		successor_take_place(s, filter);
		s->renewal = RENEWAL_STOPPING; /* supervisor_child_changed goes on with it */
		control_reload_done(s->control, EXIT_OK, buf_span(&lacking));
	}
	buf_free(&errors);
	buf_free(&lacking);
}

static bool
has_new_config(const struct supervisor *s, const struct proposal *p)
{
	/* Who reloads though nothing has changed here wants that to be tried again. */
	return !is_same(&p->config_text, &s->config_text) ||
	       !is_same(&p->plugins.bytes, &s->plugins.bytes) ||
	       p->plugins.stamp != s->plugins.stamp || successor_filter(s)->loads.barred.n > 0;
}

/* Nothing new is loaded: what the filter role does without is worth a line all the same. */
static void
tell_unloaded(const struct supervisor *s, struct buf *lines)
{
	const struct loads *loads = &successor_filter(s)->loads;

	loads_compare(loads, loads, lines, lines);
}

int
supervisor_reload(struct supervisor *s, struct buf *errors)
{
	struct proposal *p = mem_alloc(sizeof(*p));
	bool has_new_policy, had_next = s->next != NULL;

	p->secrets = -1;
	if (proposal_read(s, p, errors) < 0) {
		proposal_free(&p);
		return -E_CONFIG;
	}
	buf_clear(errors); /* warnings */
	proposal_free(&s->next);
	if (has_new_config(s, p)) {
		s->next = p; /* whoever waits for the one before waits for this one */
		successor_propose(s);
		if (s->next != NULL)
			return 0;
		(void)buf_addf(errors, "the filter role cannot be started; the log says why\n");
		return -E_CONFIG;
	}
	log_event(LOG_INFO, "reload", KV_INT("policy", p->policy_version),
	    KV_STR("configuration", "same"));
	has_new_policy = !is_same(&p->bundle, &s->bundle);
	take(s, p);
	proposal_free(&p);
	if (had_next)
		successor_propose(s);
	tell_unloaded(s, errors);
	if (has_new_policy) {
		s->generation++;
		supervisor_send_policy(s);
	} else {
		child_send_secrets(&s->children[ROLE_KEY]); /* users may have changed */
	}
	control_reload_done(s->control, EXIT_OK, (struct span){0});
	return 0;
}

int
supervisor_reload_policy(struct supervisor *s, struct buf *errors)
{
	struct buf bundle = BUF_INIT(0);
	uint64_t version;

	if (policy_source_read(s->config, &bundle, &version, errors) < 0) {
		buf_free(&bundle);
		return -E_CONFIG;
	}
	secrets_keep_certificates(s->config, buf_span(&s->bundle), &bundle);
	log_event(LOG_INFO, "reload", KV_INT("policy", version));
	s->policy_version = version;
	if (s->next != NULL)
		s->next->is_policy_old = true;
	trial_watch(s);
	if (is_same(&bundle, &s->bundle)) {
		buf_free(&bundle);
		return 0;
	}
	buf_free(&s->bundle);
	s->bundle = bundle;
	s->generation++;
	supervisor_send_policy(s);
	return 0;
}
