# perigee: `make help` lists the targets. Everything built goes to $(BUILD).

BUILD   ?= build
VERSION := 0.1.0
PREFIX  ?= /usr/local
export BUILD
# A recursive make for what was installed a moment ago: pkg-config is asked while this file is read.
AGAIN = @$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# Each folder of runtime/ with what it may use; the arrows of runtime/README.md.
USES_base     :=
USES_catalog  :=
USES_select   := catalog
USES_client   := select catalog
USES_watch    := select catalog base
USES_io       := base
USES_registry := watch select catalog base
USES_vm       := client registry watch io select catalog base
USES_config   := vm registry watch select catalog base
USES_serve    := vm client registry watch io select catalog base
USES_agent    := config serve vm client registry watch io select catalog base
USES_cli      := agent config serve vm client registry watch io select catalog base
# Within vm/, serve/ and agent/: their own files put these together.
USES_vm/isolate :=
USES_vm/bind    := isolate
USES_vm/plugin  := isolate bind
USES_vm/plan    := isolate bind plugin
USES_vm/pick    := isolate bind plugin
USES_vm/spec    := isolate bind plugin plan pick
USES_serve/view     :=
USES_serve/json     := view
USES_serve/exchange := view json
USES_serve/routes   := view json exchange
USES_serve/http     := view exchange routes
USES_agent/plugins    :=
USES_agent/plans      := plugins
USES_agent/policies   := plugins
USES_agent/registries := plugins policies
USES_agent/watches    := plugins policies registries
USES_agent/hooks      := plugins
USES_agent/routes     := plugins
FOLDERS := base catalog select client watch io registry vm config serve agent cli

PACKAGES := luajit libuv libcurl jansson lmdb openssl libcares libedit
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -l:liblua5.1-cjson.so.0 -lsimdjson -lstdc++
LLHTTP     := /usr/share/llhttp
ifneq ($(filter all,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell .ci/deps --check build || echo missing),)
$(error packages are missing)
endif
endif

OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wno-unused-parameter
HARDEN   := -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 -fPIC -fvisibility=hidden
SANITIZE ?=
ifneq ($(SANITIZE),)
HARDEN   := -fPIC -fvisibility=hidden -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=$(SANITIZE)
endif
CFLAGS_ALL  = -std=c11 -D_GNU_SOURCE -DPERIGEE_VERSION='"$(VERSION)"' -Iruntime $(PKG_CFLAGS) -I/usr/share/include/llhttp $(OPT) $(WARN) $(HARDEN) $(CFLAGS)
CXXFLAGS_ALL = $(filter-out -std=% -Wstrict-prototypes -Wmissing-prototypes,$(CFLAGS_ALL)) -std=c++17 -fno-exceptions -fno-rtti
LDFLAGS_ALL = $(HARDEN) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

# One short line a step; V=1 shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)

all: $(BUILD)/perigee $(BUILD)/libperigee.so $(BUILD)/libperigee.a ## build perigee, libperigee.so and libperigee.a

define FOLDER_RULES
SRC_$(1) := $$(wildcard runtime/$(1)/*.c runtime/$(1)/*.cpp runtime/$(1)/*/*.c)
OBJ_$(1) := $$(patsubst runtime/%,$(BUILD)/obj/%.o,$$(basename $$(SRC_$(1))))
$(BUILD)/obj/lib$(1).a: $$(OBJ_$(1))
	@rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call FOLDER_RULES,$(f))))
libs-of = $(foreach f,$(1) $(USES_$(1)),$(BUILD)/obj/lib$(f).a)

$(BUILD)/obj/%.o: runtime/%.c
	@mkdir -p $(@D)
	$(call say,cc,$<) $(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
$(BUILD)/obj/%.o: runtime/%.cpp
	@mkdir -p $(@D)
	$(call say,cc,$<) $(CC) $(CXXFLAGS_ALL) -MMD -MP -c $< -o $@
$(BUILD)/obj/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(call say,cc,$<) $(CC) -std=c11 $(OPT) -I/usr/share/include/llhttp $(HARDEN) -w -c $< -o $@
LLHTTP_OBJ := $(patsubst %,$(BUILD)/obj/llhttp/%.o,api http llhttp)

$(BUILD)/perigee: $(call libs-of,cli) $(LLHTTP_OBJ)
	$(call say,link,$@) $(CC) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDFLAGS_ALL) $(PKG_LIBS) -lm -lpthread

