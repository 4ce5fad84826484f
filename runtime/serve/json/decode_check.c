#include "serve/json/decode_check.h"

#include "base/fault.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MILLISECOND = 1000000, SECOND = 1000000000;

/* Kinds of Consul's that this agent has no plugin for. */
static const char *const absent_kinds[] = {"GRPC",      "UDP",       "H2PING",
                                           "OSService", "AliasNode", "AliasService"};
/* Settings of HTTP and TCP checks that our plugins have not: ignored, they would change what a
 * check says. */
static const char *const absent_settings[] = {"DisableRedirects", "TLSServerName", "TCPUseTLS"};
static const char *const script_kinds[] = {"Args", "ScriptArgs", "Script", "DockerContainerID"};

static bool given(const struct field_place *at, const char *name) {
  json_t *v = field_find(at, name);
  return v && !json_is_false(v) && !(json_is_string(v) && json_string_length(v) == 0) &&
         !(json_is_array(v) && json_array_size(v) == 0);
}

static int invalid(const struct check_place *at, const char *text) {
  fault_set(at->json.f, -EINVAL, "Invalid check: %s", text);
  return 400;
}

/* "passing", "warning", "critical". Else 400 and Consul's sentence. */
static int check_status_from_text(const char *text, enum status *out, struct fault *f) {
  if (status_parse(text, out) == 0)
    return 0;
  fault_set(f, -EINVAL, "Status for checks must 'passing', 'warning', 'critical'");
  return 400;
}

static const char *first_given(const struct field_place *at, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (given(at, names[i]))
      return names[i];
  return NULL;
}

#define FIRST_GIVEN(at, names) first_given((at), (names), sizeof(names) / sizeof(names)[0])

static int refuse_kinds(const struct check_place *at) {
  const char *name;
  if (FIRST_GIVEN(&at->json, script_kinds)) {
    fault_set(
        at->json.f, -ENOTSUP,
        "Scripts are disabled on this agent from remote calls; use an HTTP, TCP or TTL check");
    return 500;
  }
  if ((name = FIRST_GIVEN(&at->json, absent_kinds))) {
    fault_set(at->json.f, -ENOTSUP, "This agent has no %s check: use an HTTP, TCP or TTL check",
              name);
    return 501;
  }
  if ((name = FIRST_GIVEN(&at->json, absent_settings))) {
    fault_set(at->json.f, -ENOTSUP, "This agent's checks have no %s: register the check without it",
              name);
    return 501;
  }
  return 0;
}

/* {k: [v, ...]} → a table of the same, for the http plugin. False: wrong types. */
static bool read_headers(const struct field_place *at, json_t *headers, struct value *out) {
  const char *key;
  json_t *list, *item;
  size_t i;
  json_object_foreach(headers, key, list) {
    if (!json_is_array(list))
      return field_mismatch(at, "Header", "an object of lists of strings", list);
    json_array_foreach(list, i, item) {
      if (!json_is_string(item))
        return field_mismatch(at, "Header", "an object of lists of strings", item);
      /* One value a name: the last, as a list of the same header is rare and HTTP joins them. */
      value_set(out, key, value_text(json_string_value(item), json_string_length(item)));
    }
  }
  return true;
}

static void set_text(struct value *table, const char *key, const char *text) {
  if (text && *text)
    value_set(table, key, value_text(text, strlen(text)));
}

static int read_http(const struct check_place *at, const char *url, struct check_definition *out) {
  const char *method = NULL, *body = NULL;
  bool skip_verify = false;
  json_t *headers = NULL;
  if (!field_text(&at->json, "Method", &method) || !field_text(&at->json, "Body", &body) ||
      !field_object(&at->json, "Header", &headers) ||
      !field_flag(&at->json, "TLSSkipVerify", &skip_verify))
    return 400;
  if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
    return invalid(at, "HTTP should be a URL that begins with http:// or https://");
  out->plugin = strdup("http");
  out->options = value_table();
  if (!out->plugin || !out->options)
    return 503;
  set_text(out->options, "url", url);
  set_text(out->options, "method", method);
  set_text(out->options, "body", body);
  if (skip_verify)
    value_set(out->options, "tls_verify", value_boolean(false));
  if (headers && json_object_size(headers)) {
    struct value *table = value_table();
    if (!table || !read_headers(&at->json, headers, table)) {
      value_unref(table);
      return table ? 400 : 503;
    }
    value_set(out->options, "headers", table);
  }
  return 0;
}

