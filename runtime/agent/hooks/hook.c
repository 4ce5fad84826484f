#include "agent/hooks/hook.h"

#include "agent/hooks/hook_event.h"
#include "agent/hooks/roster.h"
#include "agent/plugins/plugins.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "watch/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)
static const int64_t quiet_ns = 100 * MS, longest_ns = 1000 * MS;
static const int64_t retry_ns = 1000 * MS, retry_cap_ns = 60000 * MS;
static const int64_t deadline_ns = 30000 * MS, stop_ns = 2000 * MS;
enum { TRIES_MAX = 10 };

/* What is to be told of one thing. */
struct note {
  enum event_kind kind;
  char *service;                    /* NULL: none */
  struct registration_state *state; /* status: the newest */
  enum status from;
  bool ok;
  char *message;
  int64_t first_ns, due_ns;
  unsigned tries;
  char key[]; /* the kind's name, and the service or the instance's id */
};

struct hook {
  const struct hook_parts *parts;
  struct value *use;
  struct attachment *attachment;
  bool wants[EVENT_KINDS];
  struct table notes;
  struct table rosters;  /* of services, as they were when it was told of them last */
  struct roster *roster; /* of the one that is being told; NULL: that is no service's */
  struct note *telling;  /* one that is being told, not among the notes; NULL: none */
  struct call *call;
  bool failing, stopping;
  void (*told)(void *arg); /* of its end */
  void *told_arg;
  struct hook_stats stats;
  uv_timer_t timer;
};

static const char *note_key(const void *item) {
  return ((const struct note *)item)->key;
}

static void note_free(struct note *n) {
  if (!n)
    return;
  registration_state_unref(n->state);
  free(n->service);
  free(n->message);
  free(n);
}

/* ---- its beginning and its end ---- */

static void learn_wants(void *arg) {
  struct hook *h = arg;
  for (int i = 0; i < EVENT_KINDS; i++)
    h->wants[i] = plugin_provides(attachment_plugin(h->attachment), event_functions[i]);
}

static const struct attachment_events reloaded = {.arrived = learn_wants};

struct hook *hook_new(const struct hook_parts *parts, const struct value *use,
                      struct attachment *attachment) {
  struct hook *h = calloc(1, sizeof *h);
  if (!h) {
    attachment_free(attachment);
    return NULL;
  }
  *h = (struct hook){.parts = parts,
                     .use = value_ref(use),
                     .attachment = attachment,
                     .notes = {.key = note_key},
                     .rosters = {.key = roster_service}};
  uv_timer_init(parts->loop, &h->timer);
  h->timer.data = h;
  attachment_follow(attachment, &reloaded, h);
  learn_wants(h);
  return h;
}

static void on_closed(uv_handle_t *timer) {
  free(timer->data);
}

static void call_end(struct hook *h) {
  if (h->call) {
    call_cancel(h->call);
    plugins_note(h->parts->plugins, attachment_plugin(h->attachment), false);
  }
  h->call = NULL;
  note_free(h->telling);
  roster_free(h->roster);
  h->telling = NULL;
  h->roster = NULL;
}

static void notes_drop(struct hook *h) {
  for (uint32_t i = 0; i < h->notes.count; i++)
    note_free(h->notes.items[i]);
  table_free(&h->notes);
  h->notes = (struct table){.key = note_key};
}

static void rosters_drop(struct hook *h) {
  for (uint32_t i = 0; i < h->rosters.count; i++)
    roster_free(h->rosters.items[i]);
  table_free(&h->rosters);
}

void hook_free(struct hook *h) {
  if (!h)
    return;
  call_end(h);
  notes_drop(h);
  rosters_drop(h);
  attachment_free(h->attachment);
  value_unref(h->use);
  uv_close((uv_handle_t *)&h->timer, on_closed);
}

const struct value *hook_use(const struct hook *h) {
  return h->use;
}

