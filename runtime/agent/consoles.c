#include "agent/consoles.h"
#include "agent/plugins/plugins.h"

#include "base/clock.h"
#include "base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* session: an isolate of its own, by a name that its client chose; "" for one question only. */
struct session {
  struct session *next, **link;
  char *name;
  struct isolate *isolate;
  int64_t used_ns;
  struct running *running; /* NULL: nothing is evaluated */
  bool keep;
};

/* running: an evaluation under way. */
struct running {
  struct running *next, **link;
  struct evaluation *evaluation;
  struct session *session; /* NULL: it runs in a plugin's isolate */
  char *name;              /* to cancel it by; "" for none */
  const void *asker;
  evaluated_fn done;
  void *arg;
};

struct consoles {
  struct vm *vm;
  struct plugins *plugins;
  struct session *sessions;
  struct running *running;
  size_t count;
};

struct consoles *consoles_new(struct vm *vm, struct plugins *plugins) {
  struct consoles *all = calloc(1, sizeof *all);
  if (all)
    *all = (struct consoles){.vm = vm, .plugins = plugins};
  return all;
}

/* ---- sessions ---- */

static void session_free(struct consoles *all, struct session *s) {
  *s->link = s->next;
  if (s->next)
    s->next->link = s->link;
  all->count--;
  isolate_free(s->isolate);
  free(s->name);
  free(s);
}

/* Those that nobody has used for long; and when there are too many, the one longest unused. */
static void sessions_tidy(struct consoles *all) {
  int64_t now = clock_now_ns();
  struct session *oldest = NULL;
  for (struct session *s = all->sessions, *next; s; s = next) {
    next = s->next;
    if (s->running)
      continue;
    if (now - s->used_ns > CONSOLE_IDLE_S * INT64_C(1000000000))
      session_free(all, s);
    else if (!oldest || s->used_ns < oldest->used_ns)
      oldest = s;
  }
  if (all->count >= CONSOLES_MAX && oldest)
    session_free(all, oldest);
}

static struct session *session_find(struct consoles *all, const char *name) {
  struct session *s = all->sessions;
  while (s && (!*name || strcmp(s->name, name) != 0))
    s = s->next;
  return s;
}

static int session_open(struct consoles *all, const char *name, bool keep, struct session **out,
                        struct fault *f) {
  struct session *s = session_find(all, name);
  if (!s) {
    sessions_tidy(all);
    if (all->count >= CONSOLES_MAX)
      return fault_set(f, -EBUSY, "%d evaluations go on already", CONSOLES_MAX);
    s = calloc(1, sizeof *s);
    if (!s || !(s->name = strdup(name))) {
      free(s);
      return fault_set(f, -ENOMEM, "out of memory");
    }
    int code = isolate_new(all->vm, "console", NULL, &s->isolate, f);
    if (code != 0) {
      free(s->name);
      free(s);
      return code;
    }
    s->next = all->sessions;
    s->link = &all->sessions;
    if (s->next)
      s->next->link = &s->next;
    all->sessions = s;
    all->count++;
  }
  s->used_ns = clock_now_ns();
  s->keep = keep;
  *out = s;
  return 0;
}

/* ---- plugins ---- */

struct finding_plugin {
  const char *name;
  struct plugin *found;
  size_t count;
};

static void match(void *arg, struct plugin *p, const struct quarantine *q) {
  struct finding_plugin *find = arg;
  char both[300];
  (void)q;
  snprintf(both, sizeof both, "%s/%s", plugin_kind(p), plugin_name(p));
  if (strcmp(both, find->name) != 0 && strcmp(plugin_name(p), find->name) != 0)
    return;
  find->found = p;
  find->count++;
}

static int plugin_named(const struct consoles *all, const char *name, struct plugin **out,
                        struct fault *f) {
  struct finding_plugin find = {name, NULL, 0};
  plugins_each(all->plugins, match, &find);
  *out = find.found;
  if (find.count > 1)
    return fault_set(f, -EINVAL, "several kinds have a plugin \"%.100s\": name it KIND/NAME", name);
  return find.count
             ? 0
             : fault_set(f, -ENOENT,
                         "no plugin \"%.100s\" is loaded; `perigee plugins` lists those that "
                         "are",
                         name);
}

