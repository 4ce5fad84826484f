/* bindings: the namespaces of `perigee`, one file each, and what they share. Each open function
 * pushes its table; it runs once an isolate, protected. Control thread only. */
#pragma once

#include "vm/isolate/argument.h"

#include <lua.h>
#include <stdbool.h>

/* bind_NAME.c */
int open_json(lua_State *L);
int open_base64(lua_State *L);
int open_url(lua_State *L);
int open_hash(lua_State *L);
/* Pushes a table of pack, unpack and pack_size: perigee's own fields. */
int open_pack(lua_State *L);
int open_log(lua_State *L);
int open_time(lua_State *L);
int open_random(lua_State *L); /* pushes the function */
int open_task(lua_State *L);
int open_sleep(lua_State *L); /* pushes the function */
int open_set(lua_State *L);   /* pushes nothing that plugins name: registers the set's type */
int open_http(lua_State *L);
int open_http_response(lua_State *L); /* pushes a function of lua/perigee/test.lua's */
int open_tcp(lua_State *L);
int open_unix(lua_State *L);
int open_dns(lua_State *L);
int open_process(lua_State *L);
int open_fs(lua_State *L);
void push_module(lua_State *L, const char *name); /* what require(name) gives a plugin; raises */
int open_require(lua_State *L);                   /* sets the global `require` */
int open_registry(lua_State *L); /* pushes what lua/perigee/registry.lua rounds off */
int open_watch(lua_State *L);    /* pushes the function */
int open_env(lua_State *L);      /* pushes the function */

/* bind_log.c: a log whose lines also carry service=NAME, when it is not NULL. */
void push_service_log(lua_State *L, const char *service);

/* bind_set.c: a set as a plugin sees it: set:put{...}, set:remove(id), set:replace{...}. The set
 * stays its owner's, who must revoke what was pushed before the set is closed; NULL: nothing. */
struct set;
struct set_binding;
struct set_binding *push_set(lua_State *L, struct set *s); /* raises for memory */
/* Whether the plugin has said what is in it since: by set:replace or set:current. */
bool set_binding_current(const struct set_binding *b);
void set_binding_revoke(struct set_binding *b);
