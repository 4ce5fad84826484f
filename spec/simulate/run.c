#include "run.h"

#include "catalog/block.h"
#include "events.h"
#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Together the processes ask for 13,000 of the 20,000 requests a second that 50 well endpoints can
 * serve. */
enum { CALLS_PER_SECOND = 13000, KEYS = 10000 };
#define SECOND_NS 1000000000ull
#define START_NS                                                                                   \
  (1000 * SECOND_NS)         /* the virtual clock's first reading; not 0, which is "never"         \
                              */
#define COARSE_NS 4000000ull /* the resolution of the clock that picks read */

const char *const run_names[RUN_KINDS] = {"alone", "host", "ejects"};

static uint64_t now_ns; /* the only clock */

struct run {
  const struct run_settings *settings;
  struct run_result *result;
  struct host *host;
  struct backends backends;
  struct events events;
  struct block_draft draft;
  struct catalog_view view;
  uint64_t random, join_ns, end_ns;
  float *answered_ms; /* of each answered call */
  size_t room;
};

/* The snapshot as the agent would publish it now: the new endpoint from its time on, with slow
 * start. */
static int publish(struct run *r) {
  char ids[BACKENDS][16];
  struct catalog_endpoint endpoints[BACKENDS];
  struct catalog_rules rules = {.slow_start_ns = BACKEND_WARM_NS};
  uint32_t count = now_ns < r->join_ns ? BACKEND_NEW : BACKENDS;
  for (uint32_t i = 0; i < count; i++) {
    snprintf(ids[i], sizeof ids[i], "web-%u", i);
    endpoints[i] = (struct catalog_endpoint){.id = ids[i],
                                             .address = "10.0.0.1",
                                             .slot = i + 1,
                                             .slot_generation = 1,
                                             .weight = 1,
                                             .ejected = host_ejects(r->host, i),
                                             .born_ns = i == BACKEND_NEW ? r->join_ns : 0};
  }
  struct catalog_snapshot s = {.service = "web",
                               .balancer = r->settings->balancer->name,
                               .rules = &rules,
                               .endpoints = endpoints,
                               .count = count,
                               .now_ns = now_ns};
  host_members(r->host, count);
  int e = block_arrange(&r->draft, &s);
  if (e == 0)
    e = block_build(&r->draft, &s, NULL);
  if (e < 0)
    return e;
  const struct catalog_block *b = (const struct catalog_block *)r->draft.bytes;
  r->view =
      (struct catalog_view){.block = r->draft.bytes,
                            .bytes = b->bytes,
                            .rows = (const struct catalog_row *)(r->draft.bytes + b->rows),
                            .order = (const uint32_t *)(r->draft.bytes + b->order),
                            .alias = (const uint64_t *)(r->draft.bytes + b->alias),
                            .groups = (const struct catalog_group *)(r->draft.bytes + b->groups),
                            .top = b->top ? (const uint64_t *)(r->draft.bytes + b->top) : NULL,
                            .count = b->count,
                            .healthy = b->healthy,
                            .pickable = b->pickable,
                            .cycle = b->cycle,
                            .group_count = b->group_count,
                            .balancer = b->balancer,
                            .flags = b->flags};
  memcpy(r->view.options, b->options, sizeof b->options);
  return 0;
}

static int add(struct run *r, enum event_kind kind, uint64_t after_ns, uint32_t process) {
  struct event event = {.at_ns = now_ns + after_ns, .kind = kind, .process = process};
  return event.at_ns < r->end_ns ? events_add(&r->events, event) : 0;
}

static int add_next_call(struct run *r, uint32_t process) {
  double mean = (double)SECOND_NS * PROCESSES / CALLS_PER_SECOND;
  return add(r, EVENT_CALL, simulate_exponential(&r->random, mean), process);
}

