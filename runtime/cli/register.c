#include "base/buf.h"
#include "cli/api.h"
#include "cli/output.h"
#include "cli/register_body.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { BODY_MAX = 512 << 10 };

static int read_body(const struct arguments *a, const char *file, struct buf *body) {
  bool standard = strcmp(file, "-") == 0;
  int fd = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
  char chunk[16384];
  ssize_t n = -1;
  if (fd >= 0)
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && body->length <= BODY_MAX)
      buf_add(body, chunk, (size_t)n);
  int error = errno;
  if (fd >= 0 && !standard)
    close(fd);
  if (n < 0)
    return complain(a, EXIT_FAILED, "cannot read %s: %s", standard ? "standard input" : file,
                    strerror(error));
  if (body->length > BODY_MAX)
    return complain(a, EXIT_FAILED, "%s is larger than 512 KiB", file);
  return 0;
}

/* The id that the agent will know it by: Consul's keys are matched without case. */
static int find_id(const struct arguments *a, const struct buf *body, struct buf *id) {
  json_error_t error;
  json_t *json = json_loadb(body->data ? body->data : "", body->length, 0, &error);
  const char *key, *name = NULL, *said = NULL;
  json_t *v;
  if (!json)
    return complain(a, EXIT_FAILED, "%s is not JSON: line %d: %s", a->items[0], error.line,
                    error.text);
  json_object_foreach(json, key, v) {
    if (strcasecmp(key, "ID") == 0)
      said = json_string_value(v);
    else if (strcasecmp(key, "Name") == 0)
      name = json_string_value(v);
  }
  buf_text(id, said && *said ? said : name ? name : "");
  json_decref(json);
  return 0;
}

static int prepare(const struct arguments *a, struct buf *body, struct buf *id) {
  if (!a->count)
    return register_body(a, body, id);
  static const char *const described[] = {"name", "id",    "address", "port",  "tag",
                                          "meta", "check", "ttl",     "lease", "owner"};
  for (size_t i = 0; i < sizeof described / sizeof *described; i++)
    if (arguments_flag(a, described[i]))
      return complain(a, EXIT_USAGE, "--%s and FILE: the file has the whole body", described[i]);
  int status = read_body(a, a->items[0], body);
  return status ? status : find_id(a, body, id);
}

static int run(const struct arguments *a) {
  struct buf body = {0}, id = {0}, answer = {0}, out = {0};
  int status = prepare(a, &body, &id);
  if (!status && (body.failed || id.failed))
    status = complain(a, EXIT_FAILED, "out of memory");
  if (!status)
    status = api_call(a, "PUT", "/v1/agent/service/register", &body, &answer);
  const char *name = id.data ? id.data : "";
  if (!status && arguments_flag(a, "json")) {
    buf_text(&out, "{\"id\":");
    buf_json_text(&out, name);
    buf_text(&out, "}\n");
  } else if (!status && answer.length) { /* a policy's word: "held: ..." */
    buf_format(&out, "%s: %s", name, answer.data);
  } else if (!status) {
    buf_format(&out, "registered %s\n", name);
  }
  output_write(&out);
  buf_free(&body);
  buf_free(&id);
  buf_free(&out);
  buf_free(&answer);
  return status;
}

const struct command command_register = {
    .name = "register",
    .arguments = "[FILE]",
    .summary = "Register an instance of a service with the agent",
    .about = "From options, or from FILE (\"-\" is standard input), a body as Consul's "
             "/v1/agent/service/register takes it. The same id again replaces what was there. "
             "Success is printed when it is durable.\n\nA check is http=PATH or http=URL, tcp or "
             "tcp=HOST:PORT, or ttl=DURATION, and after commas any of interval, timeout, name, id, "
             "notes, initial, rise, fall and deregister-after = VALUE.",
    .options =
        (const struct option[]){
            {"name", 0, "NAME", "the service", false},
            {"id", 0, "ID", "the instance (default: NAME-ADDRESS-PORT)", false},
            {"address", 0, "ADDR", "its IP address or name (default: 127.0.0.1)", false},
            {"port", 'p', "PORT", "its port", false},
            {"tag", 0, "TAG", "a tag", true},
            {"meta", 0, "KEY=VALUE", "a metadata pair", true},
            {"check", 0, "CHECK", "how to see that it is healthy", true},
            {"ttl", 0, "DURATION", "the service reports itself at least this often", false},
            {"lease", 0, "DURATION", "gone when not registered again for this long", false},
            {"owner", 0, "PID", "gone when this process ends", false},
            {0}},
    .examples =
        (const struct example[]){
            {"perigee register --name web --port 8080 --check http=/healthz,interval=2s",
             "an instance on this host, with an HTTP check"},
            {"perigee register --name job --port 9000 --owner $$", "as long as this shell lives"},
            {"perigee register web.json", "as a Consul agent's client would"},
            {0}},
    .arguments_max = 1,
    .complete = "files",
    .json = true,
    .run = run,
};
