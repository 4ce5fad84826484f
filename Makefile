# perigee: `make help` lists the targets. Everything built goes to $(BUILD).

BUILD   ?= build
VERSION := 0.1.0
CC      ?= cc

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
USES_serve    := client registry watch io select catalog base
USES_agent    := config serve vm client registry watch io select catalog base
USES_cli      := agent config serve vm client registry watch io select catalog base
FOLDERS := base catalog select client watch io registry vm config serve agent cli

PACKAGES := luajit libuv libcurl jansson lmdb openssl libcares
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -l:liblua5.1-cjson.so.0
LLHTTP     := /usr/share/llhttp

OPT      ?= -O2 -g
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wno-unused-parameter
HARDEN   := -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2 -fPIC -fvisibility=hidden
SANITIZE ?=
ifneq ($(SANITIZE),)
HARDEN   := -fPIC -fvisibility=hidden -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=$(SANITIZE)
endif
CFLAGS_ALL  = -std=c11 -D_GNU_SOURCE -DPERIGEE_VERSION='"$(VERSION)"' -Iruntime $(PKG_CFLAGS) -I/usr/share/include/llhttp $(OPT) $(WARN) $(HARDEN) $(CFLAGS)
LDFLAGS_ALL = $(HARDEN) -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)

all: $(BUILD)/perigee $(BUILD)/libperigee.so $(BUILD)/libperigee.a

define FOLDER_RULES
SRC_$(1) := $$(wildcard runtime/$(1)/*.c)
OBJ_$(1) := $$(SRC_$(1):runtime/%.c=$(BUILD)/obj/%.o)
$(BUILD)/obj/lib$(1).a: $$(OBJ_$(1))
	@rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call FOLDER_RULES,$(f))))
libs-of = $(foreach f,$(1) $(USES_$(1)),$(BUILD)/obj/lib$(f).a)

$(BUILD)/obj/%.o: runtime/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
$(BUILD)/obj/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 $(OPT) -I/usr/share/include/llhttp $(HARDEN) -w -c $< -o $@
LLHTTP_OBJ := $(patsubst %,$(BUILD)/obj/llhttp/%.o,api http llhttp)

$(BUILD)/perigee: $(call libs-of,cli) $(LLHTTP_OBJ)
	$(CC) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LDFLAGS_ALL) $(PKG_LIBS) -lm -lpthread

CLIENT_OBJ = $(OBJ_client) $(OBJ_select) $(OBJ_catalog)
$(BUILD)/libperigee.so: $(CLIENT_OBJ)
	$(CC) -shared -Wl,-soname,libperigee.so.0 -o $@ $^ $(LDFLAGS_ALL) -lm
$(BUILD)/libperigee.a: $(CLIENT_OBJ)
	@rm -f $@ && ar rcs $@ $^

# spec/FOLDER/NAME_test.c: one cmocka program each, linked with runtime/FOLDER and what that uses.
TESTS := $(patsubst spec/%.c,$(BUILD)/spec/%,$(wildcard spec/*/*_test.c))
define TEST_RULE
$(1): spec/$(patsubst $(BUILD)/spec/%,%,$(1)).c $(call libs-of,$(patsubst %/,%,$(dir $(patsubst $(BUILD)/spec/%,%,$(1))))) $(LLHTTP_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS_ALL) -Ispec -o $$@ $$< -Wl,--start-group $$(filter %.a %.o,$$^) -Wl,--end-group $$(LDFLAGS_ALL) $$(PKG_LIBS) -lcmocka -lm -lpthread
endef
$(foreach t,$(TESTS),$(eval $(call TEST_RULE,$(t))))
tests: $(TESTS)

clean:
	rm -rf $(BUILD)

-include $(foreach f,$(FOLDERS),$(OBJ_$(f):.o=.d))
.PHONY: all tests clean
