#include "agent/watches/source.h"

#include "agent/watches/watcher.h"
#include "base/fault.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct source {
  struct source *next, **link;
  struct source *alike; /* with the same target, of other options */
  struct sources *all;
  char *text; /* the target, as it is written */
  struct target target;
  struct plugin *plugin;
  struct value *options; /* a reference; NULL: none */
  double retry_s;
  struct sets *sets; /* with nothing but `set` */
  struct set *set;
  struct watcher *watcher;
  struct source_user *users;
  bool spoken, late; /* late: one of the users is */
};

static void tell(struct source *s, const struct set_published *what, bool only_late) {
  for (struct source_user *u = s->users, *next; u; u = next) {
    next = u->next;
    if (u->late || !only_late)
      u->told(u->arg, what);
    u->late = false;
  }
  s->late = false;
}

static void on_said(void *arg, const struct set_published *what) {
  struct source *s = arg;
  s->spoken |= what->known;
  if (!what->gone)
    tell(s, what, false);
}

/* ---- by its target ---- */

static const char *text_of(const void *item) {
  return ((const struct source *)item)->text;
}

static int text_enter(struct sources *all, struct source *s) {
  int rc = table_reserve(&all->by_text, 1);
  if (rc != 0)
    return rc;
  s->alike = table_find(&all->by_text, s->text);
  if (s->alike)
    table_remove(&all->by_text, s->alike);
  return table_add(&all->by_text, s);
}

static void text_leave(struct sources *all, struct source *s) {
  struct source *at = table_find(&all->by_text, s->text);
  if (at == s) {
    table_remove(&all->by_text, s);
    if (s->alike) /* there is room: that of `s` */
      table_add(&all->by_text, s->alike);
    return;
  }
  while (at && at->alike != s)
    at = at->alike;
  if (at)
    at->alike = s->alike;
}

/* ---- its beginning and its end ---- */

static void source_free(struct source *s) {
  if (s->link)
    text_leave(s->all, s);
  if (s->link)
    *s->link = s->next;
  if (s->link && s->next)
    s->next->link = s->link;
  if (s->watcher)
    watcher_retire(s->watcher, &s->all->retired);
  sets_free(s->sets);
  target_clear(&s->target);
  value_unref(s->options);
  free(s->text);
  free(s);
}

static int source_new(struct sources *all, const struct registry_use *use, const char *target,
                      const char *service, unsigned delay_ms, struct source **out,
                      struct fault *f) {
  struct source *s = calloc(1, sizeof *s);
  if (!s)
    return fault_set(f, -ENOMEM, "out of memory");
  *s = (struct source){
      .all = all, .text = strdup(target), .plugin = use->plugin, .retry_s = use->retry_s};
  s->options = use->options ? value_ref(use->options) : NULL;
  s->sets = sets_new_apart(on_said, s);
  s->set = s->sets ? sets_open(s->sets, service) : NULL;
  if (s->sets)
    sets_notice(s->sets, &all->changed);
  int rc = s->text && s->set ? 0 : fault_set(f, -ENOMEM, "out of memory");
  rc = rc ? rc : target_parse(target, &s->target, f);
  rc = rc ? rc : target_check(&s->target, target, plugin_target(use->plugin), f);
  if (rc == 0 && !(s->watcher = watcher_start(all->loop, use, &s->target, s->set, delay_ms)))
    rc = fault_set(f, -ENOMEM, "out of memory");
  if (rc == 0 && text_enter(all, s) != 0)
    rc = fault_set(f, -ENOMEM, "out of memory");
  if (rc != 0) {
    source_free(s);
    return rc;
  }
  s->next = all->first;
  s->link = &all->first;
  if (s->next)
    s->next->link = &s->next;
  all->first = s;
  *out = s;
  return 0;
}

static struct source *source_find(const struct sources *all, const struct registry_use *use,
                                  const char *target) {
  struct source *s = table_find(&all->by_text, target);
  while (s && (s->plugin != use->plugin || s->retry_s != use->retry_s ||
               !value_equal(s->options, use->options)))
    s = s->alike;
  return s;
}

int source_join(struct sources *all, const struct registry_use *use, const char *target,
                const char *service, unsigned delay_ms, struct source_user *user, struct fault *f) {
  struct source *s = source_find(all, use, target);
  int rc = s ? 0 : source_new(all, use, target, service, delay_ms, &s, f);
  if (rc != 0)
    return rc;
  user->source = s;
  user->late = s->spoken;
  user->next = s->users;
  user->link = &s->users;
  if (user->next)
    user->next->link = &user->next;
  s->users = user;
  s->late |= user->late;
  all->changed |= s->late;
  return 0;
}

void source_leave(struct source_user *user) {
  struct source *s = user->source;
  if (!s)
    return;
  *user->link = user->next;
  if (user->next)
    user->next->link = user->link;
  user->source = NULL;
  if (!s->users)
    source_free(s);
}

static void tell_late(struct source *s) {
  int64_t stale_ns = set_stale_ns(s->set);
  const struct set_published now = {.service = set_service(s->set),
                                    .rows = set_rows(s->set),
                                    .count = set_count(s->set),
                                    .stale = stale_ns != 0,
                                    .known = true,
                                    .stale_since_ns = stale_ns,
                                    .via = set_through(s->set)};
  tell(s, &now, true);
}

/* ---- all ---- */

void sources_init(struct sources *all, uv_loop_t *loop) {
  *all = (struct sources){.loop = loop, .by_text = {.key = text_of}};
}

void sources_flush(struct sources *all) {
  if (!all->changed)
    return;
  all->changed = false; /* what a listener changes is for the next flush */
  for (struct source *s = all->first; s; s = s->next) {
    if (sets_dirty(s->sets))
      sets_flush(s->sets);
    if (s->late)
      tell_late(s);
  }
}

size_t sources_close(struct sources *all, void (*closed)(void *arg), void *arg) {
  size_t closing = 0;
  for (struct source *s = all->first; s; s = s->next)
    closing += watcher_close(s->watcher, closed, arg);
  return closing;
}

void sources_free(struct sources *all) {
  while (all->retired)
    watcher_end(all->retired);
  table_free(&all->by_text);
}
