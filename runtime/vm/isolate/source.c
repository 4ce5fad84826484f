#include "vm/isolate/source.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
  SOURCE_MAX = 1 << 20, /* as the sandbox's load: parsing is not interrupted */
  READINGS_MAX = 20
};

static int read_once(const char *path, struct buf *source, struct fault *f) {
  int code = file_read_whole(path, SOURCE_MAX, source, NULL);
  if (code == -EFBIG)
    return fault_set(f, -E2BIG, "%s: more than %d bytes of source", path, SOURCE_MAX);
  return code == 0 ? 0 : fault_set(f, code, "%s: %s", path, file_problem(code));
}

static bool equal(const struct buf *a, const struct buf *b) {
  return a->data && b->data && a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

int source_read(const char *path, struct buf *source, struct fault *f) {
  int code = read_once(path, source, f);
  for (int i = 0; code == 0 && i < READINGS_MAX; i++) {
    struct buf again = {0};
    code = read_once(path, &again, f);
    bool same = code == 0 && equal(&again, source);
    buf_free(source);
    *source = again;
    if (same)
      return 0;
  }
  return code != 0 ? code : fault_set(f, -EAGAIN, "%s: it changes while it is read", path);
}

void source_hash(const char *text, size_t length, char out[SOURCE_HASH_SIZE]) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_length = 0;
  EVP_Digest(text, length, digest, &digest_length, EVP_sha256(), NULL);
  for (unsigned i = 0; i < digest_length && i < 32; i++)
    snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
