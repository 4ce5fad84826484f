#include "registry/registration.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t room(const char *text) {
  return text ? strlen(text) + 1 : 1;
}

static const char *copy(char **at, const char *text) {
  size_t size = room(text);
  char *to = memcpy(*at, text ? text : "", size);
  *at += size;
  return to;
}

struct registration *registration_new(const struct registration *draft) {
  size_t checks_size = draft->check_count * sizeof(struct check_definition), text_size = 0;
  for (uint32_t i = 0; i < draft->check_count; i++) {
    const struct check_definition *c = &draft->checks[i];
    text_size += room(c->id) + room(c->name) + room(c->notes) + room(c->plugin);
  }
  struct registration *r = malloc(sizeof *r + checks_size + text_size);
  if (!r)
    return NULL;
  *r = *draft;
  atomic_init(&r->references, 1);
  r->instance = instance_ref(draft->instance);
  r->checks = (struct check_definition *)(r + 1);
  char *text = (char *)r->checks + checks_size;
  for (uint32_t i = 0; i < r->check_count; i++) {
    const struct check_definition *from = &draft->checks[i];
    struct check_definition *c = &r->checks[i];
    *c = *from;
    c->id = copy(&text, from->id);
    c->name = copy(&text, from->name);
    c->notes = copy(&text, from->notes);
    c->plugin = copy(&text, from->plugin);
    c->options = from->options ? value_ref(from->options) : NULL;
  }
  return r;
}

struct registration *registration_ref(const struct registration *r) {
  struct registration *mine = (struct registration *)r; /* the count is not part of the value */
  atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
  return mine;
}

void registration_unref(struct registration *r) {
  if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1)
    return;
  for (uint32_t i = 0; i < r->check_count; i++)
    value_unref(r->checks[i].options);
  instance_unref(r->instance);
  free(r);
}

bool check_definition_equal(const struct check_definition *a, const struct check_definition *b) {
  return strcmp(a->id, b->id) == 0 && strcmp(a->name, b->name) == 0 &&
         strcmp(a->notes, b->notes) == 0 && strcmp(a->plugin, b->plugin) == 0 &&
         a->interval_ns == b->interval_ns && a->timeout_ns == b->timeout_ns &&
         a->ttl_ns == b->ttl_ns && a->deregister_after_ns == b->deregister_after_ns &&
         a->rise == b->rise && a->fall == b->fall && a->initial == b->initial &&
         value_equal(a->options, b->options);
}

bool registration_equal(const struct registration *a, const struct registration *b) {
  if (a == b)
    return true;
  if (a->origin != b->origin || a->check_count != b->check_count || a->lease_ms != b->lease_ms ||
      a->owner_pid != b->owner_pid || a->owner_start != b->owner_start ||
      a->weight_warning != b->weight_warning || a->tag_override != b->tag_override ||
      !instance_equal(a->instance, b->instance))
    return false;
  for (uint32_t i = 0; i < a->check_count; i++)
    if (!check_definition_equal(&a->checks[i], &b->checks[i]))
      return false;
  return true;
}

static int check_definition_check(const struct registration *r, uint32_t i, struct fault *f) {
  const struct check_definition *c = &r->checks[i];
  if (!name_valid(c->id, strlen(c->id)))
    return fault_set(f, -EINVAL,
                     "instance %s: a check's id must be 1 to 255 bytes of UTF-8 without control "
                     "characters",
                     r->instance->id);
  if (c->plugin[0] == '\0')
    return fault_set(f, -EINVAL, "check %s: it names no check plugin", c->id);
  if (check_is_ttl(c) ? c->ttl_ns <= 0 : c->interval_ns <= 0)
    return fault_set(f, -EINVAL, "check %s: its %s must be more than 0", c->id,
                     check_is_ttl(c) ? "ttl" : "interval");
  const int64_t durations[] = {c->interval_ns, c->timeout_ns, c->ttl_ns, c->deregister_after_ns};
  for (size_t j = 0; j < sizeof durations / sizeof *durations; j++)
    if (durations[j] < 0 || durations[j] > REGISTRATION_LEASE_MAX_MS * 1000000)
      return fault_set(f, -EINVAL, "check %s: a duration is 0 to 365 days", c->id);
  for (uint32_t j = 0; j < i; j++)
    if (strcmp(r->checks[j].id, c->id) == 0)
      return fault_set(f, -EINVAL, "check %s: the id is there twice", c->id);
  return 0;
}

int registration_check(const struct registration *r, struct fault *f) {
  int rc = instance_check(r->instance, f);
  if (rc)
    return rc;
  if (r->check_count > REGISTRATION_CHECKS_MAX)
    return fault_set(f, -EINVAL, "instance %s: more than %d checks", r->instance->id,
                     REGISTRATION_CHECKS_MAX);
  if (r->lease_ms < 0 || r->lease_ms > REGISTRATION_LEASE_MAX_MS)
    return fault_set(f, -EINVAL, "instance %s: a lease is 0 (none) to 365 days", r->instance->id);
  if (r->owner_pid < 0)
    return fault_set(f, -EINVAL, "instance %s: an owner is a process id", r->instance->id);
  for (uint32_t i = 0; i < r->check_count; i++) {
    rc = check_definition_check(r, i, f);
    if (rc)
      return rc;
  }
  return 0;
}

bool check_is_ttl(const struct check_definition *c) {
  return strcmp(c->plugin, "ttl") == 0;
}

void check_definition_clear(struct check_definition *c) {
  free((char *)c->id);
  free((char *)c->name);
  free((char *)c->notes);
  free((char *)c->plugin);
  value_unref(c->options);
  *c = (struct check_definition){0};
}

struct registration_state *registration_state_new(const struct registration_state *draft) {
  const struct registration *r = draft->registration;
  size_t checks_size = r->check_count * sizeof(struct check_state), text_size = 0;
  for (uint32_t i = 0; i < r->check_count; i++)
    text_size += room(draft->checks[i].output);
  struct registration_state *s = malloc(sizeof *s + checks_size + text_size);
  if (!s)
    return NULL;
  struct check_state *checks = (struct check_state *)(s + 1);
  char *text = (char *)checks + checks_size;
  *s = *draft;
  atomic_init(&s->references, 1);
  s->registration = registration_ref(r);
  s->status = STATUS_PASSING;
  s->checks = checks;
  for (uint32_t i = 0; i < r->check_count; i++) {
    checks[i] = draft->checks[i];
    checks[i].output = copy(&text, draft->checks[i].output);
    if (checks[i].status > s->status)
      s->status = checks[i].status;
  }
  return s;
}

struct registration_state *registration_state_ref(const struct registration_state *s) {
  struct registration_state *mine = (struct registration_state *)s;
  atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
  return mine;
}

void registration_state_unref(struct registration_state *s) {
  if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
    return;
  registration_unref(s->registration);
  free(s);
}
