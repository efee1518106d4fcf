"""Filters as shared objects: the guide's example at work, what is refused and how it is said."""

import os

import mail
import plugins
import relay as relays
import smtp
from case import FolderCase
from waiting import wait_until

QUIET = """
#include <postern_filter.h>
static const struct pnf_outcome outcomes[] = {{"OUTCOME", "tag", "x"}, {0}};
static const struct pnf_about about = {.name = "NAME", .version = "1", .summary = "x", .outcomes = outcomes};
const struct pnf_filter SYMBOL __attribute__((visibility("default"))) = {
    .abi_major = MAJOR, .abi_minor = MINOR, .size = SIZE, .about = &about};
BEGIN
"""


def quiet(**words):
    words = {"OUTCOME": "seen", "NAME": "quiet", "SYMBOL": "postern_filter", "MAJOR": "PNF_ABI_MAJOR",
             "MINOR": "PNF_ABI_MINOR", "SIZE": "sizeof(struct pnf_filter)", "BEGIN": "", **words}
    source = QUIET
    for name, value in words.items():
        source = source.replace(name, value, 1)
    return source


class Guide(FolderCase):
    """The example of docs/filter-guide.md, compiled with the installed header alone."""

    def test_example(self):
        folder = plugins.build(self.folder, "size", plugins.guide_example(), "-Werror", "-std=c11")
        relay, gateway = self.pair(
            filters=("large", "tag"), score="tag = 5",
            sections=f'plugins = "{folder}"\nfilter "large" {{ plugin = "size"  limit = 20K }}',
            domains='domain "strict.example" { gateway = "inside"  filter "large" { large = "reject" } }')
        self.assertEqual(smtp.send(relay.port, mail.plain("small")).code, 250)
        self.assertEqual(gateway.wait_subject("small").header("X-Postern-Tag"), [])
        big = mail.plain("big one", "x\n" * 20000)
        self.assertEqual(smtp.send(relay.port, big).code, 250)
        tags = gateway.wait_subject("big one").header("X-Postern-Tag")
        self.assertTrue([t for t in tags if t.startswith("large; by=large")], tags)
        self.assertTrue([t for t in tags if t.startswith("large-mail; by=large; score=0.5")], tags)
        reply = smtp.send(relay.port, big, to=["a@strict.example"])
        self.assertEqual((reply.code, reply.enhanced), (550, "5.7.1"), reply)
        # The same through explain, which runs it in a role of its own; and the plan.
        path = self.path("big.eml")
        with open(path, "wb") as f:
            f.write(big)
        done = relay.command("explain", "--offline", "--client", "192.0.2.1", "--to", "a@strict.example", path, "--json")
        self.assertEqual((done.status, done.json["action"]), (1, "reject"), done)
        flow, = relay.command("plan", "--json").lines
        self.assertEqual(flow["filters"][0]["options"], {"limit": 20480})
        self.assertEqual(flow["filters"][0]["actions"], {"large": "tag", "failure": "tempfail"})
        self.assertEqual(flow["filters"][0]["domains"], {"strict.example": {"large": "reject"}})
        self.assertEqual(flow["filters"][0]["may"], ["tag", "score"])
        # Nobody but the filter role has mapped it.
        for role, pids in relay.roles().items():
            for pid in pids:
                with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
                    self.assertEqual("size.so" in f.read(), role == "filter", role)

    def test_reload_takes_another(self):
        folder = plugins.build(self.folder, "quiet", quiet())
        relay, gateway = self.pair(filters=("quiet",), sections=f'plugins = "{folder}"')
        self.assertEqual(smtp.send(relay.port, mail.plain("before")).code, 250)
        os.unlink(os.path.join(folder, "quiet.so"))
        plugins.build(self.folder, "quiet", plugins.TROUBLE.replace("NAME", "quiet"))
        self.assertEqual(relay.reload().status, 0)
        wait_until(lambda: smtp.send(relay.port, mail.plain("bad", headers="X-Bad: 1\n")).code == 550, "the new plugin")
        # One that is broken changes nothing.
        plugins.build(self.folder, "quiet", quiet(MAJOR="9"))
        done = relay.reload()
        self.assertNotEqual(done.status, 0)
        self.assertIn("ABI version 9", done.out + done.err)
        self.assertEqual(smtp.send(relay.port, mail.plain("bad", headers="X-Bad: 1\n")).code, 550)
        self.assertTrue(gateway.wait_subject("before"))


