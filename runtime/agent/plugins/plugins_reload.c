#include "agent/plugins/plugins_reload.h"

#include "agent/plugins/plugins_inside.h"
#include "base/clock.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/text.h"
#include "base/value.h"
#include "vm/plugin/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t ready_ns = 5 * INT64_C(1000000000);
static const int64_t unused_ns = INT64_C(1000000000); /* between two looks at who still uses it */
enum { NAMED_MAX = 200 };

/* ---- probation ---- */

static void forgive(struct quarantine *q) {
  *q = (struct quarantine){.times = q->times, .faults_total = q->faults_total};
}

static void pass(struct plugins *all, struct entry *e) {
  e->probation = (struct probation){0};
  plugin_settle(e->plugin);
  plugins_keep(all, e);
}

static void go_back(struct plugins *all, struct entry *e) {
  struct fault f = {0};
  struct plugin *p = e->plugin;
  struct probation was = e->probation;
  char failed[sizeof e->left];
  snprintf(failed, sizeof failed, "%s", plugin_version(p));
  snprintf(e->reloads.why, sizeof e->reloads.why,
           "the new version failed in %u of its first %u calls, so the one before is back",
           was.faults, was.calls);
  e->probation = (struct probation){0};
  if (plugin_go_back(p, &f) != 0) {
    log_error("a plugin's new version keeps failing, and the one before it does not fit any more",
              LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)),
              LOG_S("error", f.text));
    plugin_settle(p);
    return;
  }
  if (!e->left[0])
    memcpy(e->left, failed, sizeof failed);
  else if (strcmp(e->left, plugin_version(p)) == 0) /* its file's, from a rollback that failed */
    e->left[0] = '\0';
  e->since_us = clock_wall_us();
  if (strcmp(earlier_version(e), plugin_version(p)) == 0) {
    e->since_us = earlier_since_us(e);
    earlier_pop(e);
  }
  e->reloads.gone_back++;
  e->reloads.failed++;
  forgive(&e->quarantine);
  plugins_keep(all, e);
  log_error("a plugin's new version keeps failing: the one before it is back, until its file "
            "changes",
            LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)), LOG_S("left", failed),
            LOG_I("faults", was.faults), LOG_I("calls", was.calls));
}

/* ---- what nobody uses any more ---- */

static void unload_unused(struct plugins *all) {
  for (size_t i = all->count; i-- > 0;) {
    struct entry *e = &all->items[i];
    if (!e->unused || plugin_is_attached(e->plugin))
      continue;
    log_info("plugin unloaded: nothing uses it any more", LOG_S("kind", plugin_kind(e->plugin)),
             LOG_S("plugin", plugin_name(e->plugin)));
    entry_clear(e);
    *e = all->items[--all->count];
  }
}

/* ---- both, in their time ---- */

static void arm(struct plugins *all);

static void on_due(uv_timer_t *timer) {
  struct plugins *all = timer->data;
  unload_unused(all);
  for (size_t i = 0; i < all->count; i++) {
    struct entry *e = &all->items[i];
    enum probation_verdict v = probation_judge(&e->probation, clock_now_ns());
    if (v == PROBATION_PASSED)
      pass(all, e);
    else if (v == PROBATION_FAILED)
      go_back(all, e);
  }
  arm(all);
}

static void arm(struct plugins *all) {
  int64_t first = 0, now = clock_now_ns();
  for (size_t i = 0; i < all->count; i++) {
    const struct entry *e = &all->items[i];
    int64_t until = e->probation.until_ns;
    if (e->unused && (!until || until > now + unused_ns))
      until = now + (plugin_is_attached(e->plugin) ? unused_ns : 0);
    if (until && (!first || until < first))
      first = until;
  }
  if (first)
    uv_timer_start(all->due, on_due, first > now ? (uint64_t)(first - now) / 1000000 + 1 : 0, 0);
}

