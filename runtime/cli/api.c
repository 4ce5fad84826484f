#include "cli/api.h"

#include "base/text.h"
#include "cli/output.h"
#include "client/perigee.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_S = 30, ANSWER_MAX = 64 << 20 };

void api_escape(struct buf *path, const char *part) {
  for (; *part; part++)
    if (isalnum((unsigned char)*part) || strchr("-._~", *part))
      buf_char(path, *part);
    else
      buf_format(path, "%%%02X", (unsigned char)*part);
}

/* Where the agent's socket is: --run-dir, $PERIGEE_RUN_DIR, else the first of the default
 * directories that has one, in perigee_open's order. Malloc'd. */
static char *api_run_dir(const struct arguments *a) {
  const char *said = arguments_option(a, "run-dir"), *user = getenv("XDG_RUNTIME_DIR");
  char own[4096], probe[4200];
  if (!said)
    said = getenv("PERIGEE_RUN_DIR");
  if (said && *said)
    return strdup(said);
  if (user && *user) {
    snprintf(own, sizeof own, "%s/perigee", user);
    snprintf(probe, sizeof probe, "%s/perigee.sock", own);
    if (access(probe, F_OK) == 0)
      return strdup(own);
  }
  if (geteuid() == 0 || access("/run/perigee/perigee.sock", F_OK) == 0)
    return strdup("/run/perigee");
  if (user && *user)
    return strdup(own);
  snprintf(own, sizeof own, "/tmp/perigee-%u", (unsigned)geteuid());
  return strdup(own);
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *to) {
  struct buf *answer = to;
  if (answer->length + size * count > ANSWER_MAX)
    return 0;
  buf_add(answer, bytes, size * count);
  return answer->failed ? 0 : size * count;
}

/* Whether there is a socket that this user may not write to. */
static bool is_others(const char *dir) {
  struct buf socket = {0};
  buf_format(&socket, "%s/perigee.sock", dir);
  bool others = !socket.failed && access(socket.data, W_OK) != 0 && errno == EACCES;
  buf_free(&socket);
  return others;
}

/* What is known of an agent that does not answer, from the catalog that it left. */
static int no_agent(const struct arguments *a, const char *dir, const char *why) {
  struct perigee *p;
  struct perigee_info info = {.size = sizeof info};
  if (perigee_open(&p, dir) != 0)
    return complain(a, EXIT_FAILED,
                    "no agent runs in %s (%s): `perigee run` starts one, --run-dir names another "
                    "directory",
                    dir, why);
  int status = perigee_info(p, &info);
  perigee_close(p);
  if (status == 0 && info.agent_alive && is_others(dir))
    return complain(a, EXIT_FAILED,
                    "the agent in %s (pid %d) is another user's: only that one and root may ask it "
                    "for this; what is in the catalog all may read (`perigee pick`, `services`, "
                    "`watch`)",
                    dir, info.agent_pid);
  if (status == 0 && info.agent_alive)
    return complain(a, EXIT_FAILED, "the agent in %s (pid %d) does not answer: %s", dir,
                    info.agent_pid, why);
  return complain(a, EXIT_FAILED,
                  "no agent runs in %s (%s); picks go on from what it last knew: %u service%s, "
                  "%llu s old",
                  dir, why, info.services, info.services == 1 ? "" : "s",
                  (unsigned long long)info.heartbeat_age_ms / 1000);
}

static int judge(const struct arguments *a, long code, struct buf *answer) {
  if (code >= 200 && code < 300)
    return EXIT_DONE;
  while (answer->length && isspace((unsigned char)answer->data[answer->length - 1]))
    answer->data[--answer->length] = 0;
  if (answer->length)
    return complain(a, EXIT_FAILED, "%s", answer->data);
  return complain(a, EXIT_FAILED, "the agent answered with HTTP status %ld", code);
}

static int on_progress(void *stop, curl_off_t total, curl_off_t got, curl_off_t to_send,
                       curl_off_t sent) {
  return *(const volatile sig_atomic_t *)stop;
}

/* CURLE_OK and the status, or why there is none. */
static CURLcode exchange(const char *dir, const char *method, const char *path,
                         const struct buf *body, const struct api_patience *patience,
                         struct buf *answer, long *code) {
  struct buf socket = {0}, url = {0};
  buf_format(&socket, "%s/perigee.sock", dir);
  buf_format(&url, "http://perigee%s", path);
  CURL *curl = curl_easy_init();
  CURLcode done = CURLE_OUT_OF_MEMORY;
  if (curl && !socket.failed && !url.failed) {
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket.data);
    curl_easy_setopt(curl, CURLOPT_URL, url.data);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(patience->timeout_s * 1000));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (body) {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data ? body->data : "");
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->length);
    }
    if (patience->stop) {
      curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
      curl_easy_setopt(curl, CURLOPT_XFERINFODATA, patience->stop);
      curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    }
    done = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, code);
  }
  curl_easy_cleanup(curl);
  buf_free(&socket);
  buf_free(&url);
  return done;
}

/* JSON has no other text: what is none would reach the agent as another word. */
static int refuse_bytes(const struct arguments *a) {
  const char *bad = NULL;
  for (size_t i = 0; i < a->count; i++)
    bad = text_is_utf8(a->items[i]) ? bad : a->items[i];
  for (size_t i = 0; i < a->given_count; i++)
    if (a->given[i].option != &common_options[0] && !text_is_utf8(a->given[i].value))
      bad = a->given[i].value;
  return bad ? complain(a, EXIT_USAGE, "\"%s\" is not UTF-8", bad) : EXIT_DONE;
}

int api_call_patiently(const struct arguments *a, const char *method, const char *path,
                       const struct buf *body, struct buf *answer,
                       const struct api_patience *patience) {
  if (body && refuse_bytes(a) != EXIT_DONE)
    return EXIT_USAGE;
  char *dir = api_run_dir(a);
  long code = 0;
  CURLcode done =
      dir ? exchange(dir, method, path, body, patience, answer, &code) : CURLE_OUT_OF_MEMORY;
  int status = done == CURLE_OK                    ? judge(a, code, answer)
               : done == CURLE_ABORTED_BY_CALLBACK ? EXIT_STOPPED
               : done == CURLE_OUT_OF_MEMORY       ? complain(a, EXIT_FAILED, "out of memory")
                                                   : no_agent(a, dir, curl_easy_strerror(done));
  free(dir);
  return status;
}

static const struct api_patience usual = {.timeout_s = TIMEOUT_S};

int api_call(const struct arguments *a, const char *method, const char *path,
             const struct buf *body, struct buf *answer) {
  return api_call_patiently(a, method, path, body, answer, &usual);
}

bool api_mention(const struct arguments *a, const char *path) {
  char *dir = api_run_dir(a);
  struct buf answer = {0};
  long code = 0;
  bool heard = dir && exchange(dir, "GET", path, NULL, &usual, &answer, &code) == CURLE_OK;
  buf_free(&answer);
  free(dir);
  return heard;
}
