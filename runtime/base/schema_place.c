/* Options that name something outside: addresses, servers, files. */
#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/schema_rule.h"
#include "base/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SECRET_MAX = 65536, PEM_MAX = 4 << 20 };

/* A relative name is beside the file that says so. NULL: too long. */
static const char *beside(const struct value *v, const char *name, char *path, size_t size) {
  const char *base = value_file(v), *slash = strrchr(base, '/');
  int dir = *name != '/' && slash ? (int)(slash - base) + 1 : 0;
  return snprintf(path, size, "%.*s%s", dir, base, name) < (int)size ? path : NULL;
}

const char *secret_file(const struct value *v, char *path, size_t size) {
  const char *key, *name = NULL;
  if (value_kind(v) == VALUE_TABLE && value_fields(v) == 1 && value_length(v) == 0)
    name = value_as_text(value_field(v, 0, &key), NULL);
  if (!name || strcmp(key, "file") != 0)
    return NULL;
  const char *whole = beside(v, name, path, size);
  return whole ? whole : name;
}

struct value *secret_read(const char *path, struct fault *f) {
  struct buf text = {0};
  struct value *secret = NULL;
  int code = file_read_whole(path, SECRET_MAX, &text, NULL);
  if (code == 0) {
    size_t n = text.length;
    secret = value_secret(text.data, n && text.data[n - 1] == '\n' ? n - 1 : n);
  } else {
    fault_set(f, -EINVAL, "cannot read %.300s: %s", path,
              code == -EFBIG ? "larger than 64 KiB" : file_problem(code));
  }
  if (text.data)
    explicit_bzero(text.data, text.length);
  buf_free(&text);
  return secret;
}

static const char key_label[] = "PRIVATE KEY-----";

static bool has_pem(const char *text, const char *label) {
  const char *begin = strstr(text, "-----BEGIN ");
  return begin && strstr(begin, label);
}

static int read_pem(const char *path, const char *label, struct fault *f) {
  struct buf text = {0};
  int code = file_read_whole(path, PEM_MAX, &text, NULL);
  if (code != 0)
    fault_set(f, code, "cannot read %.300s: %s", path, file_problem(code));
  else if (!has_pem(text.data, label))
    code = fault_set(f, -EINVAL, "%.300s: \"-----BEGIN ...%s\" is not in it", path, label);
  if (text.data)
    explicit_bzero(text.data, text.length);
  buf_free(&text);
  return code;
}

bool pem_has_key(const char *path) {
  return read_pem(path, key_label, NULL) == 0;
}

static struct value *pem_place(const struct rule *r, const struct value *v, struct fault *f) {
  const char *label = r->type == RULE_KEY ? key_label : "CERTIFICATE-----";
  const char *name = value_as_text(v, "");
  char file[4096];
  const char *path = beside(v, name, file, sizeof file);
  if (*name != '/' && !*value_file(v))
    fault_set(f, -EINVAL, "expected a path from the root, as in /etc/ssl/ca.pem");
  else if (!path)
    fault_set(f, -EINVAL, "the path is too long");
  else if (read_pem(path, label, f) == 0)
    return value_text(path, strlen(path));
  return NULL;
}

static struct value *server_place(const struct value *v, struct fault *f) {
  struct server_wrong w = {0};
  if (server_is_right(value_as_text(v, ""), &w))
    return value_ref(v);
  fault_set(f, -EINVAL, "character %zu: %s", w.at + 1, w.what);
  return NULL;
}

static struct value *address_place(const struct value *v, struct fault *f) {
  char host[256];
  uint16_t port;
  bool right = address_parse(value_as_text(v, ""), host, sizeof host, &port, f) == 0;
  return right ? value_ref(v) : NULL;
}

struct value *rule_place(const struct rule *r, const struct value *v, struct fault *f) {
  return r->type == RULE_ADDRESS  ? address_place(v, f)
         : r->type == RULE_SERVER ? server_place(v, f)
                                  : pem_place(r, v, f);
}
