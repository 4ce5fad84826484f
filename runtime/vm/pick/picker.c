#include "vm/pick/picker.h"

#include "base/fault.h"
#include "base/findings.h"
#include "base/log.h"
#include "client/chooser.h"
#include "select/group.h"
#include "vm/pick/pick_rules.h"
#include "vm/pick/pick_view.h"
#include "vm/plugin/plugin_inside.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A rule, loaded. */
struct picker {
  struct picker *next;
  struct pick_rule *rule;
  struct plugin *plugin; /* NULL: not loaded yet, or not to be loaded */
  struct attachment *attachment;
  struct pick_view view;
  int ref_run;
  bool failed; /* to load: the rule's next version may do better */
};

/* What a handle is bound to. There is one for each service that ever had a rule, and it stays where
 * it is: handles may be asked at any time. */
struct picker_seat {
  struct picker_seat *next;
  struct pickers *all;
  struct picker *picker; /* NULL: the balancer picks */
  char service[];
};

struct pickers {
  struct pickers_with with;
  char *library;
  bool own_vm, ended;
  uint64_t version;
  struct pick_table *table;
  struct picker *pickers;
  struct picker_seat *seats;
};

struct pickers *pickers_new(const struct pickers_with *with) {
  struct pickers *all = calloc(1, sizeof *all);
  if (!all || !(all->library = strdup(with->library))) {
    free(all);
    return NULL;
  }
  all->with = *with;
  all->own_vm = !with->vm;
  return all;
}

/* ---- loading ---- */

static struct pick_counts *counts_of(const struct picker *p, const struct pickers *all) {
  return &p->rule->counts[all->with.thread];
}

/* Only this thread writes it. */
static void count(_Atomic uint64_t *counter, uint64_t more) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                        memory_order_relaxed);
}

static void blame(struct pickers *all, struct picker *p, const struct fault *f) {
  struct pick_counts *c = counts_of(p, all);
  pick_rule_blame(p->rule, f->text);
  count(&c->killed, f->code == -ETIME);
  count(&c->faults, 1);
  pick_rules_faulted(all->with.rules);
}

static int make_vm(struct pickers *all, struct fault *f) {
  const struct vm_config config = {.loop = all->with.loop, .library = all->library};
  return all->with.vm ? 0 : vm_new(&config, &all->with.vm, f);
}

