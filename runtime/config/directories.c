#include "config/directories.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *join(const char *directory, const char *name) {
  char *path;
  return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static const char *first_of(const char *a, const char *b, const char *c) {
  return a && *a ? a : b && *b ? b : c && *c ? c : NULL;
}

char *directories_run(const char *option, const char *configured) {
  const char *said = first_of(option, getenv("PERIGEE_RUN_DIR"), configured);
  const char *user = getenv("XDG_RUNTIME_DIR");
  char *path;
  if (said)
    return strdup(said);
  if (geteuid() == 0)
    return strdup("/run/perigee");
  if (user && *user)
    return join(user, "perigee");
  return asprintf(&path, "/tmp/perigee-%u", (unsigned)geteuid()) < 0 ? NULL : path;
}

char *directories_data(const char *option, const char *configured) {
  const char *said = first_of(option, configured, NULL);
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  if (said)
    return strdup(said);
  if (geteuid() == 0)
    return strdup("/var/lib/perigee");
  if (state && *state)
    return join(state, "perigee");
  return join(home && *home ? home : "/tmp", ".local/state/perigee");
}

/* DIRECTORY/rest when the shipped checks are in it. */
static char *library_at(const char *directory, const char *rest) {
  char probe[PATH_MAX], real[PATH_MAX];
  if (snprintf(probe, sizeof probe, "%s/%s/plugins/check", directory, rest) >= (int)sizeof probe ||
      access(probe, R_OK | X_OK) < 0)
    return NULL;
  probe[strlen(probe) - strlen("/plugins/check")] = 0;
  return realpath(probe, real) ? strdup(real) : NULL;
}

char *directories_library(void) {
  static const char *const places[] = {"../share/perigee", "..", "../.."};
  const char *said = getenv("PERIGEE_LIBRARY");
  if (said && *said)
    return strdup(said);
  char program[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  program[n < 0 ? 0 : n] = 0;
  char *slash = strrchr(program, '/'), *found = NULL;
  if (slash)
    *slash = 0;
  for (size_t i = 0; slash && !found && i < sizeof places / sizeof *places; i++)
    found = library_at(program, places[i]);
  return found ? found : strdup("/usr/local/share/perigee");
}
