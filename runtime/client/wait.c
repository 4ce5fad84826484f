#include "client/handle.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 1000000000 };

/* A futex in a read-only shared mapping: not a private one, the agent is another process. */
static int futex_wait(const _Atomic uint32_t *word, uint32_t value, int64_t ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  return syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0) < 0 ? -errno : 0;
}

int perigee_wait(struct perigee_service *s, uint64_t version, int timeout_ms) {
  int64_t deadline = timeout_ms < 0 ? INT64_MAX : client_now_ns() + timeout_ms * 1000000ll;
  for (;;) {
    client_find(s);
    const struct catalog_header *h = catalog_map_header(&s->mapping->map);
    const _Atomic uint32_t *word =
        s->entry == &client_absent ? &h->directory_word : &s->entry->futex;
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
    if (perigee_version(s) != version)
      return 0;
    /* The version was looked at after the word; if the file moved in between, so did the word. */
    int64_t left = deadline - client_now_ns();
    if (left <= 0)
      return -ETIMEDOUT;
    int r = futex_wait(word, seen, left < SLICE_NS ? left : SLICE_NS);
    if (r == -EINTR)
      return r;
    if (r == -ETIMEDOUT)
      client_look(s); /* whoever replaced the file may not have been able to say so */
  }
}
