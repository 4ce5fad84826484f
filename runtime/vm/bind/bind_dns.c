/* perigee.dns.resolve(name, { type = "A" | "AAAA" | "SRV", timeout }): a list of
 * { address, ttl }, or of { target, port, priority, weight, ttl } for SRV. */
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "io/resolve.h"
#include "vm/bind/bind_io.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/grant.h"
#include "vm/isolate/script.h"

enum { TIMEOUT_MS = 5000 };

struct question {
  struct resolve *resolve;
  struct task_wait *wait;
  char name[256];
};

static void set_number(lua_State *L, const char *name, double n) {
  lua_pushnumber(L, n);
  lua_setfield(L, -2, name);
}

static void push_record(lua_State *L, const struct resolve_record *r) {
  lua_createtable(L, 0, 5);
  lua_pushstring(L, r->target);
  lua_setfield(L, -2, r->family == AF_UNSPEC ? "target" : "address");
  set_number(L, "ttl", r->ttl);
  if (r->family != AF_UNSPEC)
    return;
  set_number(L, "port", r->port);
  set_number(L, "priority", r->priority);
  set_number(L, "weight", r->weight);
}

struct told {
  const struct question *question;
  const struct resolve_answer *answer;
};

static const char *why(int status) {
  switch (status) {
  case -ENOENT:
    return "no such name or record";
  case -ETIMEDOUT:
    return "no answer in time";
  case -ECONNREFUSED: /* c-ares tells SERVFAIL like nobody there */
  case -EREMOTEIO:
    return "the name servers fail, or are not there";
  default:
    return uv_strerror(status);
  }
}

static int push_answer(lua_State *L, void *arg) {
  const struct told *told = arg;
  const struct resolve_answer *a = told->answer;
  if (a->status < 0)
    return push_error(L, a->status, "%s: %s", told->question->name, why(a->status));
  lua_createtable(L, (int)a->count, 0);
  for (size_t i = 0; i < a->count; i++) {
    push_record(L, &a->records[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void on_answer(void *arg, const struct resolve_answer *answer) {
  struct question *q = arg;
  task_wake(q->wait, push_answer, &(struct told){q, answer});
  free(q);
}

static void question_cancel(void *operation) {
  struct question *q = operation;
  resolve_cancel(q->resolve);
  free(q);
}

static int resolve_call(lua_State *L) {
  static const char *const known[] = {"type", "timeout", NULL};
  static const char *const types[] = {"A", "AAAA", "SRV", NULL};
  static const enum resolve_type kinds[] = {RESOLVE_A, RESOLVE_AAAA, RESOLVE_SRV};
  const char *name = luaL_checkstring(L, 1);
  options_check(L, 2, known);
  uint64_t timeout = option_ms(L, 2, "timeout", TIMEOUT_MS);
  lua_getfield(L, 2, "type");
  enum resolve_type kind = kinds[luaL_checkoption(L, -1, "A", types)];
  wait_check(L);
  if (!granted_host(L, GRANT_CONNECT, name, 0))
    return push_ungranted(L);
  if (scripted(L)) {
    lua_pushvalue(L, 1);
    lua_pushstring(L, types[kind == RESOLVE_A ? 0 : kind == RESOLVE_AAAA ? 1 : 2]);
    return script_ask(L, "resolve", 2, timeout, "no answer in time");
  }
  struct question *q = calloc(1, sizeof *q);
  if (!q)
    return push_error(L, -ENOMEM, "out of memory");
  snprintf(q->name, sizeof q->name, "%s", name);
  int rc = resolve_start(io_of(L), name, kind, timeout, on_answer, q, &q->resolve);
  if (rc < 0) {
    free(q);
    return push_error(L, rc, "\"%s\": %s", name, rc == -EINVAL ? "not a name" : uv_strerror(rc));
  }
  return task_wait(L, q, question_cancel, &q->wait);
}

int open_dns(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, resolve_call);
  lua_setfield(L, -2, "resolve");
  return 1;
}