LATE = """
#include <postern_filter.h>
#include <stdio.h>
static const struct pnf_host *host;
static int64_t most;
static const struct pnf_outcome outcomes[] = {{"many", "reject", "more recipients than `most`"}, {0}};
static const struct pnf_option options[] = {{"most", PNF_OPTION_NUMBER, "3", "recipients a mail may have"}, {0}};
static const struct pnf_about about = {.name = "many", .version = "1", .summary = "x", .outcomes = outcomes, .options = options};
static unsigned n;
static int load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t size)
{
    (void)self;
    host = h;
    most = h->option_number(c, "most");
    if (most > 0)
        return PNF_LOADED;
    snprintf(why, size, "most = 0 lets nothing through; write 1 or more");
    return PNF_BROKEN;
}
static void start(void *self, struct pnf_msg *m, const struct pnf_client *c) { (void)self, (void)m, (void)c; n = 0; }
static void rcpt(void *self, struct pnf_msg *m, struct pnf_span to) { (void)self, (void)m, (void)to; n++; }
static void eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
    (void)self, (void)raw;
    if (n > most)
        (void)host->outcome(m, "REPORTED", (struct pnf_span){"WHY", sizeof("WHY") - 1});
}
PNF_PLUGIN(.about = &about, .load = load, .connect = start, .rcpt = rcpt, .eom = eom);
"""


def late(why="so it is", reported="many"):
    return LATE.replace("WHY", why).replace("REPORTED", reported)


class Changed(FolderCase):
    """What a filter's author does next: compiles it again, mistypes a word, gives settings that cannot work."""

    TO = ("a@example.org", "b@example.org", "c@example.org")

    def pair_of(self, most=2):
        self.plugin_folder = plugins.build(self.folder, "many", late())
        return self.pair(filters=("many", "header"), sections=f'plugins = "{self.plugin_folder}"\nfilter "many" {{ most = {most} }}')

    def build(self, relay, source):
        os.unlink(os.path.join(self.plugin_folder, "many.so"))  # as install does: what is mapped stays whole
        plugins.build(self.folder, "many", source)
        self.assertEqual(relay.reload().status, 0)

    def test_same_words_other_code(self):
        relay, _ = self.pair_of()
        self.assertIn("so it is", smtp.send(relay.port, mail.plain(), to=self.TO).text)
        self.build(relay, late(why="quite another reason"))
        wait_until(lambda: "quite another reason" in smtp.send(relay.port, mail.plain(), to=self.TO).text, "the new code")
        # Nothing has changed: nothing is started anew.
        roles = relay.roles()
        self.assertEqual(relay.reload().status, 0)
        self.assertEqual(relay.roles(), roles)

    def test_outcome_that_is_not_declared(self):
        relay, gateway = self.pair_of()
        self.build(relay, late(reported="mayn"))
        wait_until(lambda: smtp.send(relay.port, mail.plain("too many"), to=self.TO).code == 451, "a failure")
        event = relay.events("filter overreaches")[0]
        self.assertEqual((event["filter"], event["name"]), ("many", "mayn"))
        self.assertEqual(smtp.send(relay.port, mail.plain("few")).code, 250)
        gateway.wait_subject("few")

    def test_settings_that_cannot_work(self):
        """They are not put in force. A relay that starts with them says why; each message fails at once, and with the
        next good settings all is well."""
        relay, gateway = self.pair_of()
        good = relay.settings.sections
        relay.settings.sections = good.replace("most = 2", "most = 0")
        relay.write()
        done = relay.reload()
        self.assertEqual(done.status, 78, done)
        self.assertIn("filter many: most = 0 lets nothing through; write 1 or more", done.err)
        self.assertEqual(smtp.send(relay.port, mail.plain("before")).code, 250)
        gateway.wait_subject("before")
        relay.restart()
        wait_until(lambda: "most = 0 lets nothing through" in relay.command("status").out, "status to say why")
        self.assertIn("write 1 or more", relay.command("status").out)
        self.assertEqual(smtp.send(relay.port, mail.plain("unseen")).code, 451)
        relay.settings.sections = good
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        wait_until(lambda: smtp.send(relay.port, mail.plain("seen")).code == 250, "the filter to work again")
        gateway.wait_subject("seen")
        self.assertFalse([m for m in gateway.kept() if "unseen" in m.header("Subject")])

    def test_pattern_that_does_not_compile(self):
        """Of the built-in filters that need nothing else settings are tried before they are put in force."""
        relay, gateway = self.pair(filters=("content", "header"), sections='filter "content" { subject = {"/bad/"}  matched = "reject" }')
        relay.settings.sections = 'filter "content" { subject = {"/(/"} }\nfilter "header" { match = {"no colon"} }'
        relay.write()
        for done in (relay.command("check"), relay.reload()):
            self.assertEqual(done.status, 78, done)
            self.assertIn('filter "content": /(/: missing', done.out + done.err)
            self.assertIn('filter "header": no colon', done.out + done.err)
        self.assertEqual(smtp.send(relay.port, mail.plain("bad")).code, 550)
        self.assertEqual(smtp.send(relay.port, mail.plain("good")).code, 250)
        gateway.wait_subject("good")