/* The verdict is carried out in a turn of its own: this may be a call's `done`. */
bool plugins_try(struct plugins *all, struct entry *e, bool fault) {
  if (!e->probation.until_ns || !all->due)
    return false;
  probation_note(&e->probation, fault);
  if (probation_judge(&e->probation, clock_now_ns()) != PROBATION_GOES_ON)
    uv_timer_start(all->due, on_due, 0, 0);
  return true;
}

static void on_called(void *arg, struct plugin *p, bool fault) {
  struct plugins *all = arg;
  plugins_try(all, plugins_entry(all, plugin_kind(p), plugin_name(p)), fault);
}

/* Of all other kinds the callers note how each call went (plugins_note), for the quarantine. A
 * registry's are under no quarantine: watches and registrations back off by themselves. */
void plugins_observe(struct plugins *all, struct plugin *p) {
  if (all->due && strcmp(plugin_kind(p), "registry") == 0)
    plugin_on_called(p, on_called, all);
}

static void due_closed(uv_handle_t *timer) {
  free(timer);
}

int plugins_attend(struct plugins *all, uv_loop_t *loop) {
  uv_timer_t *due = malloc(sizeof *due);
  if (!due || uv_timer_init(loop, due) != 0) {
    free(due);
    return -ENOMEM;
  }
  due->data = all;
  all->due = due;
  for (size_t i = 0; i < all->count; i++)
    plugins_observe(all, all->items[i].plugin);
  return 0;
}

void plugins_unattend(struct plugins *all) {
  if (all->due)
    uv_close((uv_handle_t *)all->due, due_closed);
}

/* ---- drafts ---- */

void plugins_draft_unused(struct plugins *all, const struct plugins *draft) {
  for (size_t i = 0; i < all->count; i++) {
    struct entry *e = &all->items[i];
    e->next_unused = !plugins_entry(draft, plugin_kind(e->plugin), plugin_name(e->plugin));
  }
}

static bool is_named(const struct entry *e, const char *name) {
  const char *slash = strchr(name, '/'), *kind = plugin_kind(e->plugin);
  if (!slash)
    return strcmp(plugin_name(e->plugin), name) == 0;
  return strncmp(kind, name, (size_t)(slash - name)) == 0 && !kind[slash - name] &&
         strcmp(plugin_name(e->plugin), slash + 1) == 0;
}