static int call(struct run *r, uint32_t process) {
  struct select_ask ask = {.hash = simulate_random(&r->random) % KEYS, .keyed = true};
  ask.hash = select_hash(&ask.hash, sizeof ask.hash);
  struct select_state *state = &r->host->processes[process].state;
  const struct select_balancer *balancer = r->settings->balancer;
  state->now_ns = now_ns - now_ns % COARSE_NS;
  uint32_t row = balancer->pick(state, &r->view, balancer->by_key ? &ask : NULL);
  if (row >= r->view.count)
    return -EPROTO;
  uint32_t slot = r->view.rows[row].slot;
  host_picked(r->host, process, slot, now_ns);
  struct event event = {.kind = EVENT_ANSWER, .process = process, .slot = slot};
  event.answer = backends_serve(&r->backends, slot - 1, now_ns);
  event.at_ns = now_ns + event.answer.after_ns;
  int e = events_add(&r->events, event);
  r->result->calls++;
  r->result->slow += slot - 1 == BACKEND_SLOW;
  r->result->failing += slot - 1 == BACKEND_FAILING;
  r->result->fresh += slot - 1 == BACKEND_NEW;
  return e < 0 ? e : add_next_call(r, process);
}

static int answer(struct run *r, const struct event *event) {
  host_done(r->host, event->process, event->slot, now_ns, event->answer, select_decay_ns(&r->view));
  r->result->timeouts += event->answer.timeout;
  r->result->errors += event->answer.error;
  if (event->answer.timeout || event->answer.error)
    return 0;
  if (r->result->answered == r->room) {
    size_t room = r->room ? r->room * 2 : 4096;
    float *grown = realloc(r->answered_ms, room * sizeof *grown);
    if (!grown)
      return -ENOMEM;
    r->answered_ms = grown;
    r->room = room;
  }
  r->answered_ms[r->result->answered++] = (float)event->answer.after_ns / 1e6f;
  return 0;
}

static int happen(struct run *r, const struct event *event) {
  int e;
  switch (event->kind) {
  case EVENT_CALL:
    return call(r, event->process);
  case EVENT_ANSWER:
    return answer(r, event);
  case EVENT_SUM:
    e = host_sum(r->host, now_ns, select_decay_ns(&r->view)) ? publish(r) : 0;
    return e < 0 ? e : add(r, EVENT_SUM, HOST_TICK_NS, 0);
  case EVENT_SWEEP:
    e = host_sweep(r->host, now_ns);
    e = e > 0 ? publish(r) : e;
    return e < 0 ? e : add(r, EVENT_SWEEP, HOST_SWEEP_NS, 0);
  case EVENT_PUBLISH:
    e = publish(r);
    return e < 0 ? e : add(r, EVENT_PUBLISH, SECOND_NS, 0);
  }
  return -EINVAL;
}

static int begin(struct run *r) {
  enum run_knowledge knowledge = r->settings->knowledge;
  r->host = host_make(knowledge, r->settings->seed);
  int e = r->host ? publish(r) : -ENOMEM;
  for (uint32_t i = 0; e == 0 && i < PROCESSES; i++)
    e = add_next_call(r, i);
  if (e == 0)
    e = add(r, EVENT_PUBLISH, r->join_ns - now_ns, 0);
  if (e == 0 && knowledge != RUN_ALONE)
    e = add(r, EVENT_SUM, HOST_TICK_NS, 0);
  return e == 0 && knowledge == RUN_EJECTS ? add(r, EVENT_SWEEP, HOST_SWEEP_NS, 0) : e;
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double percentile(const struct run *r, double part) {
  size_t count = r->result->answered;
  return count ? (double)r->answered_ms[(size_t)(part * (double)(count - 1))] : 0;
}

int run_balancer(const struct run_settings *settings, struct run_result *result) {
  now_ns = START_NS;
  *result = (struct run_result){0};
  struct run r = {.settings = settings, .result = result, .random = settings->seed ^ 0x5eed};
  r.end_ns = START_NS + settings->seconds * SECOND_NS;
  r.join_ns = START_NS + settings->seconds * SECOND_NS / 4;
  r.backends = (struct backends){.random = settings->seed, .new_since_ns = r.join_ns};

  struct event event;
  int e = begin(&r);
  while (e == 0 && events_next(&r.events, &event)) {
    now_ns = event.at_ns;
    e = happen(&r, &event);
  }
  if (e == 0) {
    qsort(r.answered_ms, result->answered, sizeof *r.answered_ms, by_size);
    result->p50_ms = percentile(&r, 0.50);
    result->p99_ms = percentile(&r, 0.99);
    result->unreported = host_in_flight(r.host);
  }
  free(r.answered_ms);
  events_end(&r.events);
  block_end(&r.draft);
  host_free(r.host);
  return e;
}
