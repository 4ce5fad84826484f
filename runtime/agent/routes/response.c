#include "agent/routes/response.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/value.h"
#include "vm/plugin/plugin.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static const char text_type[] = "text/plain; charset=utf-8";
enum { BODY_MAX = 16 << 20 };

static bool is_token(const char *name) {
  size_t length = strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  return length > 0 && name[length] == '\0';
}

static bool is_line(const struct value *v) {
  const char *text = value_as_text(v, NULL);
  bool right = text && strlen(text) == value_text_length(v);
  for (; right && *text; text++)
    right = *text == '\t' || !iscntrl((unsigned char)*text);
  return right;
}

static bool is_hosts(const char *name) {
  static const char *const own[] = {"content-length", "transfer-encoding", "connection", "date",
                                    "keep-alive",     "upgrade",           "trailer"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (strcasecmp(own[i], name) == 0)
      return true;
  return false;
}

int response_headers(const struct value *headers, const char *type, struct buf *out,
                     struct fault *f) {
  if (headers && (value_kind(headers) != VALUE_TABLE || value_length(headers)))
    return fault_set(f, -EINVAL, "headers: expected a table of strings");
  for (size_t i = 0; i < value_fields(headers); i++) {
    const char *name;
    const struct value *v = value_field(headers, i, &name);
    if (!is_token(name) || !is_line(v))
      return fault_set(f, -EINVAL, "headers: \"%.100s\" and what it says cannot be a header", name);
    if (is_hosts(name))
      return fault_set(f, -EINVAL, "headers: %s is the agent's to say", name);
    if (strcasecmp(name, "content-type") == 0)
      type = NULL;
    buf_format(out, "%s: %s\r\n", name, value_as_text(v, ""));
  }
  if (type)
    buf_format(out, "Content-Type: %s\r\n", type);
  return out->failed ? fault_set(f, -ENOMEM, "out of memory") : 0;
}

static int nonsense(struct fault *f) {
  return fault_set(f, -EINVAL,
                   "a route returns a status from 200 to 599, a body (text, or a table for JSON) "
                   "and headers; or nil and a message");
}

/* Text as it is, a table as JSON, nothing for nil; `*type` is what that is. */
static int read_body(lua_State *L, int index, struct buf *out, const char **type, struct fault *f) {
  struct value *v = NULL;
  size_t length;
  int r = 0;
  *type = text_type;
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    *type = NULL;
    return 0;
  case LUA_TSTRING: {
    const char *text = lua_tolstring(L, index, &length);
    buf_add(out, text, length < BODY_MAX ? length : BODY_MAX + 1);
    break;
  }
  case LUA_TTABLE:
    *type = "application/json";
    r = read_value(L, index, &v, f);
    if (r == 0)
      value_to_json(v, out);
    value_unref(v);
    break;
  default:
    return nonsense(f);
  }
  if (r == 0 && out->length > BODY_MAX)
    r = fault_set(f, -EINVAL, "a body of more than 16 MiB: write it in pieces");
  return r;
}

/* What kept the plugin from answering is for the log, not for who asked. */
static int read_failure(const char *message, struct response *out, struct fault *f) {
  static const char sentence[] =
      "The route could not get what it needs; the agent's log says why.\n";
  log_warn("route could not answer", LOG_S("error", message));
  out->status = 502;
  buf_text(&out->body, sentence);
  return response_headers(NULL, text_type, &out->headers, f);
}

const char *response_failure(const struct call_result *result) {
  const char *message = call_text(result, 2);
  return message && lua_isnil(result->L, -result->results) ? message : NULL;
}

int response_read(const struct call_result *result, struct response *out, struct fault *f) {
  lua_State *L = result->L;
  int first = -result->results, n = result->results;
  struct value *headers = NULL;
  const char *type = NULL;
  *out = (struct response){0};
  const char *failure = response_failure(result);
  if (failure)
    return read_failure(failure, out, f);
  if (n == 0 || lua_type(L, first) != LUA_TNUMBER)
    return nonsense(f);
  double status = lua_tonumber(L, first);
  if (!(status >= 200 && status <= 599))
    return nonsense(f);
  out->status = (int)status;
  int r = n > 1 ? read_body(L, first + 1, &out->body, &type, f) : 0;
  if (r == 0 && n > 2 && !lua_isnil(L, first + 2))
    r = read_value(L, first + 2, &headers, f);
  if (r == 0)
    r = response_headers(headers, type, &out->headers, f);
  value_unref(headers);
  if (r == 0 && out->body.failed)
    r = fault_set(f, -ENOMEM, "out of memory");
  return r;
}

void response_clear(struct response *r) {
  buf_free(&r->headers);
  buf_free(&r->body);
}
