/* XXH64, after its specification. Own code because the client library depends on libc alone, and
 * short because keys are: no streaming. Byte order is little-endian's by construction. */
#include "select/select.h"

#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotate(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

static uint64_t word64(const unsigned char *p) {
  uint64_t w;
  memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap64(w);
#endif
  return w;
}

static uint32_t word32(const unsigned char *p) {
  uint32_t w;
  memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap32(w);
#endif
  return w;
}

static uint64_t take(uint64_t lane, uint64_t word) {
  return rotate(lane + word * P2, 31) * P1;
}

static uint64_t merge(uint64_t hash, uint64_t lane) {
  return (hash ^ take(0, lane)) * P1 + P4;
}

/* The stripes of 32 bytes, which longer inputs begin with. */
static uint64_t take_stripes(const unsigned char **p, size_t *left) {
  uint64_t lanes[4] = {P1 + P2, P2, 0, -P1};
  for (; *left >= 32; *p += 32, *left -= 32)
    for (int i = 0; i < 4; i++)
      lanes[i] = take(lanes[i], word64(*p + i * 8));
  uint64_t hash =
      rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
  for (int i = 0; i < 4; i++)
    hash = merge(hash, lanes[i]);
  return hash;
}

uint64_t select_hash(const void *bytes, size_t length) {
  const unsigned char *p = bytes;
  size_t left = length;
  uint64_t hash = (length >= 32 ? take_stripes(&p, &left) : P5) + length;
  for (; left >= 8; p += 8, left -= 8)
    hash = rotate(hash ^ take(0, word64(p)), 27) * P1 + P4;
  if (left >= 4) {
    hash = rotate(hash ^ word32(p) * P1, 23) * P2 + P3;
    p += 4;
    left -= 4;
  }
  for (; left; p++, left--)
    hash = rotate(hash ^ *p * P5, 11) * P1;
  hash = (hash ^ hash >> 33) * P2;
  hash = (hash ^ hash >> 29) * P3;
  return hash ^ hash >> 32;
}