# Its load does what `mode` says; it has a word of its own on each mail that it sees.
LOADS = r"""
#include <postern_filter.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static const struct pnf_host *host;
static char start_mode[16];
static const struct pnf_outcome outcomes[] = {{"seen", "tag", "always"}, {0}};
static const struct pnf_option options[] = {{"mode", PNF_OPTION_TEXT, "fine", "what load does"},
    {"list", PNF_OPTION_TEXT, "", "a file, for mode file"}, {0}};
static const struct pnf_about about = {.name = "loads", .version = "1", .summary = "x", .outcomes = outcomes, .options = options};
static int load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t size)
{
    const char *mode = h->option_text(c, "mode");
    FILE *list;

    (void)self;
    host = h;
    if (strcmp(mode, "file") == 0) {
        if ((list = fopen(h->option_text(c, "list"), "r")) == NULL) {
            snprintf(why, size, "its list: %s; write it", strerror(errno));
            return PNF_NOT_NOW;
        }
        fclose(list);
        return PNF_LOADED;
    }
    if (strcmp(mode, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL); /* without a sanitizer's report */
        *(volatile int *)8 = 1;
    }
    while (strcmp(mode, "hang") == 0)
        pause();
    if (strcmp(mode, "exit") == 0)
        _exit(3);
    snprintf(start_mode, sizeof(start_mode), "%s", mode);
    if (strcmp(mode, "fine") == 0 || strncmp(mode, "start", 5) == 0)
        return PNF_LOADED;
    snprintf(why, size, "the mode is %s; write fine", mode);
    return strcmp(mode, "later") == 0 ? PNF_NOT_NOW : PNF_BROKEN;
}
static int start(void *self, const char *tmpdir, char *why, size_t size)
{
    (void)self, (void)tmpdir;
    snprintf(why, size, "it cannot begin; write fine");
    if (strcmp(start_mode, "start-crash") == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile int *)8 = 1;
    }
    return strcmp(start_mode, "start") == 0 ? -1 : 0;
}
static void eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
    (void)self, (void)raw;
    (void)host->outcome(m, "seen", (struct pnf_span){"it was there", 12});
}
PNF_PLUGIN(.about = &about, .load = load, .start = start, .eom = eom);
"""

# What its load may do that ends the process, and how that is said.
DEADLY = {"crash": "filter loads: its load crashed (signal 11: Segmentation fault)", "hang": "filter loads: its load took over 5 s",
          "exit": "filter loads: its load ended the process (exit status 3)"}
NO_START = {"start": "filter loads: it cannot begin; write fine",
            "start-crash": "filter loads: its start does not come back (signal 11: Segmentation fault)"}


