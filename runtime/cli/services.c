#include "cli/local.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct listing {
  const struct arguments *arguments;
  struct perigee *p;
  struct columns table;
  struct buf out; /* JSON */
  size_t count;
  int status; /* negative errno */
};

static void add_age(struct columns *table, struct perigee_service *s) {
  struct perigee_service_info info = {.size = sizeof info};
  if (perigee_service_info(s, &info) == 0 && info.stale)
    columns_add(table, "%.0f s", (double)info.stale_ms / 1e3);
  else
    columns_add(table, "-");
}

static void write_service(struct listing *l, const char *name, struct perigee_service *s,
                          const struct perigee_endpoint *list, int count) {
  unsigned long long version = perigee_version(s);
  unsigned by_status[3] = {0};
  for (int i = 0; i < count; i++)
    by_status[list[i].status <= PERIGEE_CRITICAL ? list[i].status : PERIGEE_CRITICAL]++;
  if (arguments_flag(l->arguments, "json")) {
    buf_text(&l->out, l->count ? ",\n " : "\n ");
    buf_text(&l->out, "{\"service\":");
    buf_json_text(&l->out, name);
    buf_format(&l->out,
               ",\"endpoints\":%d,\"passing\":%u,\"warning\":%u,\"critical\":%u,\"version\":%llu",
               count, by_status[0], by_status[1], by_status[2], version);
    local_write_stale(s, &l->out);
    buf_char(&l->out, '}');
  } else {
    columns_add(&l->table, "%s", name);
    columns_add(&l->table, "%d", count);
    for (int i = 0; i < 3; i++)
      columns_add(&l->table, "%u", by_status[i]);
    columns_add(&l->table, "%llu", version);
    add_age(&l->table, s);
  }
  l->count++;
}

static int add_service(void *arg, const char *name) {
  struct listing *l = arg;
  struct perigee_service *s;
  struct perigee_endpoint *list;
  int status = perigee_service_open(l->p, name, &s);
  if (status) {
    l->status = status;
    return 1;
  }
  int count = local_list(s, &list);
  if (count >= 0)
    write_service(l, name, s, list, count);
  else if (count != -ENOENT) /* it ended just now */
    l->status = count;
  free(list);
  perigee_service_close(s);
  return l->status ? 1 : 0;
}

static void list_services(struct listing *l) {
  static const char *const head[] = {"SERVICE",  "ENDPOINTS", "PASSING", "WARNING",
                                     "CRITICAL", "VERSION",   "STALE"};
  l->table.columns = 7;
  for (size_t i = 0; i < l->table.columns; i++)
    columns_add(&l->table, "%s", head[i]);
  perigee_services(l->p, add_service, l);
}

static void write_endpoints(struct listing *l, struct perigee_service *s,
                            const struct perigee_endpoint *list, int count) {
  static const char *const head[] = {"ID", "ADDRESS", "STATUS", "WEIGHT", "ZONE"};
  l->table.columns = 5;
  for (size_t i = 0; i < l->table.columns; i++)
    columns_add(&l->table, "%s", head[i]);
  for (int i = 0; i < count; i++, l->count++) {
    char id[256], zone[256];
    struct buf address = {0};
    if (arguments_flag(l->arguments, "json")) {
      buf_text(&l->out, i ? ",\n " : "\n ");
      local_write_json(s, l->arguments->items[0], &list[i], &l->out);
      continue;
    }
    local_endpoint_id(s, &list[i], id, sizeof id);
    if (perigee_endpoint_text(s, &list[i], "zone", zone, sizeof zone) < 0)
      *zone = 0;
    local_write_address(&list[i], &address);
    columns_add(&l->table, "%s", id);
    columns_add(&l->table, "%s", address.data ? address.data : "");
    columns_add(&l->table, "%s", local_status_name(list[i].status));
    columns_add(&l->table, "%g", (double)list[i].weight);
    columns_add(&l->table, "%s", zone);
    buf_free(&address);
  }
}

static int list_endpoints(struct listing *l) {
  struct perigee_service *s;
  struct perigee_endpoint *list;
  const char *name = l->arguments->items[0];
  int status = local_service_open(l->arguments, l->p, name, &s);
  if (status)
    return status;
  int count = local_list(s, &list);
  if (count >= 0)
    write_endpoints(l, s, list, count);
  else if (count == -ENOENT)
    status = local_no_service(l->arguments, l->p, name);
  else
    l->status = count;
  free(list);
  perigee_service_close(s);
  return status;
}

static int run(const struct arguments *a) {
  struct listing l = {.arguments = a};
  int status = local_open(a, &l.p);
  if (status)
    return status;
  buf_char(&l.out, '[');
  if (a->count)
    status = list_endpoints(&l);
  else
    list_services(&l);
  perigee_close(l.p);
  if (l.status)
    status = complain(a, EXIT_FAILED, "cannot read the catalog: %s", strerror(-l.status));
  buf_text(&l.out, l.count ? "\n]\n" : "]\n");
  bool json = arguments_flag(a, "json");
  if (!json)
    buf_clear(&l.out);
  struct buf none = {0};
  columns_print(&l.table, json ? &none : &l.out);
  if (!status)
    output_write(&l.out);
  buf_free(&none);
  buf_free(&l.out);
  return status;
}

const struct command command_services = {
    .name = "services",
    .arguments = "[SERVICE]",
    .summary = "List the services, or one service's endpoints",
    .about = "Reads shared memory: it works while the agent is stopped. On a terminal a table; "
             "else columns separated by tabs, without their names.",
    .examples = (const struct example[]){{"perigee services",
                                          "every service, with its endpoints by status"},
                                         {"perigee services web", "where each instance of web is"},
                                         {0}},
    .arguments_max = 1,
    .complete = "services",
    .json = true,
    .nothing = true,
    .run = run,
};
