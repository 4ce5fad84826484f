#include "agent/changes.h"

#include "agent/plugins/plugins_reload.h"
#include "base/buf.h"
#include "base/text.h"
#include "base/value.h"
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

struct rows {
  struct buf *out;
  size_t count;
};

struct row {
  const char *what, *name, *id, *change, *detail;
};

static void write_row(struct rows *rows, const struct row *row) {
  const char *fields[][2] = {{"what", row->what},
                             {"name", row->name},
                             {"id", row->id},
                             {"change", row->change},
                             {"detail", row->detail}};
  buf_text(rows->out, rows->count++ ? ",\n{" : "\n{");
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    buf_format(rows->out, "%s\"%s\":", i ? "," : "", fields[i][0]);
    buf_json_text(rows->out, fields[i][1] ? fields[i][1] : "");
  }
  buf_char(rows->out, '}');
}

/* The names of the fields in which two tables differ. */
static void name_differences(const struct value *a, const struct value *b, struct buf *out) {
  for (int side = 0; side < 2; side++) {
    const struct value *from = side ? b : a, *other = side ? a : b;
    for (size_t i = 0; i < value_fields(from); i++) {
      const char *key;
      const struct value *v = value_field(from, i, &key);
      const struct value *beside = value_get(other, key);
      if (side ? !beside : !value_equal(v, beside))
        buf_format(out, "%s%s", out->length ? ", " : "", key);
    }
  }
}

/* ---- services ---- */

/* The instances of a configuration, for looking them up. */
struct listed {
  const struct instance *instance;
  size_t at; /* in the configuration */
};

struct listing {
  const struct config *config;
  struct listed *by_id, *by_service;
  /* How each was written: what its registration does not say is in there too. */
  const struct value **written;
};

static int compare_ids(const void *a, const void *b) {
  return strcmp(((const struct listed *)a)->instance->id, ((const struct listed *)b)->instance->id);
}