int plugins_named(const struct plugins *all, const char *name, struct plugin **out,
                  struct fault *f) {
  const char *known[NAMED_MAX], *near;
  size_t count = 0, found = 0;
  for (size_t i = 0; i < all->count; i++) {
    struct entry *e = &all->items[i];
    if (count < NAMED_MAX)
      known[count++] = plugin_name(e->plugin);
    if (!is_named(e, name))
      continue;
    *out = e->plugin;
    found++;
  }
  if (found == 1)
    return 0;
  if (found > 1)
    return fault_set(f, -EINVAL, "there are several plugins \"%s\": say which one, as in %s/%s",
                     name, plugin_kind(*out), name);
  near = nearest_word(name, known, count);
  return fault_set(f, -ENOENT, "no plugin \"%s\" is loaded%s%s%s", name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int plugins_draft_good(struct plugins *draft, struct plugins *all, const struct plugin *p,
                       int64_t *since_us, struct fault *f) {
  const char *kind = plugin_kind(p), *name = plugin_name(p);
  struct entry *of = plugins_entry(all, kind, name);
  struct entry e = {.settings = value_ref(of->settings)};
  int rc = of->earlier_count ? plugins_load(draft, kind, name, of->earlier[0], &e.plugin, f)
                             : fault_set(f, -ENOENT, "%s has no version to go back to", name);
  if (rc == 0 && (rc = plugins_add(draft, &e)) != 0)
    fault_set(f, rc, "out of memory");
  if (rc != 0)
    entry_clear(&e);
  of->going_back = rc == 0;
  *since_us = earlier_since_us(of);
  return rc;
}

void plugins_draft_host(struct plugins *draft, struct value *host) {
  draft->host = host;
}

void plugins_draft_anew(struct plugins *draft, bool fresh) {
  draft->anew = true;
  draft->fresh = fresh;
}

/* ---- what differs ---- */

static const char *difference(const struct plugins *all, const struct plugins *draft,
                              const struct entry *fresh) {
  const struct entry *e =
      plugins_entry(all, plugin_kind(fresh->plugin), plugin_name(fresh->plugin));
  if (!e)
    return "added";
  if (e->going_back)
    return "rolled back";
  bool same = strcmp(plugin_version(e->plugin), plugin_version(fresh->plugin)) == 0 ||
              strcmp(e->left, plugin_version(fresh->plugin)) == 0;
  return same && !draft->anew && value_equal(e->settings, fresh->settings) &&
                 strcmp(plugin_path(e->plugin), plugin_path(fresh->plugin)) == 0
             ? NULL
             : "reloaded";
}

void plugins_differences(const struct plugins *all, const struct plugins *draft,
                         void (*each)(void *arg, const struct plugin *p, const char *change),
                         void *arg) {
  for (size_t i = 0; i < draft->count; i++) {
    const char *change = difference(all, draft, &draft->items[i]);
    if (change)
      each(arg, draft->items[i].plugin, change);
  }
  for (size_t i = 0; i < all->count; i++)
    if (all->items[i].next_unused)
      each(arg, all->items[i].plugin, "unloaded");
}

/* ---- the steps ---- */

/* Out of the draft, with all that it had. */
static struct entry draft_take(struct plugins *draft, size_t i) {
  struct entry e = draft->items[i];
  draft->items[i] = draft->items[--draft->count];
  return e;
}

/* A version that was left is not taken again with other settings either: those are for the one that
 * is used. */
static int prepare_one(struct plugins *draft, struct entry *e, struct entry *fresh,
                       struct findings *findings, struct fault *f) {
  struct plugin *p = fresh->plugin;
  fresh->plugin = NULL;
  if (!e->going_back && strcmp(e->left, plugin_version(p)) == 0) {
    plugin_free(p);
    struct value *parts = plugin_parts(e->plugin);
    int rc = parts
                 ? plugins_load(draft, plugin_kind(e->plugin), plugin_name(e->plugin), parts, &p, f)
                 : fault_set(f, -ENOMEM, "out of memory");
    value_unref(parts);
    if (rc != 0)
      return rc;
  }
  e->next_settings = fresh->settings;
  fresh->settings = NULL;
  int rc = plugin_prepare(e->plugin, p, findings, f);
  if (rc == 0 && draft->fresh)
    plugin_take_nothing(e->plugin);
  return rc;
}

int plugins_prepare(struct plugins *all, struct plugins *draft, bool strict, struct fault *f) {
  struct findings findings = {0};
  int rc = 0;
  for (size_t i = draft->count; rc == 0 && i-- > 0;) {
    const char *change = difference(all, draft, &draft->items[i]);
    if (!change || strcmp(change, "added") == 0)
      continue;
    struct entry fresh = draft_take(draft, i);
    struct entry *e = plugins_entry(all, plugin_kind(fresh.plugin), plugin_name(fresh.plugin));
    rc = prepare_one(draft, e, &fresh, &findings, f);
    entry_clear(&fresh);
    if (rc == 0 && strict && findings.count > 0) {
      const struct finding *first = findings.items;
      rc = fault_set(f, -EINVAL, "%s%s%s: %s", first->file, *first->file ? ": " : "", first->path,
                     first->text);
    }
  }
  findings_free(&findings);
  return rc;
}

static void on_ready(void *arg, const struct fault *f) {
  struct plugins *all = arg;
  if (f->code != 0 && all->unready.code == 0)
    all->unready = *f;
  if (--all->readying == 0)
    all->ready(all->ready_arg, &all->unready);
}

bool plugins_make_ready(struct plugins *all, void (*ready)(void *arg, const struct fault *f),
                        void *arg) {
  all->ready = ready;
  all->ready_arg = arg;
  all->unready = (struct fault){0};
  for (size_t i = 0; i < all->count; i++) {
    struct plugin *p = all->items[i].plugin;
    if (plugin_is_prepared(p) && plugin_make_ready(p, ready_ns, on_ready, all))
      all->readying++;
  }
  return all->readying > 0;
}

/* `was`: the version before, and its hash; `good`: it had proved itself. */
static void swapped(struct entry *e, struct value *was, bool good, const char *hash) {
  struct plugin *p = e->plugin;
  bool same = strcmp(hash, plugin_version(p)) == 0;
  if (!same && !e->going_back)
    e->left[0] = '\0';
  if (e->going_back) {
    if (!e->left[0]) /* else the file has that one still */
      snprintf(e->left, sizeof e->left, "%s", hash);
    e->since_us = earlier_since_us(e);
    earlier_pop(e);
    e->reloads.gone_back++;
  } else if (!same) {
    e->since_us = clock_wall_us();
    if (good)
      earlier_push(e, value_ref(was));
  }
  value_unref(e->settings);
  e->settings = e->next_settings;
  e->next_settings = NULL;
  e->going_back = false;
  e->reloads.done++;
  e->reloads.why[0] = '\0';
  forgive(&e->quarantine);
  probation_begin(&e->probation, clock_now_ns());
  log_info("plugin reloaded", LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)),
           LOG_S("file", plugin_path(p)), LOG_S("hash", plugin_hash(p)));
}

