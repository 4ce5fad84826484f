/* plugins_kept: a version that was left for the one before it is not taken at the next start
 * either: the data directory has the good one's source, under the hash of the bad one. */
#include "agent/plugins/plugins_inside.h"
#include "agent/plugins/plugins_reload.h"
#include "base/findings.h"
#include "base/log.h"
#include "registry/store.h"
#include "vm/plugin/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET "plugin" /* by KIND/NAME: 64 digits, and the source */
enum { HASH_DIGITS = 64 };

void plugins_keep(struct plugins *all, const struct entry *e) {
  char key[300], *record = NULL;
  const char *source = plugin_source(e->plugin);
  size_t length = HASH_DIGITS + strlen(source);
  if (!all->store)
    return;
  snprintf(key, sizeof key, "%.100s/%.150s", plugin_kind(e->plugin), plugin_name(e->plugin));
  if (e->left[0] && (record = malloc(length))) {
    memcpy(record, e->left, HASH_DIGITS);
    memcpy(record + HASH_DIGITS, source, length - HASH_DIGITS);
  }
  store_put(all->store, BUCKET, key, record, record ? length : 0, NULL, NULL);
  free(record);
}

static void take_back(struct plugins *all, struct entry *e, const char *left, const char *source) {
  struct plugin *p = e->plugin, *good = NULL;
  struct findings findings = {0};
  struct fault f;
  int rc = plugins_load(all, plugin_kind(p), plugin_name(p), source, &good, &f);
  if (rc == 0)
    rc = plugin_prepare(p, good, &findings, &f);
  if (rc == 0)
    rc = plugin_hand_over(p, true, &f);
  findings_free(&findings);
  if (rc != 0) {
    plugin_abandon(p);
    log_warn("the version before cannot be used any more", LOG_S("plugin", plugin_name(p)),
             LOG_S("error", f.text));
    return;
  }
  plugin_swap(p);
  plugin_settle(p);
  snprintf(e->left, sizeof e->left, "%s", left);
  log_warn("a plugin's file holds a version that was left: the one before it is used",
           LOG_S("kind", plugin_kind(p)), LOG_S("plugin", plugin_name(p)), LOG_S("left", left));
}

static int recall(void *arg, const char *key, const void *value, size_t length) {
  struct plugins *all = arg;
  char kind[101], left[HASH_DIGITS + 1];
  const char *slash = strchr(key, '/');
  if (!slash || slash - key >= (int)sizeof kind || length <= HASH_DIGITS)
    return 0;
  snprintf(kind, sizeof kind, "%.*s", (int)(slash - key), key);
  snprintf(left, sizeof left, "%.*s", HASH_DIGITS, (const char *)value);
  struct entry *e = plugins_entry(all, kind, slash + 1);
  if (!e || strcmp(plugin_version(e->plugin), left) != 0)
    return 0; /* it is not used, or its file has changed */
  char *source = strndup((const char *)value + HASH_DIGITS, length - HASH_DIGITS);
  if (source)
    take_back(all, e, left, source);
  free(source);
  return 0;
}

void plugins_recall(struct plugins *all, struct store *store) {
  all->store = store;
  store_each(store, BUCKET, recall, all);
}
