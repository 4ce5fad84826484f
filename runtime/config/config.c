#include "config/config.h"

#include "base/fault.h"
#include "base/value.h"
#include "config/directories.h"
#include "config/facts.h"
#include "config/files.h"
#include "config/grants.h"
#include "config/services.h"
#include "config/shape.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy, or NULL for NULL; a copy that could not be made is noted once for all. */
static char *copy(struct findings *findings, const char *text) {
  char *mine = text ? strdup(text) : NULL;
  findings->failed |= text && !mine;
  return mine;
}

/* An address to listen on: the command line's before the file's, `off` or false for none. */
static char *listen_address(const char *option, const char *flag, const struct value *v,
                            struct findings *findings) {
  char host[256];
  uint16_t port;
  struct fault f = {0};
  if (!option)
    return copy(findings, value_as_text(v, NULL));
  if (strcmp(option, "off") == 0)
    return NULL;
  if (address_parse(option, host, sizeof host, &port, &f) < 0)
    findings_add(findings, NULL, flag, "%s, or \"off\"", f.text);
  return copy(findings, option);
}

static void read_node(struct config *c, const struct value *root, struct findings *findings) {
  struct value *facts = facts_read();
  const char *host = value_as_text(value_get(facts, "name"), "localhost");
  c->node = copy(findings, value_as_text(value_get(root, "node"), host));
  c->zone = copy(findings, value_as_text(value_get(root, "zone"), ""));
  c->datacenter = copy(findings, value_as_text(value_get(root, "datacenter"), "dc1"));
  value_unref(facts);
}

static void read_log(struct config *c, const char *option, const struct value *log,
                     struct findings *findings) {
  const char *word = option ? option : value_as_text(value_get(log, "level"), "info");
  int level = log_level_parse(word);
  if (level < 0)
    findings_add(findings, NULL, "--log-level",
                 "expected one of debug, info, warn, error, found \"%s\"", word);
  else
    c->log_level = (enum log_level)level;
  c->log_json = strcmp(value_as_text(value_get(log, "format"), "text"), "json") == 0;
}

/* A registry is named as in the scheme of a target. What is in it is its adapter's to judge. */
static void check_registries(const struct value *all, struct findings *findings) {
  for (size_t i = 0; i < value_fields(all); i++) {
    const char *name;
    const struct value *v = value_field(all, i, &name), *adapter = value_get(v, "adapter");
    char path[400];
    snprintf(path, sizeof path, "registries.%.300s", name);
    if (value_kind(v) != VALUE_TABLE)
      findings_add(findings, v, path, "expected a table: the options of its adapter");
    else if (adapter && value_kind(adapter) != VALUE_TEXT)
      findings_add(findings, adapter, path, "adapter: expected the name of a registry plugin");
    if (strcmp(name, "embedded") == 0)
      findings_add(findings, v, path, "\"embedded\" is this agent's own registry");
  }
}

static char *directory_of(const char *file, struct findings *findings) {
  const char *slash = strrchr(file, '/');
  return !slash          ? copy(findings, ".")
         : slash == file ? copy(findings, "/")
                         : strndup(file, (size_t)(slash - file));
}

/* DIR/plugins is looked into: beside the file first, what ships last. */
static void list_plugin_directories(struct config *c, const char *of, struct findings *findings) {
  c->plugin_directories = calloc(5, sizeof *c->plugin_directories);
  if (!c->plugin_directories) {
    findings->failed = 1;
    return;
  }
  char **list = c->plugin_directories;
  size_t n = 0;
  if (c->file)
    list[n++] = directory_of(c->file, findings);
  if (of)
    list[n++] = directory_of(of, findings);
  list[n++] = copy(findings, "/etc/perigee");
  list[n++] = copy(findings, c->library);
  for (size_t i = 0; i < n; i++)
    findings->failed |= !list[i];
  c->plugin_directory_count = n;
}