void hook_add_stats(const struct hook *h, struct hook_stats *sum) {
  sum->notes += h->notes.count;
  sum->told += h->stats.told;
  sum->failed += h->stats.failed;
  sum->abandoned += h->stats.abandoned;
}

/* ---- telling ---- */

static void tell_next(struct hook *h);

static void on_timer(uv_timer_t *timer) {
  tell_next(timer->data);
}

/* A status that came back to what it was is no news. */
static bool is_news(const struct note *n) {
  return n->kind != EVENT_STATUS || n->state->status != n->from;
}

static const char *name_of(const struct hook *h) {
  return plugin_name(attachment_plugin(h->attachment));
}

static void note_fault(struct hook *h, const struct note *n, const char *why) {
  h->stats.failed++;
  if (!h->failing)
    log_error("hook failed; it is told again", LOG_S("hook", name_of(h)),
              LOG_S("event", event_names[n->kind]), LOG_S("service", n->service),
              LOG_S("error", why));
  h->failing = true;
}

/* Back among the others, unless there is newer news of the same. */
static void tell_again(struct hook *h, struct note *n) {
  const struct note *newer = table_find(&h->notes, n->key);
  if (++n->tries >= TRIES_MAX) {
    h->stats.abandoned++;
    log_error("hook is not told any more of it", LOG_S("hook", name_of(h)),
              LOG_S("event", event_names[n->kind]), LOG_S("service", n->service));
  } else if (!newer && !h->stopping) {
    int64_t delay = retry_ns << (n->tries - 1);
    n->first_ns = clock_now_ns();
    n->due_ns = n->first_ns + (delay < retry_cap_ns ? delay : retry_cap_ns);
    if (table_add(&h->notes, n) == 0)
      return;
  }
  note_free(n);
}

/* The service as it was told takes the place of what was known of it. */
static void roster_settle(struct hook *h, bool told) {
  struct roster *r = h->roster;
  h->roster = NULL;
  if (told && r) {
    struct roster *before = table_find(&h->rosters, roster_service(r));
    if (before)
      table_remove(&h->rosters, before);
    roster_free(before);
    if (roster_count(r) > 0 && table_add(&h->rosters, r) == 0)
      return;
  }
  roster_free(r);
}

/* Why it was told in vain, or NULL. */
static const char *failure_of(const struct call_result *result) {
  if (result->status != 0)
    return result->fault->text;
  if (result->results < 2 || !lua_isnil(result->L, -result->results))
    return NULL;
  return call_text(result, 2);
}

static void on_told(void *arg, const struct call_result *result) {
  struct hook *h = arg;
  struct note *n = h->telling;
  const char *why = failure_of(result);
  h->call = NULL;
  h->telling = NULL;
  roster_settle(h, !why);
  if (result->status == -ECANCELED) {
    note_free(n);
    return;
  }
  plugins_note(h->parts->plugins, attachment_plugin(h->attachment),
               result->status != 0 && result->status != -ETIMEDOUT);
  if (why) {
    note_fault(h, n, why);
    tell_again(h, n);
  } else {
    h->stats.told++;
    h->failing = false;
    note_free(n);
  }
  if (h->stopping)
    h->told(h->told_arg);
  else
    tell_next(h);
}

static int push_note(lua_State *L, void *arg) {
  const struct hook *h = arg;
  const struct note *n = h->telling;
  const struct event e = {.kind = n->kind,
                          .service = n->service,
                          .before = h->roster ? table_find(&h->rosters, n->service) : NULL,
                          .now = h->roster,
                          .state = n->state,
                          .from = n->from,
                          .ok = n->ok,
                          .message = n->message};
  push_event(L, &e, h->parts->sets);
  return 1;
}

/* Takes the note over. */
static int tell(struct hook *h, struct note *n, int64_t within_ns) {
  int r = 0;
  h->telling = n;
  if (n->kind == EVENT_CHANGE && !(h->roster = roster_new(h->parts->sets, n->service)))
    r = -ENOMEM;
  if (r == 0)
    r = attachment_call(h->attachment, event_functions[n->kind], push_note, on_told, h, within_ns,
                        &h->call);
  if (r == 0)
    return 0;
  h->telling = NULL;
  roster_settle(h, false);
  plugins_note(h->parts->plugins, attachment_plugin(h->attachment), r != -ENOSYS);
  if (r == -ENOSYS) {
    note_free(n);
  } else {
    note_fault(h, n, strerror(-r));
    tell_again(h, n);
  }
  return r;
}