# Of select/ and catalog/ only what client/ reaches: no writer in a client.
CLIENT_PARTS = $(OBJ_client) $(BUILD)/obj/libselect.a $(BUILD)/obj/libcatalog.a
$(BUILD)/libperigee.so: $(CLIENT_PARTS)
	$(call say,link,$@) $(CC) -shared -Wl,-soname,libperigee.so.0 -o $@ $^ $(LDFLAGS_ALL) -lm
	@ln -sf libperigee.so $(BUILD)/libperigee.so.0
$(BUILD)/libperigee.a: $(CLIENT_PARTS)
	$(call say,link,$@) $(LD) -r -o $(BUILD)/obj/perigee.o $^ && objcopy --localize-hidden $(BUILD)/obj/perigee.o && rm -f $@ && ar rcs $@ $(BUILD)/obj/perigee.o

# The libraries of the folders that a program includes from.
folders-of = $(shell sed -n 's,^.include "\([a-z]*\)/.*,\1,p' $(1) | sort -u)
libs-for   = $(sort $(foreach f,$(filter $(FOLDERS),$(call folders-of,$(1))),$(call libs-of,$(f))))

# spec/FOLDER/NAME_test.c: one cmocka program each, linked with runtime/FOLDER and what that uses,
# and with the folders that it includes from.
TESTS := $(patsubst spec/%.c,$(BUILD)/spec/%,$(wildcard spec/*/*_test.c))
define TEST_RULE
$(1): spec/$(patsubst $(BUILD)/spec/%,%,$(1)).c $(sort $(call libs-of,$(patsubst %/,%,$(dir $(patsubst $(BUILD)/spec/%,%,$(1))))) $(call libs-for,spec/$(patsubst $(BUILD)/spec/%,%,$(1)).c)) $(LLHTTP_OBJ)
	@mkdir -p $$(@D)
	$$(call say,link,$$@) $$(CC) $$(CFLAGS_ALL) -Ispec -MMD -MP -MF $$@.d -o $$@ $$< -Wl,--start-group $$(filter %.a %.o,$$^) -Wl,--end-group $$(LDFLAGS_ALL) $$(PKG_LIBS) -lcmocka -lm -lpthread
endef
$(foreach t,$(TESTS),$(eval $(call TEST_RULE,$(t))))
tests: $(TESTS)

# examples/NAME/PROGRAM.c, or PROGRAM/*.c: linked with libperigee as any user's program would be.
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*/*.c)) $(patsubst %/,$(BUILD)/%,$(dir $(wildcard examples/*/*/main.c)))
define EXAMPLE_RULE
$(1): $$(or $$(wildcard $(2).c),$$(wildcard $(2)/*.[ch])) runtime/client/perigee.h $(BUILD)/libperigee.so $(LLHTTP_OBJ)
	@mkdir -p $$(@D)
	$$(call say,link,$$@) $$(CC) $$(CFLAGS_ALL) -Iruntime/client -o $$@ $$(filter %.c %.o,$$^) -L$(BUILD) -lperigee -Wl,-rpath,'$$$$ORIGIN/../..' $$(LDFLAGS_ALL) -luv -lm
endef
$(foreach e,$(EXAMPLES),$(eval $(call EXAMPLE_RULE,$(e),$(e:$(BUILD)/%=%))))
examples: $(EXAMPLES)

# examples/clients/go, where Debian's Go and gRPC are (the group `clients` of .ci/deps). Built in
# GOPATH mode, with these sources alone: nothing is downloaded.
GO_CLIENTS := $(BUILD)/examples/clients/go/call
$(GO_CLIENTS): export GO111MODULE := off
$(GO_CLIENTS): export GOPATH  := $(CURDIR)/examples/clients/go:/usr/share/gocode
$(GO_CLIENTS): export GOCACHE := $(CURDIR)/build/go-cache
$(GO_CLIENTS): $(filter-out %_test.go,$(wildcard examples/clients/go/src/*/*.go examples/clients/go/src/*/*/*.go))
	@mkdir -p $(@D)
	$(call say,go,$(@D)) CGO_ENABLED=0 go build -o $(@D)/ call grpccall healthserver && touch $@
tests: $(and $(shell command -v go),$(wildcard /usr/share/gocode/src/google.golang.org/grpc),$(GO_CLIENTS))

