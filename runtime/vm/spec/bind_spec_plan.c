/* plan(use, service, list) of a spec: runs a balancer's plan over these endpoints as the agent
 * would, and gives { id, weight, tier, drop, share } of each, by id: what it made of them, and its
 * part of the picks. Or nil, message, code. `list` has instances with what is live of them: status,
 * age, in_flight, latency, ejected. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/value.h"
#include "vm/plan/bind_endpoints.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/bind/read_instance.h"
#include "vm/spec/spec_bench.h"
#include "watch/balancer.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define PLANNED_TYPE "planned"

/* planned: one run; the collector frees it whatever raises. */
struct planned {
  struct value *list;
  struct balancer rules;
  bool ruled;
  size_t count;
  struct set_row *rows;
  struct plan_row *said;
  struct plan_live *live;
  double *shares;
};

static int planned_collect(lua_State *L) {
  struct planned *p = lua_touserdata(L, 1);
  for (size_t i = 0; i < p->count; i++)
    instance_unref(p->rows[i].instance);
  if (p->ruled)
    balancer_end(&p->rules);
  free(p->rows);
  free(p->said);
  free(p->live);
  free(p->shares);
  value_unref(p->list);
  *p = (struct planned){0};
  return 0;
}

static struct planned *push_planned(lua_State *L) {
  struct planned *p = lua_newuserdata(L, sizeof *p);
  *p = (struct planned){0};
  if (luaL_newmetatable(L, PLANNED_TYPE)) {
    lua_pushcfunction(L, planned_collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return p;
}

static const char *const live_fields[] = {"age", "in_flight", "latency", "ejected"};
enum { LIVE_FIELDS = sizeof live_fields / sizeof *live_fields };

/* The instance's own fields: an unknown one is refused as it is everywhere. */
static struct value *own_fields(const struct value *of) {
  struct value *own = value_table();
  int r = own ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(of); i++) {
    const char *key;
    const struct value *v = value_field(of, i, &key);
    size_t known = 0;
    while (known < LIVE_FIELDS && strcmp(live_fields[known], key) != 0)
      known++;
    if (known == LIVE_FIELDS)
      r = value_set(own, key, value_ref(v));
  }
  if (r == 0)
    return own;
  value_unref(own);
  return NULL;
}

static int read_endpoint(const struct value *v, const char *service, int64_t now_ns,
                         struct set_row *row, struct plan_live *live, struct fault *f) {
  struct value *own = own_fields(v);
  if (!own)
    return fault_set(f, -ENOMEM, "out of memory");
  int code = read_instance(own, service, &row->instance, &row->status, f);
  value_unref(own);
  double age = value_as_number(value_get(v, "age"), -1);
  row->born_ns = age >= 0 ? now_ns - (int64_t)(age * 1e9) : 0;
  *live = (struct plan_live){
      .in_flight = (uint32_t)value_as_number(value_get(v, "in_flight"), 0),
      .latency_ns = (uint64_t)(value_as_number(value_get(v, "latency"), 0) * 1e9),
      .ejected = value_as_boolean(value_get(v, "ejected"), false),
  };
  return code;
}

static struct plan_live live_of(void *arg, const struct set_row *row) {
  const struct planned *p = arg;
  return p->live[row->slot]; /* its place in the list */
}

static int by_id(const void *a, const void *b) {
  const struct set_row *x = a, *y = b;
  return strcmp(x->instance->id, y->instance->id);
}

static int read_list(struct planned *p, const char *service, int64_t now_ns, struct fault *f) {
  size_t count = value_length(p->list);
  p->rows = calloc(count + 1, sizeof *p->rows);
  p->said = calloc(count + 1, sizeof *p->said);
  p->live = calloc(count + 1, sizeof *p->live);
  p->shares = calloc(count + 1, sizeof *p->shares);
  if (!p->rows || !p->said || !p->live || !p->shares)
    return fault_set(f, -ENOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    struct fault why = {0};
    int code = read_endpoint(value_at(p->list, i), service, now_ns, &p->rows[i], &p->live[i], &why);
    if (code != 0)
      return fault_set(f, code, "endpoint %zu: %.400s", i + 1, why.text);
    p->rows[i].slot = (uint32_t)i;
    p->count++;
  }
  qsort(p->rows, count, sizeof *p->rows, by_id);
  struct balancer_host nowhere = {0};
  int code = balancer_parse(NULL, &nowhere, &p->rules, f);
  p->ruled = code == 0;
  return code;
}

static int run(struct planned *p, struct attachment *use, const char *service, struct fault *f) {
  int64_t now_ns = clock_now_ns();
  int code = read_list(p, service, now_ns, f);
  struct plan_question q = {.service = service,
                            .rows = p->rows,
                            .count = p->count,
                            .rules = &p->rules,
                            .run = true,
                            .now_ns = now_ns,
                            .live = live_of,
                            .live_arg = p};
  if (code != 0)
    return code;
  plan_from_registry(&q, p->said);
  struct plan_run run = {.question = &q, .rows = p->said};
  plan_begin(&run, use, true);
  *f = run.fault;
  code = f->code;
  if (code == 0 && plan_shares(&q, p->said, p->shares) != 0)
    code = fault_set(f, -ENOMEM, "out of memory");
  return code;
}

static void set_number(lua_State *L, const char *name, double n) {
  lua_pushnumber(L, n);
  lua_setfield(L, -2, name);
}

int spec_plan(lua_State *L) {
  struct attachment *use = bench_use(L, 1);
  const char *service = luaL_checkstring(L, 2);
  struct planned *p = push_planned(L);
  struct fault f = {0};
  int code = read_value(L, 3, &p->list, &f);
  if (code == 0)
    code = run(p, use, service, &f);
  if (code != 0)
    return push_error(L, code, "%s", f.text);
  lua_createtable(L, 0, (int)p->count);
  for (size_t i = 0; i < p->count; i++) {
    lua_createtable(L, 0, 5);
    lua_pushstring(L, p->rows[i].instance->id);
    lua_setfield(L, -2, "id");
    set_number(L, "weight", p->said[i].weight);
    set_number(L, "tier", p->said[i].tier);
    set_number(L, "share", p->shares[i]);
    lua_pushboolean(L, p->said[i].drop);
    lua_setfield(L, -2, "drop");
    lua_setfield(L, -2, p->rows[i].instance->id);
  }
  return 1;
}