static int compare_services(const void *a, const void *b) {
  const struct listed *x = a, *y = b;
  int order = strcmp(x->instance->service, y->instance->service);
  return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void listing_free(struct listing *l) {
  free(l->by_id);
  free(l->by_service);
  free(l->written);
}

static const struct value *written(const struct config *c, const char *service, size_t nth) {
  const struct value *all = value_get(value_get(c->root, "services"), service);
  return value_length(all) ? value_at(all, nth) : all;
}

/* Whether there was memory for it; to be freed in any case. */
static bool listing_make(struct listing *l, const struct config *c) {
  size_t count = c->service_count, nth = 0;
  *l = (struct listing){.config = c,
                        .by_id = calloc(count + 1, sizeof *l->by_id),
                        .by_service = calloc(count + 1, sizeof *l->by_service),
                        .written = calloc(count + 1, sizeof(struct value *))};
  if (!l->by_id || !l->by_service || !l->written)
    return false;
  for (size_t i = 0; i < count; i++)
    l->by_id[i] = l->by_service[i] = (struct listed){c->services[i]->instance, i};
  qsort(l->by_id, count, sizeof *l->by_id, compare_ids);
  qsort(l->by_service, count, sizeof *l->by_service, compare_services);
  for (size_t i = 0; i < count; i++) {
    const char *service = l->by_service[i].instance->service;
    bool next = i > 0 && strcmp(l->by_service[i - 1].instance->service, service) == 0;
    nth = next ? nth + 1 : 0;
    l->written[l->by_service[i].at] = written(c, service, nth);
  }
  return true;
}

static int find_listed_id(const void *id, const void *item) {
  return strcmp(id, ((const struct listed *)item)->instance->id);
}

static int find_listed_service(const void *service, const void *item) {
  return strcmp(service, ((const struct listed *)item)->instance->service);
}

/* Where in the configuration it is; its count: nowhere. */
static size_t find_id(const struct listing *l, const char *id) {
  const struct listed *found =
      bsearch(id, l->by_id, l->config->service_count, sizeof *l->by_id, find_listed_id);
  return found ? found->at : l->config->service_count;
}

static bool has_instances(const struct listing *l, const char *service) {
  return bsearch(service, l->by_service, l->config->service_count, sizeof *l->by_service,
                 find_listed_service) != NULL;
}

static void write_services(const struct listing *before, const struct listing *after,
                           struct rows *rows) {
  const struct config *old = before->config, *new = after->config;
  for (size_t i = 0; i < old->service_count; i++) {
    const struct instance *in = old->services[i]->instance;
    size_t k = find_id(after, in->id);
    struct buf detail = {0};
    struct row row = {.what = "service", .name = in->service, .id = in->id, .change = "removed"};
    if (k < new->service_count) {
      const struct value *a = before->written[i], *b = after->written[k];
      row.change = registration_equal(old->services[i], new->services[k]) && value_equal(a, b)
                       ? NULL
                       : "changed";
      name_differences(a, b, &detail);
      if (!detail.length && strcmp(in->zone, new->services[k]->instance->zone) != 0)
        buf_text(&detail, "zone"); /* the host's */
      row.detail = detail.data;
    }
    if (row.change)
      write_row(rows, &row);
    buf_free(&detail);
  }
  for (size_t i = 0; i < new->service_count; i++) {
    const struct instance *in = new->services[i]->instance;
    if (find_id(before, in->id) == old->service_count)
      write_row(rows, &(struct row){"service", in->service, in->id, "added", NULL});
  }
}

/* ---- everything else ---- */

static void write_name(const char *what, const char *name, const struct value *a,
                       const struct value *b, struct rows *rows) {
  struct buf detail = {0};
  if (a && b)
    name_differences(a, b, &detail);
  if (!value_equal(a, b))
    write_row(rows, &(struct row){what, name, NULL,
                                  !b  ? "removed"
                                  : a ? "changed"
                                      : "added",
                                  detail.data});
  buf_free(&detail);
}

static void write_names(const char *what, const struct value *a, const struct value *b,
                        struct rows *rows) {
  const char *name;
  for (size_t i = 0; i < value_fields(a); i++) {
    const struct value *v = value_field(a, i, &name);
    write_name(what, name, v, value_get(b, name), rows);
  }
  for (size_t i = 0; i < value_fields(b); i++) {
    const struct value *v = value_field(b, i, &name);
    if (!value_get(a, name))
      write_name(what, name, NULL, v, rows);
  }
}

/* What is said of services whose instances register themselves; the others' rows are instances. */
static void write_rules(const struct listing *before, const struct listing *after,
                        struct rows *rows) {
  const struct config *old = before->config, *new = after->config;
  for (int side = 0; side < 2; side++) {
    const struct value *from = value_get((side ? new : old)->root, "services");
    for (size_t i = 0; i < value_fields(from); i++) {
      const char *name;
      value_field(from, i, &name);
      const struct value *a = written(old, name, 0), *b = written(new, name, 0);
      if (!has_instances(before, name) && !has_instances(after, name) && !(side && a))
        write_name("service", name, a, b, rows);
    }
  }
}

static void write_settings(const struct value *a, const struct value *b, struct rows *rows) {
  static const char *const apart[] = {"services", "watches", "registries",
                                      "plugins",  "include", NULL};
  static const char *const named[][2] = {{"watch", "watches"}, {"registry", "registries"}};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++)
    write_names(named[i][0], value_get(a, named[i][1]), value_get(b, named[i][1]), rows);
  for (int side = 0; side < 2; side++) {
    const struct value *from = side ? b : a, *other = side ? a : b;
    for (size_t i = 0; i < value_fields(from); i++) {
      const char *key;
      const struct value *v = value_field(from, i, &key), *beside = value_get(other, key);
      if (word_is_one_of(key, apart) || value_equal(v, beside) || (side && beside))
        continue;
      const char *change = beside ? "changed" : side ? "added" : "removed";
      write_row(rows, &(struct row){"setting", key, NULL, change, NULL});
    }
  }
}

static void write_plugin(void *arg, const struct plugin *fresh, const char *change) {
  char name[300];
  snprintf(name, sizeof name, "%.100s/%.100s", plugin_kind(fresh), plugin_name(fresh));
  write_row(arg, &(struct row){"plugin", name, NULL, change, plugin_hash(fresh)});
}

size_t changes_write(const struct config *old, const struct config *new,
                     const struct plugins *plugins, const struct plugins *draft, struct buf *out) {
  struct rows rows = {out, 0};
  if (new) {
    struct listing before, after = {0};
    if (listing_make(&before, old) && listing_make(&after, new)) {
      write_services(&before, &after, &rows);
      write_rules(&before, &after, &rows);
    } else {
      out->failed = true;
    }
    listing_free(&before);
    listing_free(&after);
    write_settings(old->root, new->root, &rows);
  }
  plugins_differences(plugins, draft, write_plugin, &rows);
  return rows.count;
}
