#include "config/grants.h"

#include "base/findings.h"
#include "base/value.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char unix_prefix[] = "unix:";

static bool goes_up(const char *path) {
  for (const char *part = path; *part;) {
    size_t length = strcspn(part, "/");
    if (length == 2 && strncmp(part, "..", 2) == 0)
      return true;
    part += length + (part[length] == '/');
  }
  return false;
}

static const char *wrong_path(const char *path) {
  return goes_up(path) ? "no path with .. in it is ever granted: write where it leads" : NULL;
}

static bool is_port(const char *text) {
  char *end;
  unsigned long port = strtoul(text, &end, 10);
  return strcmp(text, "*") == 0 || (isdigit((unsigned char)*text) && *end == '\0' && port <= 65535);
}

/* HOST, HOST:PORT, [V6], [V6]:PORT, or an IPv6 address as it is. */
static const char *wrong_host(const char *host) {
  const char *colon = strrchr(host, ':');
  bool bracketed = *host == '[',
       has_port = colon && (bracketed ? colon[-1] == ']' : strchr(host, ':') == colon);
  if (strstr(host, "://"))
    return "a host is granted, not a URL: as in \"db.example.org:5432\"";
  if (strchr(host, '/'))
    return "a host has no /: networks are not matched, \"10.0.*\" is; a socket is \"unix:/PATH\"";
  if (host[strcspn(host, " \t\r\n")])
    return "a host has no blanks";
  if (has_port && !is_port(colon + 1))
    return "after the colon comes a port, from 0 to 65535, or *";
  if (bracketed && !strchr(host, ']'))
    return "the [ of an IPv6 address has no ]";
  return NULL;
}

static const char *wrong_address(const char *text) {
  size_t skip = sizeof unix_prefix - 1;
  if (strncmp(text, unix_prefix, skip) != 0)
    return wrong_host(text);
  return text[skip] == '\0' ? "a socket is \"unix:/PATH\"" : wrong_path(text + skip);
}

static const char *wrong_variable(const char *name) {
  return name[strcspn(name, "= \t\r\n")] ? "a variable's name has no = and no blanks" : NULL;
}

static const struct {
  const char *name;
  const char *(*wrong)(const char *text); /* NULL: it may be anything */
} kinds[] = {{"connect", wrong_address}, {"listen", wrong_address}, {"read", wrong_path},
             {"write", wrong_path},      {"env", wrong_variable},   {"run", NULL},
             {"register", NULL}};

static void check_list(const char *plugin, size_t kind, const struct value *list,
                       struct findings *findings) {
  for (size_t i = 0; i < value_length(list); i++) {
    const struct value *v = value_at(list, i);
    const char *text = value_as_text(v, ""), *wrong = NULL;
    char path[400];
    if (!*text)
      wrong = "it is empty";
    else if (kinds[kind].wrong)
      wrong = kinds[kind].wrong(text);
    snprintf(path, sizeof path, "plugins.%.300s.grant.%s[%zu]", plugin, kinds[kind].name, i + 1);
    if (wrong)
      findings_add(findings, v, path, "\"%.100s\" grants nothing: %s", text, wrong);
  }
}

void grants_check(const struct value *plugins, struct findings *findings) {
  for (size_t i = 0; i < value_fields(plugins); i++) {
    const char *name;
    const struct value *grant = value_get(value_field(plugins, i, &name), "grant");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
      check_list(name, k, value_get(grant, kinds[k].name), findings);
  }
}