/* The version before is good when it is not on probation itself. One that only gets other settings
 * is the same version. */
static void swap_one(struct plugins *all, struct entry *e) {
  struct plugin *p = e->plugin;
  char hash[sizeof e->left], left[sizeof e->left];
  bool good = !plugin_is_parked(p), back = e->going_back;
  struct value *was = version_of(e);
  snprintf(hash, sizeof hash, "%s", plugin_version(p));
  memcpy(left, e->left, sizeof left);
  plugin_swap(p);
  swapped(e, was, good && was, hash);
  value_unref(was);
  if (strcmp(e->left, left) != 0 || back)
    plugins_keep(all, e);
}

int plugins_swap(struct plugins *all, struct plugins *draft, bool strict, struct fault *f) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < all->count; i++)
    if (plugin_is_prepared(all->items[i].plugin))
      rc = plugin_hand_over(all->items[i].plugin, strict, f);
  if (rc != 0)
    return rc;
  for (size_t i = 0; i < all->count; i++)
    if (plugin_is_prepared(all->items[i].plugin))
      swap_one(all, &all->items[i]);
  while (draft->count > 0) {
    struct entry e = draft_take(draft, draft->count - 1);
    if (plugins_entry(all, plugin_kind(e.plugin), plugin_name(e.plugin)) ||
        plugins_add(all, &e) != 0)
      entry_clear(&e);
    else
      plugins_keep(all, &e);
  }
  arm(all);
  return 0;
}

void plugins_abandon(struct plugins *all) {
  for (size_t i = 0; i < all->count; i++) {
    struct entry *e = &all->items[i];
    plugin_abandon(e->plugin);
    value_unref(e->next_settings);
    e->next_settings = NULL;
    e->going_back = e->next_unused = false;
  }
  all->readying = 0;
}

void plugins_configure(struct plugins *all, const struct config *config) {
  all->config = config;
  for (size_t i = 0; i < all->count; i++) {
    all->items[i].unused = all->items[i].next_unused;
    all->items[i].next_unused = false;
  }
  arm(all);
}

/* ---- failures ---- */

static void note_failure(struct entry *e, const char *why) {
  e->reloads.failed++;
  snprintf(e->reloads.why, sizeof e->reloads.why, "%.299s", why);
}

void plugins_note_failures(struct plugins *all, const struct plugins *draft, const char *why) {
  for (size_t i = 0; i < draft->miss_count; i++) {
    const struct miss *m = &draft->misses[i];
    struct entry *e = plugins_entry(all, m->kind, m->name);
    if (e)
      note_failure(e, m->fault.text);
  }
  for (size_t i = 0; i < all->count; i++)
    if (plugin_is_prepared(all->items[i].plugin))
      note_failure(&all->items[i], why);
}