class Load(FolderCase):
    """A load that crashes or hangs hurts its own filter alone, and says so."""

    def pair_of(self, mode):
        folder = plugins.build(self.folder, "loads", LOADS)
        self.sections = (f'plugins = "{folder}"\n'
                         'filter "loads" { mode = "MODE"  load_deadline = 5s  failure = "tag" }\n'
                         'filter "content" { subject = {"/bad/"}  matched = "reject" }')
        return self.pair(filters=("loads", "content"), sections=self.sections.replace("MODE", mode))

    def reload(self, relay, mode):
        relay.settings.sections = self.sections.replace("MODE", mode)
        relay.write()
        return relay.reload()

    def tags(self, gateway, relay, subject):
        self.assertEqual(smtp.send(relay.port, mail.plain("bad")).code, 550, "the other filter is not at work")
        self.assertEqual(smtp.send(relay.port, mail.plain(subject)).code, 250)
        return "\n".join(gateway.wait_subject(subject).header("X-Postern-Tag"))

    def test_reload(self):
        """What the load refuses or dies of is refused: the old settings stay, nothing is started anew."""
        relay, gateway = self.pair_of("fine")
        roles = relay.roles()
        for mode, why in {**DEADLY, **NO_START, "wrong": "filter loads: the mode is wrong; write fine"}.items():
            with self.subTest(mode=mode):
                done = self.reload(relay, mode)
                self.assertEqual(done.status, 78, done)
                self.assertIn(why, done.err)
                self.assertIn("nothing was changed", done.err)
                self.assertIn("seen; by=loads", self.tags(gateway, relay, f"during {mode}"))
                self.assertEqual({r: p for r, p in relay.roles().items() if r != "filter"},
                                 {r: p for r, p in roles.items() if r != "filter"}, "a role was started anew")
                self.assertEqual(relay.command("status", "--json").json["problems"], [])
        # What may come by itself is taken, and said.
        done = self.reload(relay, "later")
        self.assertEqual(done.status, 0, done)
        self.assertIn("filter loads: the mode is later; write fine", done.err)
        self.assertIn("unscanned; by=loads", self.tags(gateway, relay, "during later"))
        # It is not loaded now: what is no better is no reason to be without the rest.
        done = self.reload(relay, "crash")
        self.assertEqual(done.status, 0, done)
        self.assertIn(DEADLY["crash"], done.err)
        self.assertIn("unscanned; by=loads", self.tags(gateway, relay, "still"))
        self.assertEqual(self.reload(relay, "fine").status, 0)
        self.assertIn("seen; by=loads", self.tags(gateway, relay, "at last"))
        self.assertEqual(relay.events("role died"), [])

    def test_start(self):
        """The others filter from the start; status, explain and the log name the one that does not, and why."""
        above = self.folder
        for mode, why in DEADLY.items():
            with self.subTest(mode=mode):
                self.folder = os.path.join(above, mode)
                os.mkdir(self.folder)
                relay, gateway = self.pair_of(mode)
                tag = self.tags(gateway, relay, "unseen")
                self.assertIn("unscanned; by=loads", tag)
                problem, = relay.command("status", "--json").json["problems"]
                self.assertEqual(problem, {"what": why, "do": "have it corrected, then run postern reload"})
                self.assertIn(why, [e["why"] for e in relay.events("filter not loaded")])
                path = self.write("mail.eml", "From: a@sender.example\n\nx\n")
                done = relay.command("explain", "--offline", "--client", "192.0.2.1", "--to", "a@example.org", path)
                self.assertIn("unscanned", done.out, done)
                self.assertIn(why[len("filter loads: "):], done.out, done)
                self.assertEqual(self.reload(relay, "fine").status, 0)
                self.assertIn("seen; by=loads", self.tags(gateway, relay, "seen"))
                self.assertEqual(relay.command("status", "--json").json["problems"], [])

    def test_start_hook(self):
        """A start that fails keeps all workers from their work: `status` names the filter."""
        for mode, why in NO_START.items():
            with self.subTest(mode=mode):
                self.folder = self.path(mode)
                os.mkdir(self.folder)
                relay, _ = self.pair_of(mode)
                wait_until(lambda what=why.split(";")[0]: what in relay.command("status").out, "status to tell it")
                self.assertEqual(self.reload(relay, "fine").status, 0)
                self.assertEqual(smtp.send(relay.port, mail.plain()).code, 250)

    def test_file_that_comes_later(self):
        """What was missing at the start is loaded when it is there, without a reload."""
        folder = plugins.build(self.folder, "loads", LOADS)
        os.mkdir(self.path("lists"), 0o755)
        path = self.path("lists", "words")
        relay, gateway = self.pair(filters=("loads",), sections=f'plugins = "{folder}"\n'
                                   f'filter "loads" {{ mode = "file"  list = "{path}"  failure = "tag" }}')
        problems = lambda: [p["what"] for p in relay.command("status", "--json").json["problems"]]  # noqa: E731
        self.assertEqual(problems(), ["filter loads: its list: No such file or directory"])
        done = relay.reload()  # of what has not changed
        self.assertEqual((done.status, done.err), (0, "filter loads: its list: No such file or directory; write it\n"))
        self.write("lists/words", "word\n")
        wait_until(lambda: problems() == [], lambda: f"the file to be loaded; status: {problems()}")
        self.assertEqual(smtp.send(relay.port, mail.plain("later")).code, 250)
        self.assertIn("seen; by=loads", "\n".join(gateway.wait_subject("later").header("X-Postern-Tag")))

    def test_while_it_hangs(self):
        """`status` says what is being loaded; it ends with its supervisor; and better settings do not wait for it."""
        folder = plugins.build(self.folder, "loads", LOADS)
        sections = f'plugins = "{folder}"\nfilter "loads" {{ mode = "MODE"  load_deadline = 1h }}'
        gateway = self.starting(self.gateway())
        relay = self.relay(gateway, filters=("loads",), sections=sections.replace("MODE", "hang"))
        self.addCleanup(relay.stop)
        relay.spawn()
        tells = lambda: "filter starting (loading loads)" in relay.command("status").out  # noqa: E731
        wait_until(tells, "status to tell it")
        # A spool that is being made for the first time hears late that its supervisor is gone, and keeps its lock.
        wait_until(lambda: relay.events("spool open"), "the spool to be there")
        hanging, = relay.roles()["filter"]
        relays.kill_hard(relay.roles()["supervisor"][0])
        wait_until(lambda: not relays.is_alive(hanging), "the process that hangs in its load to end")
        wait_until(tells, "status to tell it again")
        relay.settings.sections = sections.replace("MODE", "fine")
        relay.write()
        self.assertEqual(relay.reload().status, 0)
        self.assertEqual(smtp.send(relay.port, mail.plain("fine")).code, 250)
        gateway.wait_subject("fine")


