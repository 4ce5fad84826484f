#include "vm/isolate/grant.h"
#include "base/value.h"
#include "vm/isolate/inside.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const names[] = {"connect", "listen", "read", "write", "run", "env", "register"};

int grant_value(const char *kind, const struct value *given, struct value **out) {
  struct value *grant = value_table(), *connect = value_table();
  int r = grant && connect ? 0 : -ENOMEM;
  for (size_t i = 0; r == 0 && i < value_fields(given); i++) {
    const char *key;
    const struct value *v = value_field(given, i, &key);
    if (strcmp(key, "connect") != 0)
      r = value_set(grant, key, value_ref(v));
  }
  for (size_t i = 0; r == 0 && i < value_length(value_get(given, "connect")); i++)
    r = value_append(connect, value_ref(value_at(value_get(given, "connect"), i)));
  if (r == 0 && (strcmp(kind, "check") == 0 || strcmp(kind, "policy") == 0))
    r = value_append(connect, value_text("self", 4));
  if (r == 0) {
    r = value_set(grant, "connect", connect);
    connect = NULL;
  }
  value_unref(connect);
  if (r == 0)
    *out = grant;
  else
    value_unref(grant);
  return r;
}

static const struct value *grants_of(lua_State *L) {
  return isolate_of(L)->limits.grant;
}

/* "*" is any text; letters in any case where they are a host's. */
static bool matches(const char *pattern, const char *text, bool any_case) {
  const char *star = NULL, *again = NULL;
  while (*text) {
    bool same = any_case ? tolower((unsigned char)*pattern) == tolower((unsigned char)*text)
                         : *pattern == *text;
    if (*pattern == '*') {
      star = pattern++;
      again = text;
    } else if (same) {
      pattern++;
      text++;
    } else if (star) {
      pattern = star + 1;
      text = ++again;
    } else {
      return false;
    }
  }
  return pattern[strspn(pattern, "*")] == '\0';
}

/* What leads out of a granted directory is not below it. */
static bool is_plain_path(const char *path) {
  for (const char *part = path; *part;) {
    size_t length = strcspn(part, "/");
    if (length == 2 && strncmp(part, "..", 2) == 0)
      return false;
    part += length + (part[length] == '/');
  }
  return true;
}

static bool path_matches(const char *pattern, const char *path) {
  size_t length = strlen(pattern);
  if (length > 1 && pattern[length - 1] == '/' && strncmp(path, pattern, length - 1) == 0 &&
      (path[length - 1] == '/' || path[length - 1] == '\0'))
    return true;
  return matches(pattern, path, false);
}

/* Of a pattern that means all below a directory, how long that one's name is; else 0. */
static size_t root_of(const char *pattern) {
  size_t end = strcspn(pattern, "*");
  bool below = pattern[end] == '*' || (end > 1 && pattern[end - 1] == '/');
  while (below && end > 0 && pattern[end - 1] != '/')
    end--;
  return !below ? 0 : end > 1 ? end - 1 : end;
}

/* Notes what was asked for, for push_ungranted. */
static bool refuse(lua_State *L, enum grant what, const char *name) {
  struct isolate *iso = isolate_of(L);
  snprintf(iso->refused, sizeof iso->refused, "%s = { \"%.150s\" }", names[what], name);
  return false;
}

bool granted(lua_State *L, enum grant what, const char *name) {
  const struct value *all = grants_of(L), *list = value_get(all, names[what]);
  if (!all)
    return true;
  for (size_t i = 0; i < value_length(list); i++)
    if (matches(value_as_text(value_at(list, i), ""), name, false))
      return true;
  return refuse(L, what, name);
}

/* The patterns for such a path begin with `prefix`. *root is of several directories the one that
 * has most in it. */
static bool path_granted(lua_State *L, enum grant what, const char *prefix, const char *path,
                         size_t *root) {
  const struct value *all = grants_of(L), *list = value_get(all, names[what]);
  size_t skip = strlen(prefix);
  bool found = !all;
  *root = 0;
  for (size_t i = 0; i < value_length(list) && is_plain_path(path); i++) {
    const char *pattern = value_as_text(value_at(list, i), "");
    if (strncmp(pattern, prefix, skip) != 0 || !path_matches(pattern + skip, path))
      continue;
    size_t this = root_of(pattern + skip);
    *root = !found || this < *root ? this : *root;
    found = true;
  }
  return found;
}

bool granted_path(lua_State *L, enum grant what, const char *path, size_t *root) {
  return path_granted(L, what, "", path, root) || refuse(L, what, path);
}

bool granted_unix(lua_State *L, enum grant what, const char *path, size_t *root) {
  char name[300];
  snprintf(name, sizeof name, "unix:%.200s", path);
  return path_granted(L, what, "unix:", path, root) || refuse(L, what, name);
}

/* "HOST", "HOST:PORT", "[V6]", "[V6]:PORT", or an IPv6 address as it is. */
static bool host_matches(const char *pattern, const char *host, unsigned port) {
  char name[256];
  const char *colon = strrchr(pattern, ':');
  size_t length = strlen(pattern);
  bool has_port = colon && (pattern[0] == '[' ? colon[-1] == ']' : strchr(pattern, ':') == colon);
  if (has_port) {
    length = (size_t)(colon - pattern);
    if (port && strcmp(colon + 1, "*") != 0 && strtoul(colon + 1, NULL, 10) != port)
      return false;
  }
  if (length >= 2 && pattern[0] == '[' && pattern[length - 1] == ']') {
    pattern++;
    length -= 2;
  }
  if (length >= sizeof name)
    return false;
  memcpy(name, pattern, length);
  name[length] = '\0';
  return matches(name, host, true);
}

/* The subject of the running call is on this host, and there the agent answers, too. */
static bool is_self(lua_State *L, const char *host, unsigned port) {
  const struct vm_registry *r = vm_registry(isolate_vm(isolate_of(L)));
  const char *self = task_subject(L);
  return self && strcasecmp(self, host) == 0 && !(port && r && r->port && port == r->port(r->arg));
}

bool granted_host(lua_State *L, enum grant what, const char *host, unsigned port) {
  const struct value *all = grants_of(L), *list = value_get(all, names[what]);
  char name[300];
  if (!all)
    return true;
  for (size_t i = 0; i < value_length(list); i++) {
    const char *pattern = value_as_text(value_at(list, i), "");
    if (strcmp(pattern, "self") == 0 ? is_self(L, host, port) : host_matches(pattern, host, port))
      return true;
  }
  bool v6 = strchr(host, ':') != NULL;
  if (port)
    snprintf(name, sizeof name, v6 ? "[%.100s]:%u" : "%.100s:%u", host, port);
  else
    snprintf(name, sizeof name, "%.100s", host);
  return refuse(L, what, name);
}

bool granted_ffi(lua_State *L) {
  return value_as_boolean(value_get(grants_of(L), "ffi"), false);
}

bool granted_everything(lua_State *L) {
  return !grants_of(L);
}

bool granted_everywhere(lua_State *L) {
  const struct value *list = value_get(grants_of(L), "connect");
  for (size_t i = 0; i < value_length(list); i++)
    if (strcmp(value_as_text(value_at(list, i), ""), "*") == 0)
      return true;
  return !grants_of(L);
}

int push_ungranted(lua_State *L) {
  const struct isolate *iso = isolate_of(L);
  return push_error(L, -EACCES, "not granted: plugins = { %s = { grant = { %s } } } allows it",
                    iso->name, iso->refused);
}

int push_outside(lua_State *L, const char *path) {
  return push_error(L, -EACCES, "%s: a link leads out of the directory that is granted", path);
}
