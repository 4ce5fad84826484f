#include "vm/source.h"

#include "base/buf.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  SOURCE_MAX = 1 << 20, /* as the sandbox's load: parsing is not interrupted */
  READINGS_MAX = 20
};

static int read_once(const char *path, struct buf *source, struct fault *f) {
  struct stat st;
  ssize_t n = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return fault_set(f, -errno, "%s: %s", path, strerror(errno));
  int code = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : -EINVAL;
  if (code != 0)
    fault_set(f, code, "%s: not a file", path);
  while (code == 0) {
    if (buf_reserve(source, 65536) != 0)
      code = fault_set(f, -ENOMEM, "%s: out of memory", path);
    else if ((n = read(fd, source->data + source->length, 65536)) <= 0)
      break;
    source->length += (size_t)n;
    if (source->length > SOURCE_MAX)
      code = fault_set(f, -E2BIG, "%s: more than %d bytes of source", path, SOURCE_MAX);
  }
  if (code == 0 && n < 0)
    code = fault_set(f, -errno, "%s: %s", path, strerror(errno));
  close(fd);
  buf_char(source, '\0'); /* the source is searched for lines as a text */
  source->length--;
  return code;
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