class Reasons(FolderCase):
    """Why a filter failed is said with its name wherever the message is told of."""

    def test_crash_and_switched_off(self):
        switch = plugins.Switch(self.folder)
        relay, _ = self.pair(
            filters=("trouble",),
            sections=f'plugins = "{switch.plugins}"\nfilter "trouble" {{ failure = "hold"  max_failures = 3  pause = 1h }}')
        self.assertEqual(smtp.send(relay.port, mail.plain("one", headers="X-Trouble: crash\n")).code, 250)
        crashed = "filter trouble: failure: crashed on this message (signal 11: Segmentation fault)"
        held, = relay.command("queue", "list", "--json").lines
        self.assertEqual(held["last_reply"], crashed)
        self.assertIn(crashed, relay.command("trace", "--json", held["id"]).out)
        self.assertEqual({e["filter"] for e in relay.events("worker died")}, {"trouble"})
        path = self.write("mail.eml", "From: a@sender.example\nX-Trouble: crash\n\nx\n")
        done = relay.command("explain", "--offline", "--client", "192.0.2.1", "--to", "a@example.org", path)
        self.assertIn(crashed, done.out, done)
        switch.set("all crash")
        smtp.send(relay.port, mail.plain("two"))
        wait_until(lambda: relay.events("filter not asked any more"), "the filter to be switched off")
        self.assertEqual(smtp.send(relay.port, mail.plain("three")).code, 250)
        self.assertIn("filter trouble: failure: switched off after 3 failures in a row; tried again every 3600 s",
                      [e["last_reply"] for e in relay.command("queue", "list", "--json").lines])

    def test_edits_and_plan(self):
        """`explain` shows what is done to the header section, `plan` who says what an outcome leads to."""
        relay = self.relay(self.gateway(), filters=("header", "attachment"), flow='filter "attachment" { macro = "tag" }', sections="""
filter "header" { add = {"X-Seen: yes"}  remove = {"X-Old"} }
filter "attachment" { encrypted = "tag"  failure = "hold" }""")
        path = self.write("mail.eml", "From: a@sender.example\nX-Old: y\n\nx\n")
        words = ("explain", "--offline", "--client", "192.0.2.1", "--to", "a@example.org", path)
        steps = [(s["fact"], s["value"], s["result"]) for s in relay.command(*words, "--json").json["steps"]]
        self.assertEqual(sorted(s for s in steps if s[0] == "header"),
                         [("header", "add X-Seen: yes", "by header"), ("header", "remove X-Old", "by header")])
        self.assertRegex(relay.command(*words).out, r"data +header +add X-Seen: yes +by header")
        plan = relay.command("plan").out
        for word in (r"blocked +-> reject +\(default\)", r"macro +-> tag +\(flow\)", r"encrypted +-> tag +\(filter\)",
                     r"failure +-> hold +\(filter\)", r"failure +-> tempfail +\(default\)", r"hashes = \(nothing\)  \(default\)"):
            self.assertRegex(plan, word)


