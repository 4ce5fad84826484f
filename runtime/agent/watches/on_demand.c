/* on demand: a name that nobody configured is watched through `resolve` when it is first asked for.
 */
#include "agent/watches/watches_inside.h"
#include "agent/watches/copies.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
static const int64_t patience_ns = 5 * SECOND;
enum { ON_DEMAND_MOST = 1000 };

/* REGISTRY:///NAME, with what a target cannot have in it encoded. */
static void target_of_name(const char *registry, const char *name, struct buf *out) {
  buf_format(out, "%s:///", registry);
  for (const unsigned char *c = (const unsigned char *)name; *c; c++)
    if (*c <= ' ' || *c == '%' || *c == '?' || *c == 0x7f)
      buf_format(out, "%%%02X", *c);
    else
      buf_char(out, (char)*c);
}

const char *resolve_registry(const struct config *config) {
  return value_as_text(value_get(value_get(config->root, "resolve"), "registry"), NULL);
}

bool watch_wish_on_demand(const struct config *config, const char *service, struct buf *target,
                          struct watch_wish *out) {
  const char *registry = resolve_registry(config);
  if (!registry)
    return false;
  target_of_name(registry, service, target);
  *out = (struct watch_wish){
      .service = service,
      .targets = {target->failed ? "" : target->data},
      .rule = {.on_empty = FEED_EMPTY, .min_endpoints = 1, .hold_ns = GUARD_HOLD_NS}};
  return true;
}

static void asked(struct watch *w) {
  int64_t now = clock_now_ns();
  if (now > w->asked_ns) /* else somebody waits for its news until then */
    w->asked_ns = now;
  w->pulse = set_pulse(w->set);
}

/* What a worker answers without asking us it notes in the view. Processes pick without either; of
 * the calls that they report we hear. */
static int64_t asked_last(const struct watches *all, struct watch *w) {
  int64_t used = all->used(all->parts.arg, set_service(w->set));
  uint64_t pulse = set_pulse(w->set);
  if (used > w->asked_ns)
    w->asked_ns = used;
  if (pulse != w->pulse)
    asked(w);
  return w->asked_ns;
}

/* Of those that have no endpoint, the one that nobody has asked for the longest: mostly names that
 * somebody made up. False: each has some. */
static bool forget_empty(struct watches *all) {
  size_t oldest = all->count;
  int64_t least = INT64_MAX;
  for (size_t i = 0; i < all->count; i++) {
    struct watch *w = all->items[i];
    if (!w->on_demand || set_count(w->set) > 0 || asked_last(all, w) >= least)
      continue;
    oldest = i;
    least = w->asked_ns;
  }
  if (oldest == all->count)
    return false;
  watch_free(all->items[oldest]);
  memmove(&all->items[oldest], &all->items[oldest + 1],
          (--all->count - oldest) * sizeof *all->items);
  all->on_demand--;
  return true;
}

static int begin_on_demand(struct watches *all, const char *service, struct watch **out) {
  struct buf target = {0};
  struct watch_wish wish;
  struct fault f = {0};
  if (!watch_wish_on_demand(all->parts.config, service, &target, &wish))
    return -ENOENT;
  if (all->on_demand >= ON_DEMAND_MOST && !forget_empty(all)) {
    log_warn("not watched on demand: as many names are as may be", LOG_S("service", service),
             LOG_I("names", all->on_demand));
    buf_free(&target);
    return -EAGAIN;
  }
  int rc = watch_add(all, &wish, out, &f);
  buf_free(&target);
  if (rc != 0) {
    log_warn("not watched on demand", LOG_S("service", service), LOG_S("error", f.text));
    return -ENOENT;
  }
  all->on_demand++;
  (*out)->on_demand = true;
  return 0;
}

struct watch *watch_on_demand(struct watches *all, const char *service) {
  struct watch *w;
  if (begin_on_demand(all, service, &w) != 0)
    return NULL;
  asked(w);
  return w;
}

static bool is_loaded(const struct watch *w) {
  return !w || !w->feed || feed_ready(w->feed);
}

static int wait_for(struct watches *all, const char *service,
                    void (*answer)(void *arg, int status, const char *text), void *arg) {
  struct waiter *one = calloc(1, sizeof *one + strlen(service) + 1);
  if (!one)
    return -ENOMEM;
  memcpy(one->service, service, strlen(service) + 1);
  one->answer = answer;
  one->arg = arg;
  one->until_ns = clock_now_ns() + patience_ns;
  one->next = all->waiters;
  all->waiters = one;
  return 0;
}

void watches_ask(struct watches *all, const char *service,
                 void (*answer)(void *arg, int status, const char *text), void *arg) {
  struct watch *w = watch_find(all, service);
  int rc = w || sets_find(all->parts.sets, service) ? 0 : begin_on_demand(all, service, &w);
  if (w)
    asked(w);
  if (rc == 0)
    rc = wait_for(all, service, answer, arg);
  if (rc != 0)
    answer(arg, rc, NULL);
}

void watches_answer(struct watches *all) {
  for (struct waiter **link = &all->waiters; *link;) {
    struct waiter *one = *link;
    struct watch *w = watch_find(all, one->service);
    bool loaded = is_loaded(w);
    if (!loaded && one->until_ns > clock_now_ns()) {
      asked(w); /* somebody does, for as long as he waits */
      link = &one->next;
      continue;
    }
    *link = one->next;
    one->answer(one->arg, loaded ? 0 : -EAGAIN, NULL);
    free(one);
  }
}

void watches_forget_idle(struct watches *all) {
  const struct value *resolve = value_get(all->parts.config->root, "resolve");
  double forget_s = value_as_number(value_get(resolve, "forget"), 600);
  int64_t since = clock_now_ns() - (int64_t)(forget_s * (double)SECOND);
  size_t kept = 0;
  for (size_t i = 0; i < all->count; i++) {
    struct watch *w = all->items[i];
    if (!w->on_demand || w->asked_ns > since || asked_last(all, w) > since) {
      all->items[kept++] = w;
      continue;
    }
    log_info("nobody asks for it any more", LOG_S("service", set_service(w->set)));
    all->on_demand--;
    copy_erase(all->store, set_service(w->set));
    watch_free(w);
  }
  all->count = kept;
}

void watches_abandon(struct watches *all) {
  while (all->waiters) {
    struct waiter *one = all->waiters;
    all->waiters = one->next;
    one->answer(one->arg, -ECANCELED, NULL);
    free(one);
  }
}