static int read_tcp(const struct check_place *at, const char *address,
                    struct check_definition *out) {
  char host[256];
  uint16_t port;
  struct fault why;
  if (address_parse(address, host, sizeof host, &port, &why) != 0 || !*host || !port)
    return invalid(at, "TCP should be an address and a port, like \"127.0.0.1:5432\"");
  out->plugin = strdup("tcp");
  out->options = value_table();
  if (!out->plugin || !out->options)
    return 503;
  set_text(out->options, "address", address);
  return 0;
}

static int read_kind(const struct check_place *at, struct check_definition *out) {
  const char *http = NULL, *tcp = NULL;
  int status = refuse_kinds(at);
  if (status != 0)
    return status;
  if (!field_text(&at->json, "HTTP", &http) || !field_text(&at->json, "TCP", &tcp) ||
      !field_duration(&at->json, "TTL", &out->ttl_ns) ||
      !field_duration(&at->json, "Interval", &out->interval_ns))
    return 400;
  bool has_http = http && *http, has_tcp = tcp && *tcp;
  if (has_http && has_tcp)
    return invalid(at, "HTTP and TCP cannot both be specified");
  if (out->interval_ns > 0 && out->ttl_ns > 0)
    return invalid(at, "Interval and TTL cannot both be specified");
  if (has_http || has_tcp) {
    if (out->interval_ns <= 0)
      return invalid(at, "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService "
                         "checks");
    if (out->interval_ns < 100 * MILLISECOND)
      out->interval_ns = 100 * MILLISECOND;
    return has_http ? read_http(at, http, out) : read_tcp(at, tcp, out);
  }
  if (out->ttl_ns <= 0)
    return invalid(at, "TTL must be > 0 for TTL checks");
  out->plugin = strdup("ttl");
  return out->plugin ? 0 : 503;
}

/* Counts of results in a row; Consul's 0 is the first one, perigee's 1. */
static bool read_counts(const struct field_place *at, struct check_definition *out) {
  int64_t rise = 0, fall = 0, warn = -1;
  if (!field_whole(at, "SuccessBeforePassing", 0, 1000, &rise) ||
      !field_whole(at, "FailuresBeforeCritical", 0, 1000, &fall) ||
      !field_whole(at, "FailuresBeforeWarning", 0, 1000, &warn))
    return false;
  if (warn > fall) {
    fault_set(at->f, -EINVAL,
              "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical");
    return false;
  }
  out->rise = rise > 1 ? (int)rise : 1;
  out->fall = fall > 1 ? (int)fall : 1;
  return true;
}

static int read_names(const struct check_place *at, struct check_definition *out) {
  const char *id = NULL, *name = NULL, *notes = NULL;
  char default_id[300], default_name[300];
  if (!field_text(&at->json, "CheckID", &id) || !field_text(&at->json, "Name", &name) ||
      !field_text(&at->json, "Notes", &notes))
    return 400;
  if ((!id || !*id) && !field_text(&at->json, "ID", &id))
    return 400;
  if (!id || !*id) {
    if (at->number)
      snprintf(default_id, sizeof default_id, "service:%s:%u", at->instance_id, at->number);
    else
      snprintf(default_id, sizeof default_id, "service:%s", at->instance_id);
    id = default_id;
  } else if (!name_valid(id, strlen(id))) {
    return invalid(at, "the check's ID should have 1 to 255 bytes and no control characters");
  }
  if (!name || !*name) {
    snprintf(default_name, sizeof default_name, "Service '%s' check", at->service);
    name = default_name;
  }
  out->id = strdup(id);
  out->name = strdup(name);
  out->notes = strdup(notes ? notes : "");
  return out->id && out->name && out->notes ? 0 : 503;
}

int check_from_json(const struct check_place *at, struct check_definition *out) {
  const char *status = NULL;
  *out = (struct check_definition){.timeout_ns = 10 * SECOND, .initial = STATUS_CRITICAL};
  int r = read_names(at, out);
  if (r == 0)
    r = read_kind(at, out);
  if (r != 0)
    return r;
  if (!field_duration(&at->json, "Timeout", &out->timeout_ns) ||
      !field_duration(&at->json, "DeregisterCriticalServiceAfter", &out->deregister_after_ns) ||
      !field_text(&at->json, "Status", &status) || !read_counts(&at->json, out))
    return 400;
  if (out->timeout_ns == 0)
    out->timeout_ns = 10 * SECOND;
  if (out->deregister_after_ns > 0 && out->deregister_after_ns < 10 * SECOND)
    out->deregister_after_ns = 10 * SECOND;
  return status && *status ? check_status_from_text(status, &out->initial, at->json.f) : 0;
}