class Broken(FolderCase):
    """The configuration on disk cannot be used: what asks the relay that runs needs no more of it than where that is."""

    WORDS = (("status",), ("status", "--json"), ("queue", "list"), ("trace",), ("quarantine", "list"), ("gateway", "list"),
             ("recipient", "show", "a@example.org"))

    def ask(self, relay, *errors):
        for words in self.WORDS:
            with self.subTest(words=words):
                done = relay.command(*words)
                self.assertIn(done.status, (0, 1), done)
                self.assertEqual([line.split(": ")[0] for line in done.err.splitlines() if "postern.conf" in line], list(errors))
                if words == ("status", "--json"):
                    self.assertTrue(done.json["ok"], done)
        self.assertEqual(smtp.send(relay.port, mail.plain()).code, 250)
        self.assertEqual(relay.command("check").status, 78)
        self.assertEqual(relay.reload().status, 78)

    def test_commands(self):
        folder = plugins.build(self.folder, "quiet", quiet())
        relay, _ = self.pair(filters=("quiet",), sections=f'plugins = "{folder}"')
        plugins.build(self.folder, "quiet", quiet(MAJOR="9"))
        self.ask(relay)
        os.unlink(os.path.join(folder, "quiet.so"))
        self.ask(relay)
        text = relay.settings.text(relay)
        relay.write(text + "nonsense = {\n")
        self.ask(relay, f"{relay.conf}:{text.count(chr(10)) + 1}")
        # Nobody can tell which relay is meant: all that is wrong is said instead.
        relay.write(text.replace(f'run_dir    = "{relay.run}"', 'run_dir = "x"'))
        done = relay.command("status")
        self.assertEqual(done.status, 78, done)
        self.assertIn('run_dir = "x" is not an absolute path', done.err)
        relay.write(text)
        relay.stop()
        self.assertEqual(relay.command("status").status, 78)