# spec/bench/NAME.c and spec/fuzz/NAME_fuzz.c: linked with the folders that they include from.
BENCHES := $(patsubst spec/%.c,$(BUILD)/%,$(wildcard spec/bench/*.c))
FUZZERS := $(patsubst spec/%.c,$(BUILD)/%,$(wildcard spec/fuzz/*_fuzz.c))
# What a program has in NAME.cpp is linked to NAME.c.
$(BUILD)/%.o: spec/%.cpp
	@mkdir -p $(@D)
	$(call say,cc,$<) $(CC) $(CXXFLAGS_ALL) -MMD -MP -c $< -o $@
define PROGRAM_RULE
$(1): spec/$(2).c $(patsubst spec/%.cpp,$(BUILD)/%.o,$(wildcard spec/$(2).cpp)) $(call libs-for,spec/$(2).c) $(LLHTTP_OBJ)
	@mkdir -p $$(@D)
	$$(call say,link,$$@) $$(CC) $$(CFLAGS_ALL) -Ispec -MMD -MP -MF $$@.d $(3) -o $$@ $$< -Wl,--start-group $$(filter %.a %.o,$$^) -Wl,--end-group $$(LDFLAGS_ALL) $$(PKG_LIBS) -lm -lpthread
endef
$(foreach b,$(BENCHES),$(eval $(call PROGRAM_RULE,$(b),$(b:$(BUILD)/%=%))))
$(foreach f,$(FUZZERS),$(eval $(call PROGRAM_RULE,$(f),$(f:$(BUILD)/%=%),-fsanitize=fuzzer)))
benches: $(BENCHES)
fuzzers: $(FUZZERS)

# spec/simulate: select/ with a clock of its own in the place of the machine's; outliers are watch/'s.
SIMULATE := $(BUILD)/spec/simulate/simulate
$(SIMULATE): $(wildcard spec/simulate/*.c spec/simulate/*.h) $(call libs-of,watch)
	@mkdir -p $(@D)
	$(call say,link,$@) $(CC) $(CFLAGS_ALL) -Ispec/simulate -o $@ $(filter %.c,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDFLAGS_ALL) -lm
tests: $(SIMULATE)

run: ## the example: an agent, three back ends and a client, until Ctrl-C (FOR=20s: for that long)
	@.ci/deps build
	$(AGAIN) all examples
	@exec $(BUILD)/examples/hello/show $(if $(FOR),--for $(FOR))

test: ## every test; ONLY="catalog vm" runs those whose path holds one of the words
	@.ci/deps build test
	-@$(if $(CI),.ci/deps clients) # large; without them their tests say that they are skipped
	$(AGAIN) all examples tests || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
	@spec/run $(ONLY)

sanitize: export ASAN_OPTIONS  = detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=1:handle_abort=1:handle_segv=2
sanitize: export UBSAN_OPTIONS = print_stacktrace=1:halt_on_error=1
sanitize: export LSAN_OPTIONS  = suppressions=$(CURDIR)/spec/support/lsan.supp:print_suppressions=0
sanitize: export SPEC_SLOWER   = 4
sanitize: ## the same under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory SANITIZE=address,undefined BUILD=build/asan OPT="-O1 -g" test

# What every process of the host links, and the programs that have threads: by what they start, or by
# saying so; of these, those whose path holds a word of ONLY.
THREADED = $(sort $(wildcard spec/catalog/*_test.c spec/select/*_test.c spec/client/*_test.c) \
  $(shell grep -lE 'spec: threads|pthread_create|uv_thread_create|store_open|rig\.h' spec/*/*_test.c))
CHOSEN = $(sort $(foreach word,$(or $(ONLY),spec/),$(foreach t,$(THREADED),$(if $(findstring $(word),$(t)),$(t)))))
tsan: export TSAN_OPTIONS = halt_on_error=1:second_deadlock_stack=1:suppressions=$(CURDIR)/spec/support/tsan.supp
tsan: export SPEC_SLOWER  = 6
tsan: ## the tests that have threads, or those of ONLY, under ThreadSanitizer
	@$(if $(CHOSEN),,echo "no test with threads has \"$(ONLY)\" in its path"; exit 2)
	@.ci/deps build test
	@$(MAKE) --no-print-directory SANITIZE=thread BUILD=build/tsan OPT="-O1 -g" $(CHOSEN:spec/%.c=build/tsan/spec/%)
	@BUILD=build/tsan spec/run $(CHOSEN)

FUZZ_SECONDS ?= 30
fuzz: ## each fuzz target for FUZZ_SECONDS (30), from spec/fuzz/corpus
	@.ci/deps build fuzz
	@$(MAKE) --no-print-directory CC=clang SANITIZE=fuzzer-no-link,address BUILD=build/fuzz OPT="-O1 -g" WARN=-w fuzzers
	@spec/fuzz/run $(FUZZ_SECONDS) $(FUZZERS:$(BUILD)/%=build/fuzz/%)

