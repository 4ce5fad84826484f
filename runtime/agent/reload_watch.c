#include "agent/reload_watch.h"

#include "agent/plugins/plugins.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"
#include "io/file_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOOK_MS = 5000, PATH_BYTES = 4096 };

static const char *const kinds[] = {"registry", "check", "policy", "balancer",
                                    "hook",     "route", NULL};

struct place {
  struct place *next;
  struct reload_watch *all;
  struct file_watch *watch;
  bool wanted;
  dev_t device; /* of what had the path when it was opened: a link may lead elsewhere by now */
  ino_t inode;
  char path[];
};

struct reload_watch {
  uv_timer_t look;
  struct io *io;
  const struct plugins *plugins;
  const struct config *config; /* NULL: nothing is watched */
  struct place *places;
  size_t opened;      /* of them, ever */
  uint64_t signature; /* of the files, as they were when last looked at */
  void (*changed)(void *arg);
  void *arg;
};

/* ---- which files ---- */

static uint64_t mix(uint64_t a, uint64_t b) {
  return (a ^ b) * 0x9e3779b97f4a7c15u;
}

static uint64_t look_at(uint64_t signature, const char *path) {
  struct stat st;
  if (stat(path, &st) != 0)
    return mix(signature, 1);
  signature = mix(signature, (uint64_t)st.st_ino);
  signature = mix(signature, (uint64_t)st.st_size);
  return mix(signature, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
}

struct looking {
  uint64_t signature;
};

static void look_at_file(void *arg, const char *path) {
  struct looking *l = arg;
  l->signature = look_at(l->signature, path);
}

static void look_at_plugin(void *arg, struct plugin *p, const struct quarantine *q) {
  look_at_file(arg, plugin_path(p));
  plugin_each_required(p, look_at_file, arg);
}

static uint64_t look_at_all(const struct reload_watch *w) {
  struct looking l = {0};
  for (size_t i = 0; i < value_length(w->config->files); i++)
    l.signature = look_at(l.signature, value_as_text(value_at(w->config->files, i), ""));
  plugins_each(w->plugins, look_at_plugin, &l);
  return l.signature;
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool is_read(const struct reload_watch *w, const char *name) {
  for (size_t i = 0; i < value_length(w->config->files); i++)
    if (strcmp(base_of(value_as_text(value_at(w->config->files, i), "")), name) == 0)
      return true;
  return false;
}

/* A log file in the directory, or an editor's own, changes nothing. */
static bool matters(const struct reload_watch *w, const char *name) {
  size_t length = strlen(name);
  return (length > 4 && strcmp(name + length - 4, ".lua") == 0) || is_read(w, name);
}

/* ---- which directories ---- */

static void on_change(void *arg, int status, const char *const *names, size_t count);

static void want(struct reload_watch *w, const char *directory) {
  struct stat st;
  struct fault f;
  if (stat(directory, &st) != 0 || !S_ISDIR(st.st_mode))
    return;
  for (struct place *p = w->places; p; p = p->next)
    if (strcmp(p->path, directory) == 0 && p->device == st.st_dev && p->inode == st.st_ino) {
      p->wanted = true;
      return;
    }
  size_t length = strlen(directory);
  struct place *p = calloc(1, sizeof *p + length + 1);
  if (!p)
    return;
  memcpy(p->path, directory, length + 1);
  p->all = w;
  p->wanted = true;
  p->device = st.st_dev;
  p->inode = st.st_ino;
  if (file_watch_open(w->io, directory, 0, &p->watch, &f) != 0) {
    log_warn("changes in a directory are not noticed", LOG_S("error", f.text));
    free(p);
    return;
  }
  p->next = w->places;
  w->places = p;
  w->opened++;
  file_watch_next(p->watch, 0, on_change, p);
}

static void want_directory_of(void *watch, const char *path) {
  struct reload_watch *w = watch;
  char directory[PATH_BYTES];
  const char *slash = strrchr(path, '/');
  snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 1,
           slash ? path : ".");
  want(w, slash == path ? "/" : directory);
}

static void want_plugin(void *arg, struct plugin *p, const struct quarantine *q) {
  want_directory_of(arg, plugin_path(p));
  plugin_each_required(p, want_directory_of, arg);
}

static void want_all(struct reload_watch *w) {
  const struct config *c = w->config;
  for (size_t i = 0; i < value_length(c->files); i++)
    want_directory_of(w, value_as_text(value_at(c->files, i), ""));
  for (size_t i = 0; i < c->plugin_directory_count; i++) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/plugins", c->plugin_directories[i]);
    want(w, path);
    snprintf(path, sizeof path, "%s/lua", c->plugin_directories[i]);
    want(w, path);
    for (const char *const *k = kinds; *k; k++) {
      snprintf(path, sizeof path, "%s/plugins/%s", c->plugin_directories[i], *k);
      want(w, path);
    }
  }
  plugins_each(w->plugins, want_plugin, w);
}

static void place_free(struct place *p) {
  file_watch_close(p->watch);
  free(p);
}

/* Directories come and go. True: one came. */
static bool renew_places(struct reload_watch *w) {
  size_t before = w->opened;
  for (struct place *p = w->places; p; p = p->next)
    p->wanted = false;
  if (w->config)
    want_all(w);
  for (struct place **link = &w->places; *link;) {
    struct place *p = *link;
    if (p->wanted) {
      link = &p->next;
      continue;
    }
    *link = p->next;
    place_free(p);
  }
  return w->opened != before;
}

/* ---- telling ---- */

static void tell(struct reload_watch *w) {
  w->signature = look_at_all(w);
  w->changed(w->arg);
}

static void on_change(void *arg, int status, const char *const *names, size_t count) {
  struct place *p = arg;
  struct reload_watch *w = p->all;
  bool any = count == 0;
  for (size_t i = 0; i < count; i++)
    any = any || matters(w, names[i]);
  file_watch_next(p->watch, 0, on_change, p);
  if (renew_places(w) || any)
    tell(w);
}

static void on_look(uv_timer_t *timer) {
  struct reload_watch *w = timer->data;
  if (renew_places(w) || look_at_all(w) != w->signature)
    tell(w);
}

/* ---- its beginning and its end ---- */

struct reload_watch *reload_watch_new(uv_loop_t *loop, struct io *io, const struct plugins *plugins,
                                      void (*changed)(void *arg), void *arg) {
  struct reload_watch *w = calloc(1, sizeof *w);
  if (!w)
    return NULL;
  *w = (struct reload_watch){.io = io, .plugins = plugins, .changed = changed, .arg = arg};
  uv_timer_init(loop, &w->look);
  w->look.data = w;
  return w;
}

void reload_watch_configure(struct reload_watch *w, const struct config *config) {
  w->config = config;
  renew_places(w);
  if (!config) {
    uv_timer_stop(&w->look);
    return;
  }
  w->signature = look_at_all(w);
  uv_timer_start(&w->look, on_look, LOOK_MS, LOOK_MS);
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void reload_watch_free(struct reload_watch *w) {
  if (!w)
    return;
  w->config = NULL;
  renew_places(w);
  uv_close((uv_handle_t *)&w->look, on_closed);
}