class Refused(FolderCase):
    """`check` says what is wrong with each, by file and line, and ends with 78."""

    def check(self, name, folder, *words, filters="quiet"):
        relay = self.relay(filters=(filters,), sections=f'plugins = "{folder}"')
        relay.write()
        with open(relay.conf, encoding="utf-8") as f:
            line = f.read().split("\n").index(f'plugins = "{folder}"') + 1
        done = relays.command("check", "-c", relay.conf)
        with self.subTest(plugin=name):
            self.assertEqual(done.status, 78, done)
            first = done.err.split("\n")[0]
            self.assertTrue(first.startswith(f"{relay.conf}:{line}: plugins: "), done.err)
            if name == filters:
                self.assertNotIn("unknown filter", done.err, "its file is there, and was told of")
            for word in words:
                self.assertIn(word, first)

    def alone(self, name, source, *words):
        os.makedirs(self.path(name))
        folder = plugins.build(self.path(name), name, source)
        self.check(name, folder, *words, filters=name)
        return folder

    def test_what_they_are(self):
        # Under a sanitizer, too, it dies without that one's report.
        crash = ("#include <signal.h>\n__attribute__((constructor)) static void begin(void)"
                 " { signal(SIGSEGV, SIG_DFL); *(volatile int *)8 = 1; }")
        net = "#include <sys/socket.h>\n__attribute__((constructor)) static void begin(void) { (void)!socket(2, 1, 0); }"
        secret = ("#include <fcntl.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void begin(void)"
                  ' { if (open("/etc/passwd", O_RDONLY) >= 0) abort(); }')
        self.alone("major", quiet(MAJOR="2"), "major.so", "built for ABI version 2", "compile it again")
        self.alone("zero", quiet(MAJOR="0"), "built for ABI version 0")
        self.alone("minor", quiet(MINOR="7"), "built for ABI version 1.7", "install a later Postern")
        self.alone("short", quiet(SIZE="16"), "16 bytes")
        self.alone("symbol", quiet(SYMBOL="other_symbol"), "no symbol postern_filter", "PNF_PLUGIN")
        self.alone("name", quiet(NAME="Has Blanks"), "no good name")
        self.alone("outcome", quiet(OUTCOME="failure"), "outcome 1")
        self.alone("action", quiet().replace('"tag"', '"tagg"'), 'the action "tagg", which is none')
        self.alone("builtin", quiet(NAME="clamav"), "built in", "rename")
        self.alone("missing", quiet(BEGIN="extern int nowhere(void); __attribute__((used)) static int (*use)(void) = nowhere;"),
                   "undefined symbol: nowhere", "name the libraries")
        self.alone("crash", quiet(BEGIN=crash), "dies when it is loaded", "crash.so")
        self.alone("net", quiet(BEGIN=net), "dies when it is loaded", "net.so")
        folder = self.alone("nothing", quiet(SYMBOL="other_symbol"), "nothing.so")
        with open(os.path.join(folder, "nothing.so"), "wb") as f:
            f.write(b"no library at all")
        self.check("text", folder, "cannot be loaded")
        # A constructor cannot read what is none of its business, and is fine otherwise.
        os.makedirs(self.path("secret"))
        folder = plugins.build(self.path("secret"), "secret", quiet(BEGIN=secret))
        relay = self.relay(filters=("quiet",), sections=f'plugins = "{folder}"', gateways=[("127.0.0.1:2600", 10)])
        done = relays.command("check", "-c", relay.conf)
        self.assertNotIn("dies", done.err)
        self.assertEqual(done.status, 0, done)

    def test_twins(self):
        folder = plugins.build(self.folder, "one", quiet())
        plugins.build(self.folder, "two", quiet())
        self.check("twins", folder, "one.so", "two.so", '"quiet"')

    def test_who_may_write(self):
        folder = plugins.build(self.folder, "quiet", quiet())
        path = os.path.join(folder, "quiet.so")
        os.chmod(path, 0o666)
        self.check("file", folder, "quiet.so", "0666", "chmod go-w")
        os.chmod(path, 0o664)
        self.check("group", folder, "0664")
        if os.geteuid() == 0:
            os.chmod(path, 0o600)
            self.check("unreadable", folder, "quiet.so", "cannot be read", "chmod a+r")
        os.chmod(path, 0o644)
        os.chmod(folder, 0o777)
        self.check("folder", folder, "0777")
        os.chmod(folder, 0o755)
        os.chmod(self.folder, 0o775)
        self.check("above", folder, self.folder, "0775")
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
            self.check("owner", folder, "user 65534", "give it to root")
            os.chown(path, 0, 0)
        os.rename(path, self.path("real.so"))
        os.symlink(self.path("real.so"), path)
        self.check("link", folder, "no link")
        self.check("missing", self.path("not-there"), "make the folder")

    def test_without_the_word(self):
        relay = self.relay(filters=("quiet",))
        done = relays.command("check", "-c", relay.conf)
        self.assertEqual(done.status, 78)
        self.assertIn('filter "quiet"', done.err)
