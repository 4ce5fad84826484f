#include "base/fault.h"
#include "cli/local.h"
#include "cli/output.h"
#include "config/target.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One endpoint as it was last shown. */
struct seen {
  char id[256], address[160];
  int status;
  float weight;
  bool there; /* in the snapshot that is being compared */
};

struct watching {
  const struct arguments *arguments;
  const char *service;
  struct perigee_service *s;
  struct seen *seen;
  size_t count, room;
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

static struct seen *find_seen(struct watching *w, const char *id) {
  for (size_t i = 0; i < w->count; i++)
    if (strcmp(w->seen[i].id, id) == 0)
      return &w->seen[i];
  return NULL;
}

static struct seen *add_seen(struct watching *w) {
  if (w->count == w->room) {
    size_t room = w->room ? w->room * 2 : 64;
    struct seen *more = realloc(w->seen, room * sizeof *more);
    if (!more)
      return NULL;
    w->seen = more;
    w->room = room;
  }
  return &w->seen[w->count++];
}

static int compare_one(struct watching *w, const struct perigee_endpoint *e) {
  struct seen now = {.status = e->status, .weight = e->weight, .there = true};
  struct buf address = {0};
  if (perigee_endpoint_text(w->s, e, "id", now.id, sizeof now.id) < 0)
    return -ESTALE;
  local_write_address(e, &address);
  snprintf(now.address, sizeof now.address, "%s", address.data ? address.data : "");
  buf_free(&address);
  struct seen *before = find_seen(w, now.id);
  if (!before) {
    before = add_seen(w);
    if (!before)
      return -ENOMEM;
    write_line(w, '+', &now, NULL);
  } else if (before->status != now.status || strcmp(before->address, now.address) != 0 ||
             before->weight != now.weight) {
    write_line(w, '~', &now, before);
  }
  *before = now;
  return 0;
}

/* One snapshot against what was shown. An endpoint that moves while it is read ends the round
 * early, and the next one sees the rest. */
static int compare(struct watching *w) {
  struct perigee_endpoint *list;
  int count = local_list(w->s, &list), status = 0;
  if (count < 0 && count != -ENOENT)
    return count;
  for (size_t i = 0; i < w->count; i++)
    w->seen[i].there = false;
  for (int i = 0; i < count && !status; i++)
    status = compare_one(w, &list[i]);
  free(list);
  size_t kept = 0;
  for (size_t i = 0; i < w->count; i++) {
    if (w->seen[i].there || status)
      w->seen[kept++] = w->seen[i];
    else
      write_line(w, '-', &w->seen[i], NULL);
  }
  w->count = kept;
  output_write(&w->out);
  return status;
}

static int watch(struct watching *w) {
  for (;;) {
    uint64_t version = perigee_version(w->s);
    int status = compare(w);
    if (status == -ESTALE || status == -EAGAIN)
      continue;
    if (status)
      return complain(w->arguments, EXIT_FAILED, "cannot read %s: %s", w->service,
                      strerror(-status));
    status = perigee_wait(w->s, version, -1);
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
                  "embedded:///NAME");
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
    .about =
        "TARGET is a service's name, or embedded:///NAME. What is there at first is printed as "
        "added.\n\"+\" is an endpoint that is new, \"-\" one that is gone, \"~\" one whose "
        "status, address or\nweight changed. It waits for a service that is not there yet, and "
        "goes on over restarts of the\nagent, until Ctrl-C.",
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