bench: ## measure; the table is also left in build/bench.json
	@.ci/deps build bench
	$(AGAIN) all examples benches
	@spec/bench/run $(BENCHES)

simulate: ## the balancers against slow, failing and new endpoints: a table, and build/simulate.svg
	@.ci/deps build
	$(AGAIN) $(SIMULATE)
	@$(SIMULATE) --svg $(BUILD)/simulate.svg
	@echo "$(BUILD)/simulate.svg shows it"

lint: ## formatting, clang-tidy, luacheck, the include arrows, file lengths, exported symbols
	@.ci/deps build lint
	$(AGAIN) $(BUILD)/libperigee.so
	@spec/lint/run

print-cflags: # for clang-tidy, which wants a compiler's own arguments
	$(info $(CFLAGS_ALL))@:

reference: ## plugins/REFERENCE.md, from lua/perigee/meta and the options of the plugins that ship
	@spec/lint/reference > plugins/REFERENCE.md

fresh: ## make run and make test in a fresh Debian 12 (needs root and a mirror)
	@.ci/fresh

deps: ## install what all targets but fuzz, bench and fresh need
	@.ci/deps build test lint

# What `make install` copies besides the programs: generated here, so that it needs no more rights
# than the copying does.
INSTALLED := perigee.1 perigee.pc perigee.service completion/bash completion/zsh completion/fish
package: all $(addprefix $(BUILD)/package/,$(INSTALLED))
$(BUILD)/package/perigee.1: $(BUILD)/perigee
	@mkdir -p $(@D)
	$< help --man > $@
$(BUILD)/package/completion/%: $(BUILD)/perigee
	@mkdir -p $(@D)
	$< completion $* > $@
FILL = sed -e 's,@PREFIX@,$(PREFIX),g' -e 's,@VERSION@,$(VERSION),g' $< > $@
.PHONY: $(BUILD)/package/perigee.pc $(BUILD)/package/perigee.service # PREFIX may differ each time
$(BUILD)/package/perigee.pc: runtime/client/perigee.pc.in
	@mkdir -p $(@D)
	$(FILL)
$(BUILD)/package/perigee.service: runtime/agent/perigee.service.in
	@mkdir -p $(@D)
	$(FILL)

TO = $(DESTDIR)$(PREFIX)
install: package ## to PREFIX (/usr/local), below DESTDIR
	install -D $(BUILD)/perigee $(TO)/bin/perigee
	install -D $(BUILD)/libperigee.so $(TO)/lib/libperigee.so.$(VERSION)
	ln -sf libperigee.so.$(VERSION) $(TO)/lib/libperigee.so.0
	ln -sf libperigee.so.0 $(TO)/lib/libperigee.so
	install -D -m 644 $(BUILD)/libperigee.a $(TO)/lib/libperigee.a
	install -D -m 644 runtime/client/perigee.h $(TO)/include/perigee.h
	install -D -m 644 $(BUILD)/package/perigee.pc $(TO)/lib/pkgconfig/perigee.pc
	install -D -m 644 $(BUILD)/package/perigee.service $(TO)/lib/systemd/system/perigee.service
	install -D -m 644 $(BUILD)/package/perigee.1 $(TO)/share/man/man1/perigee.1
	install -D -m 644 $(BUILD)/package/completion/bash $(TO)/share/bash-completion/completions/perigee
	install -D -m 644 $(BUILD)/package/completion/zsh $(TO)/share/zsh/site-functions/_perigee
	install -D -m 644 $(BUILD)/package/completion/fish $(TO)/share/fish/vendor_completions.d/perigee.fish
	find plugins lua -name '*.lua' -exec install -D -m 644 {} $(TO)/share/perigee/{} \;
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || : # so that libperigee is found by its name

uninstall: ## remove what `make install` put there, with the same PREFIX and DESTDIR
	rm -f $(addprefix $(TO)/,bin/perigee lib/libperigee.so* lib/libperigee.a include/perigee.h lib/pkgconfig/perigee.pc \
	  lib/systemd/system/perigee.service share/man/man1/perigee.1 share/bash-completion/completions/perigee \
	  share/zsh/site-functions/_perigee share/fish/vendor_completions.d/perigee.fish)
	rm -rf $(TO)/share/perigee

clean: ## remove $(BUILD)
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile | expand -t 18

-include $(foreach f,$(FOLDERS),$(OBJ_$(f):.o=.d)) $(addsuffix .d,$(TESTS) $(BENCHES) $(FUZZERS))
.PHONY: all tests examples benches fuzzers package run test sanitize tsan fuzz bench simulate lint reference print-cflags fresh deps install uninstall clean help
