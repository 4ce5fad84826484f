#include "agent/registries/ownership.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "registry/store.h"

#include <stdio.h>
#include <string.h>

/* In a container there may be none, or the image's. */
static void read_machine(char out[MACHINE_LENGTH + 1]) {
  struct buf text = {0};
  int rc = file_read_whole("/etc/machine-id", 4096, &text, NULL);
  bool is_one = rc == 0 && text.length >= MACHINE_LENGTH &&
                strspn(text.data, "0123456789abcdef") == MACHINE_LENGTH;
  snprintf(out, MACHINE_LENGTH + 1, "%s", is_one ? text.data : "");
  buf_free(&text);
}

/* NUMBER MADE_AS \0 NODE \0 MACHINE; what an agent of before wrote may end after any of the three.
 */
static int read_record(void *arg, const char *key, const void *value, size_t length) {
  struct ownership *own = arg;
  if (strcmp(key, "owner") != 0 || length < sizeof own->number)
    return 0;
  const char *at = (const char *)value + sizeof own->number, *end = (const char *)value + length;
  struct {
    char *to;
    size_t size;
  } texts[] = {{own->made_as, sizeof own->made_as},
               {own->node, sizeof own->node},
               {own->machine, sizeof own->machine}};
  memcpy(&own->number, value, sizeof own->number);
  for (size_t i = 0; i < sizeof texts / sizeof *texts && at < end; i++) {
    size_t n = strnlen(at, (size_t)(end - at));
    snprintf(texts[i].to, texts[i].size, "%.*s", (int)n, at);
    at += n + 1;
  }
  own->known = true;
  return 0;
}

static void write_record(const struct ownership *own) {
  char record[sizeof own->number + sizeof own->made_as + sizeof own->node + sizeof own->machine];
  size_t length = sizeof own->number;
  memcpy(record, &own->number, length);
  length += (size_t)snprintf(record + length, sizeof own->made_as, "%s", own->made_as) + 1;
  length += (size_t)snprintf(record + length, sizeof own->node, "%s", own->node) + 1;
  length += (size_t)snprintf(record + length, sizeof own->machine, "%s", own->machine);
  store_put(own->store, "meta", "owner", record, length, NULL, NULL);
}

static bool differ(const char *was, const char *is) {
  return *was && *is && strcmp(was, is) != 0;
}

void ownership_recall(struct ownership *own, struct store *store, const char *node) {
  char machine[MACHINE_LENGTH + 1];
  *own = (struct ownership){.store = store};
  store_each(store, "meta", read_record, own);
  read_machine(machine);
  if (differ(own->node, node) || differ(own->machine, machine)) {
    log_warn("the data directory was another node's: what that one has registered is left to it",
             LOG_S("node", node), LOG_S("other", own->node),
             LOG_S("reason", differ(own->node, node) ? "another name" : "another machine"));
    *own = (struct ownership){.store = store, .copied = true};
  }
  bool same = own->known && strcmp(own->node, node) == 0 &&
              (!*machine || strcmp(own->machine, machine) == 0);
  if (!own->known)
    own->number = clock_random();
  if (!*own->made_as)
    snprintf(own->made_as, sizeof own->made_as, "%s", node);
  snprintf(own->node, sizeof own->node, "%s", node);
  if (*machine)
    memcpy(own->machine, machine, sizeof own->machine);
  if (!same)
    write_record(own);
  snprintf(own->owner, sizeof own->owner, "%s/%016llx", own->made_as,
           (unsigned long long)own->number);
}

void ownership_rename(struct ownership *own, const char *node) {
  if (strcmp(own->node, node) == 0)
    return;
  snprintf(own->node, sizeof own->node, "%s", node);
  write_record(own);
}