/* Where the question is asked: one of both is set. */
static int place_of(struct consoles *all, const struct console_question *q, struct plugin **plugin,
                    struct session **session, struct fault *f) {
  *plugin = NULL;
  *session = NULL;
  return q->plugin ? plugin_named(all, q->plugin, plugin, f)
                   : session_open(all, q->session ? q->session : "", q->keep, session, f);
}

/* ---- evaluations ---- */

static void running_end(struct consoles *all, struct running *r) {
  struct session *s = r->session;
  *r->link = r->next;
  if (r->next)
    r->next->link = r->link;
  if (s) {
    s->running = NULL;
    s->used_ns = clock_now_ns();
    if (!s->keep)
      session_free(all, s);
  }
  free(r->name);
  free(r);
}

struct ended {
  struct consoles *all;
  struct running *running;
};

static void on_evaluated(void *arg, int status, const char *text, const struct fault *fault) {
  struct ended *e = arg;
  struct running *r = e->running;
  r->done(r->arg, status, text, fault);
  running_end(e->all, r);
  free(e);
}

static struct running *running_find(const struct consoles *all, const char *name) {
  struct running *r = all->running;
  while (r && (!*name || strcmp(r->name, name) != 0))
    r = r->next;
  return r;
}

int consoles_evaluate(struct consoles *all, const struct console_question *q, evaluated_fn done,
                      void *arg, struct fault *f) {
  const char *name = q->session ? q->session : "";
  struct plugin *plugin;
  struct session *session;
  if (running_find(all, name))
    return fault_set(f, -EBUSY, "the evaluation before this one goes on");
  int code = place_of(all, q, &plugin, &session, f);
  if (code != 0)
    return code;
  struct running *r = calloc(1, sizeof *r);
  struct ended *e = calloc(1, sizeof *e);
  if (!r || !e || !(r->name = strdup(name)))
    code = fault_set(f, -ENOMEM, "out of memory");
  if (code == 0) {
    *e = (struct ended){all, r};
    code = evaluation_start(session ? session->isolate : plugin_isolate(plugin), plugin, q->code,
                            q->deadline_ns, on_evaluated, e, &r->evaluation, f);
  }
  if (code != 0) {
    if (session && !session->keep)
      session_free(all, session);
    free(r ? r->name : NULL);
    free(r);
    free(e);
    return code;
  }
  r->session = session;
  r->asker = q->asker;
  r->done = done;
  r->arg = arg;
  r->next = all->running;
  r->link = &all->running;
  if (r->next)
    r->next->link = &r->next;
  all->running = r;
  if (session)
    session->running = r;
  return 0;
}

int consoles_cancel(struct consoles *all, const char *session, struct fault *f) {
  struct running *r = running_find(all, session);
  if (!r)
    return fault_set(f, -ENOENT, "nothing is evaluated there");
  evaluation_end(r->evaluation);
  return 0;
}

void consoles_abandon(struct consoles *all, const void *asker) {
  struct running *r = all->running;
  while (r && r->asker != asker)
    r = r->next;
  if (r)
    evaluation_end(r->evaluation);
}

void consoles_end(struct consoles *all, const char *name) {
  struct session *s = session_find(all, name);
  if (!s)
    return;
  s->keep = false;
  if (s->running)
    evaluation_end(s->running->evaluation);
  else
    session_free(all, s);
}

int consoles_complete(struct consoles *all, const struct console_question *q, struct buf *out,
                      struct fault *f) {
  struct plugin *plugin;
  struct session *session;
  int code = place_of(all, q, &plugin, &session, f);
  if (code != 0)
    return code;
  code = evaluation_complete(session ? session->isolate : plugin_isolate(plugin), plugin, q->code,
                             out, f);
  if (session && !session->keep)
    session_free(all, session);
  return code;
}

size_t consoles_count(const struct consoles *all) {
  return all->count;
}

void consoles_free(struct consoles *all) {
  if (!all)
    return;
  while (all->running)
    evaluation_end(all->running->evaluation);
  while (all->sessions)
    session_free(all, all->sessions);
  free(all);
}
