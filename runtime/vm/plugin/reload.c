#include "vm/plugin/reload.h"

#include "base/findings.h"
#include "vm/plugin/plugin_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* While `ready` is asked for. */
struct readying {
  struct plugin *plugin;
  size_t waiting; /* calls that have not answered; one more while they begin */
  void (*done)(void *arg, const struct fault *f);
  void *arg;
  struct fault fault;
};

/* ---- preparing ---- */

int plugin_prepare(struct plugin *p, struct plugin *fresh, struct findings *findings,
                   struct fault *f) {
  if (p->editions[PREPARED]) {
    plugin_free(fresh);
    return fault_set(f, -EBUSY, "%s is being reloaded", p->name);
  }
  struct edition *e = fresh->editions[NOW];
  fresh->editions[NOW] = NULL;
  plugin_free(fresh);
  e->plugin = p;
  e->kind = p->kind;
  e->name = p->name;
  p->editions[PREPARED] = e;
  for (struct attachment *a = p->attachments; a; a = a->next)
    use_make(a, e, &a->uses[PREPARED], findings);
  return 0;
}

/* Empties one of the places. Calls that are under way in it end there by themselves. */
static void vacate(struct plugin *p, enum place place) {
  struct edition *e = p->editions[place];
  if (!e)
    return;
  for (struct attachment *a = p->attachments; a; a = a->next)
    use_clear(&a->uses[place], e);
  p->editions[place] = NULL;
  edition_retire(e);
}

bool plugin_is_prepared(const struct plugin *p) {
  return p->editions[PREPARED] != NULL;
}

void plugin_take_nothing(struct plugin *p) {
  p->editions[PREPARED]->alone = true;
}

void plugin_abandon(struct plugin *p) {
  struct edition *e = p->editions[PREPARED];
  free(p->readying);
  p->readying = NULL;
  if (!e)
    return;
  for (struct attachment *a = p->attachments; a; a = a->next)
    calls_cancel(a, e);
  vacate(p, PREPARED);
}

/* ---- becoming ready ---- */

static void one_ready(struct readying *r) {
  if (--r->waiting > 0)
    return;
  struct readying told = *r;
  r->plugin->readying = NULL;
  free(r);
  told.done(told.arg, &told.fault);
}

static void on_ready(void *arg, const struct call_result *result) {
  struct readying *r = arg;
  if (r->fault.code == 0 && result->status == -ETIMEDOUT)
    fault_set(&r->fault, -ETIMEDOUT, "%s: not ready in time: %.300s",
              r->plugin->editions[PREPARED]->path, result->fault->text);
  else if (r->fault.code == 0 && result->status != 0 && result->status != -ECANCELED)
    fault_set(&r->fault, result->status, "%.400s", result->fault->text);
  else if (r->fault.code == 0 && result->status == 0 && result->results > 0 &&
           !lua_toboolean(result->L, -result->results)) {
    const char *why = call_text(result, 2);
    fault_set(&r->fault, -EAGAIN, "%s: not ready%s%.300s", r->plugin->editions[PREPARED]->path,
              why ? ": " : "", why ? why : "");
  }
  one_ready(r);
}

bool plugin_make_ready(struct plugin *p, int64_t deadline_ns,
                       void (*done)(void *arg, const struct fault *f), void *arg) {
  struct readying *r;
  if (!edition_provides(p->editions[PREPARED], "ready") || !(r = calloc(1, sizeof *r)))
    return false;
  *r = (struct readying){.plugin = p, .done = done, .arg = arg};
  const struct call_start how = {PREPARED, TASK_WAITS, "ready", NULL, on_ready, r, deadline_ns};
  for (struct attachment *a = p->attachments; a; a = a->next)
    if (a->uses[PREPARED].made && call_start(a, &how, NULL, NULL) == 0)
      r->waiting++;
  if (r->waiting > 0)
    p->readying = r;
  else
    free(r);
  return p->readying != NULL;
}

/* ---- swapping ---- */

static void tell(struct plugin *p, bool arrived) {
  for (struct attachment *a = p->attachments, *next; a; a = next) {
    next = a->next;
    const struct attachment_events *events = a->events;
    void (*event)(void *arg) = !events ? NULL : arrived ? events->arrived : events->leaving;
    if (event && (arrived ? a->uses[NOW].made : true))
      event(a->events_arg);
  }
}

static void move(struct plugin *p, enum place to, enum place from) {
  p->editions[to] = p->editions[from];
  p->editions[from] = NULL;
  for (struct attachment *a = p->attachments; a; a = a->next) {
    a->uses[to] = a->uses[from];
    a->uses[from] = (struct use){0};
  }
}

/* Attachments that came after the place was filled have no use in it yet. */
static int complete(struct plugin *p, enum place place, bool strict, struct fault *f) {
  int code = 0;
  for (struct attachment *a = p->attachments; code == 0 && a; a = a->next) {
    struct findings findings = {0};
    if (!a->uses[place].made)
      code = use_make(a, p->editions[place], &a->uses[place], &findings);
    if (code != 0) {
      const struct finding *first = findings.count ? findings.items : NULL;
      fault_set(f, code, "%s: %s", first ? first->path : a->path,
                first ? first->text : strerror(-code));
    }
    findings_free(&findings);
    code = strict ? code : 0;
  }
  return code;
}

int plugin_hand_over(struct plugin *p, bool strict, struct fault *f) {
  int code = complete(p, PREPARED, strict, f);
  return code == 0 ? handover_plugin(p, f) : code;
}

void plugin_swap(struct plugin *p) {
  for (struct attachment *a = p->attachments; a; a = a->next)
    handover_state(a);
  tell(p, false);
  if (p->editions[PARKED])
    vacate(p, NOW);
  else
    move(p, PARKED, NOW);
  move(p, NOW, PREPARED);
  tell(p, true);
}

bool plugin_is_parked(const struct plugin *p) {
  return p->editions[PARKED] != NULL;
}

void plugin_settle(struct plugin *p) {
  vacate(p, PARKED);
}

int plugin_go_back(struct plugin *p, struct fault *f) {
  int code = complete(p, PARKED, true, f);
  if (code != 0)
    return code;
  tell(p, false);
  vacate(p, NOW);
  move(p, NOW, PARKED);
  tell(p, true);
  return 0;
}

void plugin_on_called(struct plugin *p, void (*called)(void *arg, struct plugin *p, bool fault),
                      void *arg) {
  p->called = called;
  p->called_arg = arg;
}