static int arm_body(lua_State *L, void *arg) {
  struct picker *p = arg;
  pick_view_open(L, &p->view); /* the function that makes one of: pick, options */
  if (!plugin_push_function(L, p->plugin, "pick"))
    return -ENOSYS;
  lua_rawgeti(L, LUA_REGISTRYINDEX, p->attachment->uses[NOW].ref_options);
  lua_call(L, 2, 1);
  p->ref_run = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static int picker_load(struct pickers *all, struct picker *p, struct fault *f) {
  const struct pick_rule *r = p->rule;
  struct findings findings = {0};
  int code = make_vm(all, f);
  if (code == 0)
    code = plugin_load_parts(all->with.vm, "balancer", r->plugin, r->path, r->parts, &r->limits,
                             &p->plugin, f);
  if (code == 0 &&
      (code = plugin_attach(p->plugin, r->options, "", &p->attachment, &findings)) != 0)
    fault_set(f, code, "%s", findings.count ? findings.items[0].text : "out of memory");
  if (code == 0)
    code = isolate_enter(plugin_isolate(p->plugin), arm_body, p, f);
  findings_free(&findings);
  return code;
}

static void picker_unload(struct pickers *all, struct picker *p) {
  attachment_free(p->attachment);
  plugin_free(p->plugin);
  p->attachment = NULL;
  p->plugin = NULL;
  atomic_store_explicit(&counts_of(p, all)->memory, 0, memory_order_relaxed);
}

/* Whether it can be asked. The first pick loads it. */
static bool picker_ready(struct pickers *all, struct picker *p) {
  struct fault f = {0};
  if (p->plugin && !isolate_dead(plugin_isolate(p->plugin)))
    return true;
  if (p->failed)
    return false;
  picker_unload(all, p);
  if (picker_load(all, p, &f) == 0)
    return true;
  p->failed = true;
  blame(all, p, &f);
  picker_unload(all, p);
  return false;
}

/* ---- following what is published ---- */

static struct picker *picker_of(struct pickers *all, struct pick_rule *rule) {
  for (struct picker *p = all->pickers; p; p = p->next)
    if (p->rule == rule)
      return p;
  struct picker *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->rule = pick_rule_ref(rule);
  p->next = all->pickers;
  all->pickers = p;
  return p;
}

static void drop_unused(struct pickers *all) {
  for (struct picker **link = &all->pickers; *link;) {
    struct picker *p = *link;
    if (pick_table_has(all->table, p->rule)) {
      link = &p->next;
      continue;
    }
    *link = p->next;
    picker_unload(all, p);
    pick_rule_unref(p->rule);
    free(p);
  }
}

static void seat_take(struct picker_seat *seat) {
  struct pick_rule *rule = pick_table_find(seat->all->table, seat->service);
  seat->picker = rule ? picker_of(seat->all, rule) : NULL;
}

static void take_over(struct pickers *all) {
  struct pick_table *old = all->table;
  all->table = pick_rules_take(all->with.rules, &all->version);
  for (struct picker_seat *seat = all->seats; seat; seat = seat->next)
    seat_take(seat);
  drop_unused(all);
  pick_table_give_back(all->with.rules, old);
}

static void follow(struct pickers *all) {
  if (all->version != pick_rules_version(all->with.rules) && !all->ended)
    take_over(all);
}

uint64_t pickers_version(const struct pickers *all) {
  return pick_rules_version(all->with.rules);
}

void pickers_end(struct pickers *all) {
  pick_table_give_back(all->with.rules, all->table);
  all->table = NULL;
  all->ended = true;
  for (struct picker_seat *seat = all->seats; seat; seat = seat->next)
    seat->picker = NULL;
  drop_unused(all);
  if (all->own_vm)
    vm_free(all->with.vm);
}

void pickers_free(struct pickers *all) {
  if (!all)
    return;
  while (all->seats) {
    struct picker_seat *seat = all->seats;
    all->seats = seat->next;
    free(seat);
  }
  free(all->library);
  free(all);
}

/* ---- picking ---- */

static int check_answer(lua_State *L, uint32_t of, uint32_t *answer, struct fault *f) {
  *answer = 0;
  if (lua_isnil(L, -1))
    return 0;
  if (lua_type(L, -1) != LUA_TNUMBER)
    return fault_set(f, -ERANGE, "pick returned a %s: the number of an endpoint is wanted, or nil",
                     luaL_typename(L, -1));
  double n = lua_tonumber(L, -1);
  if (!(n >= 1 && n <= of) || n != floor(n))
    return fault_set(f, -ERANGE, "pick returned %.14g: the endpoints are 1 to %u", n, of);
  *answer = (uint32_t)n;
  return 0;
}

/* A fiftieth of its turn: two milliseconds, as others wait for their answers meanwhile, and a tick
 * that comes early may be half of one; and what it takes to look at each endpoint before that is
 * compiled. */
static int64_t pick_ns(const struct isolate *iso, uint32_t endpoints) {
  return isolate_limits(iso)->turn_ns / 50 + (int64_t)endpoints * 1000;
}

/* The number that the plugin chose of the group's rows, from 1; 0: the standin is to choose. */
static uint32_t picker_ask(struct pickers *all, struct picker *p, const struct pick_asked *asked) {
  struct isolate *iso = plugin_isolate(p->plugin);
  struct pick_counts *c = counts_of(p, all);
  struct fault f = {0};
  uint32_t answer = 0;
  pick_view_begin(&p->view, asked);
  int r = isolate_run(iso, p->ref_run, pick_ns(iso, asked->count), &f);
  if (r == 0) {
    r = check_answer(iso->L, asked->count, &answer, &f);
    lua_pop(iso->L, 1);
  }
  pick_view_end(&p->view);
  count(&c->picks, 1);
  atomic_store_explicit(&c->memory, iso->memory, memory_order_relaxed);
  if (r != 0)
    blame(all, p, &f);
  return answer;
}

static uint32_t seat_pick(struct select_state *state, const struct catalog_view *v,
                          const struct select_ask *ask) {
  struct picker_seat *seat = state->chooser;
  struct pickers *all = seat->all;
  follow(all);
  struct picker *p = seat->picker;
  if (p && !atomic_load_explicit(&p->rule->held, memory_order_relaxed) && picker_ready(all, p)) {
    bool keyed = ask && ask->keyed;
    uint64_t bits = select_key_bits(state, ask);
    struct select_group g = keyed ? select_group_of_key(v, bits) : select_group_choose(v, bits);
    const struct pick_asked asked = {.state = state,
                                     .view = v,
                                     .first = g.first,
                                     .count = g.count,
                                     .bits = select_mix(bits),
                                     .key = keyed ? ask->key : NULL,
                                     .key_length = keyed ? ask->key_length : 0};
    uint32_t answer = picker_ask(all, p, &asked);
    if (answer)
      return g.first + answer - 1;
  }
  return select_by_number(v->balancer)->pick(state, v, ask);
}

static struct picker_seat *seat_of(struct pickers *all, const char *service) {
  struct picker_seat *seat = all->seats;
  while (seat && strcmp(seat->service, service) != 0)
    seat = seat->next;
  if (seat || !pick_table_find(all->table, service))
    return seat;
  seat = calloc(1, sizeof *seat + strlen(service) + 1);
  if (!seat)
    return NULL;
  seat->all = all;
  memcpy(seat->service, service, strlen(service) + 1);
  seat->next = all->seats;
  all->seats = seat;
  seat_take(seat);
  return seat;
}

void pickers_bind(struct pickers *all, const char *service, struct perigee_service *handle) {
  follow(all);
  struct picker_seat *seat = seat_of(all, service);
  bool used = seat && seat->picker;
  client_choose(handle, used ? seat_pick : NULL, seat);
}