static void read_all(struct config *c, const struct config_options *o, const struct shape *shape,
                     struct findings *findings) {
  const struct value *root = c->root;
  read_node(c, root, findings);
  read_log(c, o->log_level, value_get(root, "log"), findings);
  c->http = listen_address(o->http, "--http", value_get(root, "http"), findings);
  c->dns = listen_address(o->dns, "--dns", value_get(root, "dns"), findings);
  c->run_dir = directories_run(o->run_dir, value_as_text(value_get(root, "run_dir"), NULL));
  c->data_dir = directories_data(o->data_dir, value_as_text(value_get(root, "data_dir"), NULL));
  c->library = directories_library();
  c->workers = (unsigned)value_as_number(value_get(root, "workers"), 0);
  c->leave_on_stop =
      o->leave || strcmp(value_as_text(value_get(root, "on_stop"), ""), "leave") == 0;
  c->reload_auto = o->dev || strcmp(value_as_text(value_get(root, "reload"), ""), "auto") == 0;
  findings->failed |= !c->run_dir || !c->data_dir || !c->library;
  list_plugin_directories(c, o->of, findings);
  check_registries(value_get(root, "registries"), findings);
  services_read(c, shape, value_get(root, "services"), findings);
  watches_read(c, value_get(root, "watches"), findings);
  grants_check(value_get(root, "plugins"), findings);
}

static void keep_options(struct config *c, const struct config_options *o,
                         struct findings *findings) {
  c->given = (struct config_options){.file = copy(findings, o->file),
                                     .http = copy(findings, o->http),
                                     .dns = copy(findings, o->dns),
                                     .run_dir = copy(findings, o->run_dir),
                                     .data_dir = copy(findings, o->data_dir),
                                     .log_level = copy(findings, o->log_level),
                                     .leave = o->leave,
                                     .dev = o->dev};
}

int config_load(const struct config_options *options, struct config **out,
                struct findings *findings) {
  struct shape shape;
  struct config *c = calloc(1, sizeof *c);
  *out = NULL;
  if (!c || shape_new(&shape) < 0) {
    free(c);
    findings->failed = 1;
    return -EINVAL;
  }
  keep_options(c, options, findings);
  c->file = copy(findings, options->file);
  c->files = value_table();
  struct value *written = files_read(options->file, options->text, c->hash, c->files, findings);
  bool is_read = written != NULL;
  if (is_read) {
    /* What is right is read even when something is wrong, so that all is told at once. */
    schema_check_partly(shape.file, written, "", findings, &c->root);
    read_all(c, options, &shape, findings);
  }
  shape_clear(&shape);
  value_unref(written);
  *out = c;
  if (is_read && !findings->count && !findings->failed)
    return 0;
  findings_sort(findings);
  if (!is_read || findings->failed) {
    config_free(c);
    *out = NULL;
  }
  return -EINVAL;
}

void config_free(struct config *c) {
  if (!c)
    return;
  for (size_t i = 0; i < c->service_count; i++)
    registration_unref(c->services[i]);
  for (size_t i = 0; i < c->watch_count; i++) {
    free(c->watches[i].service);
    free(c->watches[i].target);
    free(c->watches[i].second);
    value_unref(c->watches[i].balancer);
  }
  for (size_t i = 0; i < c->plugin_directory_count; i++)
    free(c->plugin_directories[i]);
  char *strings[] = {c->file, c->node,    c->zone,     c->datacenter, c->http,
                     c->dns,  c->run_dir, c->data_dir, c->library,    NULL};
  const char *given[] = {c->given.file,    c->given.http,     c->given.dns,
                         c->given.run_dir, c->given.data_dir, c->given.log_level};
  for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
    free(strings[i]);
  for (size_t i = 0; i < sizeof given / sizeof *given; i++)
    free((char *)given[i]);
  free(c->services);
  free(c->service_registries);
  free(c->policies);
  free(c->watches);
  free(c->plugin_directories);
  value_unref(c->files);
  value_unref(c->root);
  free(c);
}