static struct note *earliest(const struct hook *h) {
  struct note *first = NULL;
  for (uint32_t i = 0; i < h->notes.count; i++) {
    struct note *n = h->notes.items[i];
    first = !first || n->due_ns < first->due_ns ? n : first;
  }
  return first;
}

static void wake_at(struct hook *h, int64_t due_ns) {
  int64_t wait = due_ns - clock_now_ns();
  uv_timer_start(&h->timer, on_timer, wait > 0 ? (uint64_t)(wait / MS) + 1 : 0, 0);
}

static void tell_next(struct hook *h) {
  struct note *n;
  while (!h->call && (n = earliest(h))) {
    if (n->due_ns > clock_now_ns()) {
      wake_at(h, n->due_ns);
      return;
    }
    if (is_news(n) && !plugins_allows(h->parts->plugins, attachment_plugin(h->attachment))) {
      wake_at(h, clock_now_ns() + longest_ns); /* quarantine: what is to be told waits */
      return;
    }
    table_remove(&h->notes, n);
    if (is_news(n))
      tell(h, n, deadline_ns);
    else
      note_free(n);
  }
}

/* ---- what happened ---- */

static struct note *note_new(const struct event *e) {
  const char *about = e->kind == EVENT_STATUS ? e->state->registration->instance->id
                      : e->service            ? e->service
                                              : "";
  size_t size = strlen(event_names[e->kind]) + strlen(about) + 2;
  struct note *n = calloc(1, sizeof *n + size);
  if (!n)
    return NULL;
  n->kind = e->kind;
  n->from = e->from;
  n->first_ns = clock_now_ns();
  n->service = e->service ? strdup(e->service) : NULL;
  snprintf(n->key, size, "%s %s", event_names[e->kind], about);
  return n;
}

static void note_update(struct note *n, const struct event *e) {
  bool waits = e->kind == EVENT_CHANGE || e->kind == EVENT_STATUS;
  int64_t quiet = clock_now_ns() + quiet_ns, latest = n->first_ns + longest_ns;
  n->due_ns = waits ? (quiet < latest ? quiet : latest) : n->first_ns;
  n->ok = e->ok;
  n->tries = 0;
  if (e->state) {
    registration_state_unref(n->state);
    n->state = registration_state_ref(e->state);
  }
  if (e->message) {
    free(n->message);
    n->message = strdup(e->message);
  }
}

void hook_note(struct hook *h, const struct event *e) {
  if (!h->wants[e->kind] || h->stopping)
    return;
  struct note *n = note_new(e), *known = n ? table_find(&h->notes, n->key) : NULL;
  if (known) {
    note_free(n);
    n = known;
  } else if (!n || table_add(&h->notes, n) != 0) {
    log_error("out of memory: a hook is not told", LOG_S("event", event_names[e->kind]));
    note_free(n);
    return;
  }
  note_update(n, e);
  if (!h->call)
    wake_at(h, earliest(h)->due_ns);
}

int hook_stop(struct hook *h, bool leaving, void (*told)(void *arg), void *arg) {
  const struct event e = {.kind = EVENT_STOP, .ok = leaving};
  call_end(h);
  notes_drop(h);
  uv_timer_stop(&h->timer);
  h->stopping = true;
  h->told = told;
  h->told_arg = arg;
  if (!h->wants[EVENT_STOP] || !plugins_allows(h->parts->plugins, attachment_plugin(h->attachment)))
    return -ENOSYS;
  struct note *n = note_new(&e);
  if (!n)
    return -ENOMEM;
  n->ok = leaving;
  return tell(h, n, stop_ns);
}
