#include "base/fault.h"
#include "cli/local.h"
#include "cli/output.h"
#include "config/target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 500 }; /* how often it is seen whether anybody still reads */

/* One endpoint as it was last shown. */
struct seen {
  char id[256], address[280];
  int status;
  float weight;
};

struct watching {
  const struct arguments *arguments;
  const char *service;
  struct perigee_service *s;
  struct seen *seen; /* by id */
  size_t count;
  struct buf out;
};

/* Everything is written line by line and nothing is owed: to end here is to end cleanly. */
static void on_interrupt(int number) {
  (void)number;
  _exit(EXIT_DONE);
}

static void write_line(struct watching *w, char sign, const struct seen *now,
                       const struct seen *before) {
  struct buf *out = &w->out;
  if (arguments_flag(w->arguments, "json")) {
    const char *event = sign == '+' ? "added" : sign == '-' ? "removed" : "changed";
    buf_format(out, "{\"event\":\"%s\",\"service\":", event);
    buf_json_text(out, w->service);
    buf_text(out, ",\"id\":");
    buf_json_text(out, now->id);
    buf_text(out, ",\"address\":");
    buf_json_text(out, now->address);
    buf_format(out, ",\"status\":\"%s\",\"weight\":", local_status_name(now->status));
    buf_json_number(out, (double)now->weight);
    buf_format(out, ",\"version\":%llu}\n", (unsigned long long)perigee_version(w->s));
    return;
  }
  const char *color = sign == '+' ? "green" : sign == '-' ? "red" : "yellow";
  buf_format(out, "%s%c%s %s %s ", output_color(color), sign, output_color("off"), now->id,
             now->address);
  if (before && before->status != now->status)
    buf_format(out, "%s -> ", local_status_name(before->status));
  buf_format(out, "%s\n", local_status_name(now->status));
}

static int by_id(const void *a, const void *b) {
  return strcmp(((const struct seen *)a)->id, ((const struct seen *)b)->id);
}

static bool is_same(const struct seen *a, const struct seen *b) {
  return a->status == b->status && a->weight == b->weight && strcmp(a->address, b->address) == 0;
}

/* What there is, by id. One that has left while it was read is not there any more. */
static int look(struct watching *w, struct seen **out, size_t *count) {
  struct perigee_endpoint *list;
  struct buf address = {0};
  int all = local_list(w->s, &list);
  if (all < 0 && all != -ENOENT)
    return all;
  struct seen *now = calloc(all > 0 ? (size_t)all : 1, sizeof *now);
  *count = 0;
  for (int i = 0; now && i < all; i++) {
    struct seen *one = &now[*count];
    *one = (struct seen){.status = list[i].status, .weight = list[i].weight};
    if (perigee_endpoint_text(w->s, &list[i], "id", one->id, sizeof one->id) < 0)
      continue;
    buf_clear(&address);
    local_write_address(&list[i], &address);
    snprintf(one->address, sizeof one->address, "%s", address.data ? address.data : "");
    ++*count;
  }
  buf_free(&address);
  free(list);
  if (now)
    qsort(now, *count, sizeof *now, by_id);
  *out = now;
  return now ? 0 : -ENOMEM;
}

static void tell(struct watching *w, const struct seen *now, size_t count) {
  const struct seen *before = w->seen, *end = before + w->count;
  for (const struct seen *last = now + count; before < end || now < last;) {
    int order = before == end ? 1 : now == last ? -1 : by_id(before, now);
    if (order < 0)
      write_line(w, '-', before, NULL);
    else if (order > 0)
      write_line(w, '+', now, NULL);
    else if (!is_same(before, now))
      write_line(w, '~', now, before);
    before += order <= 0;
    now += order >= 0;
  }
  output_write(&w->out);
}

/* One snapshot against what was shown. */
static int compare(struct watching *w) {
  struct seen *now;
  size_t count;
  int status = look(w, &now, &count);
  if (status)
    return status;
  tell(w, now, count);
  free(w->seen);
  w->seen = now;
  w->count = count;
  return 0;
}

/* `perigee watch web | head -1` is over when `head` is, not with the next change. */
static bool nobody_reads(void) {
  struct pollfd out = {.fd = STDOUT_FILENO};
  return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

static int watch(struct watching *w) {
  for (;;) {
    uint64_t version = perigee_version(w->s);
    int status = compare(w);
    if (status == -EAGAIN)
      continue;
    if (status)
      return complain(w->arguments, EXIT_FAILED, "cannot read %s: %s", w->service,
                      strerror(-status));
    status = perigee_wait(w->s, version, LOOK_MS);
    if (nobody_reads())
      return EXIT_DONE;
    if (status && status != -ETIMEDOUT && status != -EINTR)
      return complain(w->arguments, EXIT_FAILED, "cannot wait for %s: %s", w->service,
                      strerror(-status));
  }
}

/* A name, or a target whose service the agent holds. */
static int read_target(const struct arguments *a, struct target *t) {
  struct fault f;
  if (!strstr(a->items[0], "//")) {
    *t = (struct target){.name = strdup(a->items[0])};
    return t->name ? 0 : complain(a, EXIT_FAILED, "out of memory");
  }
  if (target_parse(a->items[0], t, &f) < 0)
    return complain(a, EXIT_USAGE, "%s", f.text);
  if (strcmp(t->registry, "embedded") == 0 && !*t->authority && !t->option_count)
    return 0;
  target_clear(t);
  return complain(a, EXIT_USAGE,
                  "only what the agent watches can be watched here: a service's name, or "
                  "embedded:///NAME. Another target is one of the configuration's `watches`");
}

static int run(const struct arguments *a) {
  struct target target;
  struct perigee *p;
  struct watching w = {.arguments = a};
  int status = read_target(a, &target);
  if (status)
    return status;
  w.service = target.name;
  status = local_open(a, &p);
  if (!status) {
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    status = local_service_open(a, p, w.service, &w.s);
    if (!status) {
      if (!perigee_version(w.s))
        fprintf(stderr, "perigee watch: there is no service \"%s\" yet; waiting for it\n",
                w.service);
      status = watch(&w);
      perigee_service_close(w.s);
    }
    perigee_close(p);
  }
  free(w.seen);
  buf_free(&w.out);
  target_clear(&target);
  return status;
}

const struct command command_watch = {
    .name = "watch",
    .arguments = "TARGET",
    .summary = "Print each change of a service's endpoints as it happens",
    .about = "TARGET is a service's name, or embedded:///NAME. What is there at first is printed "
             "as added. \"+\" is an endpoint that is new, \"-\" one that is gone, \"~\" one whose "
             "status, address or weight changed. It waits for a service that is not there yet, and "
             "goes on over restarts of the agent, until Ctrl-C.",
    .examples =
        (const struct example[]){{"perigee watch web", "see instances come and go"},
                                 {"perigee watch web --json | jq .", "one JSON object a line"},
                                 {0}},
    .arguments_min = 1,
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .run = run,
};
