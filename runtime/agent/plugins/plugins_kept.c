/* plugins_kept: what there is to go back to, over a restart: for each plugin of the user's the data
 * directory has the version that was used last and had proved itself, those before it, and the hash
 * of one that was left and is not to be taken from its file again. */
#include "agent/plugins/plugins_inside.h"
#include "agent/plugins/plugins_reload.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/findings.h"
#include "base/log.h"
#include "base/value.h"
#include "registry/registration.h"
#include "registry/store.h"
#include "vm/plugin/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET "version" /* by KIND/NAME: { left, now, before = { the newest first } } */
enum { EARLIER_BYTES = 1 << 20 };

static void set_text(struct value *table, const char *key, const char *text) {
  value_set(table, key, value_text(text, strlen(text)));
}

static const char *text_of(const struct value *table, const char *key) {
  return value_as_text(value_get(table, key), "");
}

/* ---- versions ---- */

struct value *version_of(const struct entry *e) {
  struct value *v = plugin_parts(e->plugin);
  set_text(v, "version", plugin_version(e->plugin));
  if (value_set(v, "since", value_number((double)e->since_us / 1e6)) == 0)
    return v;
  value_unref(v);
  return NULL;
}

static size_t bytes_of(const struct value *version) {
  const struct value *library = value_get(version, "library");
  size_t sum = value_text_length(value_get(version, "source"));
  const char *name;
  for (size_t i = 0; i < value_fields(library); i++)
    sum += value_text_length(value_field(library, i, &name));
  return sum;
}

void earlier_push(struct entry *e, struct value *version) {
  size_t kept = 0, bytes = 0;
  if (!version)
    return;
  if (e->earlier_count == EARLIER)
    value_unref(e->earlier[--e->earlier_count]);
  memmove(&e->earlier[1], &e->earlier[0], e->earlier_count++ * sizeof e->earlier[0]);
  e->earlier[0] = version;
  while (kept < e->earlier_count && (bytes += bytes_of(e->earlier[kept])) <= EARLIER_BYTES)
    kept++;
  while (e->earlier_count > kept)
    value_unref(e->earlier[--e->earlier_count]);
}

void earlier_pop(struct entry *e) {
  value_unref(e->earlier[0]);
  memmove(&e->earlier[0], &e->earlier[1], --e->earlier_count * sizeof e->earlier[0]);
}

const char *earlier_version(const struct entry *e) {
  return e->earlier_count ? text_of(e->earlier[0], "version") : "";
}

int64_t earlier_since_us(const struct entry *e) {
  return e->earlier_count ? (int64_t)(value_as_number(value_get(e->earlier[0], "since"), 0) * 1e6)
                          : 0;
}

/* ---- keeping ---- */

void plugins_keep(struct plugins *all, const struct entry *e) {
  char key[300];
  struct buf bytes = {0};
  if (!all->store || plugins_ship(all, plugin_path(e->plugin)))
    return;
  struct value *record = value_table(), *before = value_table();
  for (size_t i = 0; i < e->earlier_count; i++)
    value_append(before, value_ref(e->earlier[i]));
  set_text(record, "left", e->left);
  int rc = value_set(record, "now", version_of(e));
  if (rc == 0)
    rc = value_set(record, "before", value_ref(before));
  if (rc == 0)
    rc = value_encode(record, &bytes);
  snprintf(key, sizeof key, "%.100s/%.150s", plugin_kind(e->plugin), plugin_name(e->plugin));
  if (rc == 0)
    rc = store_put(all->store, BUCKET, key, bytes.data, bytes.length, NULL, NULL);
  if (rc != 0)
    log_warn("a plugin's version is not kept for a rollback", LOG_S("plugin", key),
             LOG_S("error", strerror(-rc)));
  value_unref(before);
  value_unref(record);
  buf_free(&bytes);
}

/* ---- recalling ---- */

static bool take_back(struct plugins *all, struct entry *e, const struct value *version) {
  struct plugin *p = e->plugin, *good = NULL;
  struct findings findings = {0};
  struct fault f;
  int rc = plugins_load(all, plugin_kind(p), plugin_name(p), version, &good, &f);
  if (rc == 0)
    rc = plugin_prepare(p, good, &findings, &f);
  if (rc == 0)
    rc = plugin_hand_over(p, true, &f);
  findings_free(&findings);
  if (rc != 0) {
    plugin_abandon(p);
    log_warn("the version before cannot be used any more", LOG_S("plugin", plugin_name(p)),
             LOG_S("error", f.text));
    return false;
  }
  plugin_swap(p);
  plugin_settle(p);
  log_warn("a plugin's file holds a version that was left: the one before it is used",
           LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)), LOG_S("left", e->left));
  return true;
}

/* What the file holds is what was used last, or was left, or came while no agent ran: then what was
 * used last is the first to go back to. */
static void take_up(struct plugins *all, struct entry *e, const struct value *record) {
  const struct value *before = value_get(record, "before"), *now = value_get(record, "now");
  const char *left = text_of(record, "left");
  for (size_t i = value_length(before); i-- > 0;)
    earlier_push(e, value_ref(value_at(before, i)));
  bool is_left = *left && strcmp(plugin_version(e->plugin), left) == 0;
  if (is_left)
    snprintf(e->left, sizeof e->left, "%s", left);
  if (is_left && !take_back(all, e, now))
    e->left[0] = '\0';
  if (strcmp(plugin_version(e->plugin), text_of(now, "version")) == 0)
    e->since_us = (int64_t)(value_as_number(value_get(now, "since"), 0) * 1e6);
  else
    earlier_push(e, value_ref(now));
}

static int recall(void *arg, const char *key, const void *bytes, size_t length) {
  struct plugins *all = arg;
  char kind[101];
  const char *slash = strchr(key, '/');
  struct value *record = NULL;
  if (!slash || slash - key >= (int)sizeof kind)
    return 0;
  snprintf(kind, sizeof kind, "%.*s", (int)(slash - key), key);
  struct entry *e = plugins_entry(all, kind, slash + 1);
  if (!e) /* it is not used now */
    return 0;
  if (value_decode(bytes, length, &record) == 0)
    take_up(all, e, record);
  else
    log_warn("earlier versions of a plugin cannot be read back", LOG_S("plugin", key));
  value_unref(record);
  return 0;
}

void plugins_recall(struct plugins *all, struct store *store) {
  all->store = store;
  store_each(store, BUCKET, recall, all);
  for (size_t i = 0; i < all->count; i++)
    plugins_keep(all, &all->items[i]);
}
