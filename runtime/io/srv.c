/* srv: the SRV records of a DNS answer. c-ares 1.18 parses them too, but drops their TTLs. Where
 * the name is an alias, what it stands for holds no longer than that. */
#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "io/resolver.h"

enum { NAME_SIZE = 1025 }; /* 255 bytes, where each is written as an escape */

struct reader {
  const unsigned char *message, *at, *end;
  int length;
  uint32_t alias_ttl;   /* the shortest of the aliases on the way */
  char name[NAME_SIZE]; /* that was asked for, or the last of its aliases: they come in order */
};

static unsigned read_u16(const unsigned char *p) {
  return (unsigned)p[0] << 8 | p[1];
}

static uint32_t read_u32(const unsigned char *p) {
  return (uint32_t)read_u16(p) << 16 | read_u16(p + 2);
}

/* Reads a name at `at`, copies it to `out` when not NULL, and returns the bytes it took there. */
static int read_name(const struct reader *r, const unsigned char *at, char *out, size_t size) {
  char *name;
  long taken;
  if (ares_expand_name(at, r->message, r->length, &name, &taken) != ARES_SUCCESS)
    return -EREMOTEIO;
  if (out)
    snprintf(out, size, "%s", name);
  ares_free_string(name);
  return (int)taken;
}

/* Steps over one record, and fills `record` when it is an SRV of the name that was asked for, or of
 * what that stands for: 1. 0 for another. */
static int read_record(struct reader *r, struct resolve_record *record) {
  char owner[NAME_SIZE];
  int taken = read_name(r, r->at, owner, sizeof owner);
  if (taken < 0 || r->end - r->at - taken < NS_RRFIXEDSZ)
    return -EREMOTEIO;
  const unsigned char *fixed = r->at + taken, *data = fixed + NS_RRFIXEDSZ;
  unsigned type = read_u16(fixed), size = read_u16(fixed + 8);
  if (r->end - data < (long)size)
    return -EREMOTEIO;
  r->at = data + size;
  if (strcasecmp(owner, r->name) != 0)
    return 0;
  if (type == ns_t_cname && read_name(r, data, r->name, sizeof r->name) < 0)
    return -EREMOTEIO;
  if (type == ns_t_cname && read_u32(fixed + 4) < r->alias_ttl)
    r->alias_ttl = read_u32(fixed + 4);
  if (type != ns_t_srv)
    return 0;
  if (size < 7 || read_name(r, data + 6, record->target, sizeof record->target) < 0)
    return -EREMOTEIO;
  record->ttl = read_u32(fixed + 4);
  record->priority = (uint16_t)read_u16(data);
  record->weight = (uint16_t)read_u16(data + 2);
  record->port = (uint16_t)read_u16(data + 4);
  return 1;
}

struct answer *srv_parse(const unsigned char *message, int length) {
  if (length < NS_HFIXEDSZ)
    return answer_new(-EREMOTEIO, 0);
  struct reader r = {message, message + NS_HFIXEDSZ, message + length, length, UINT32_MAX, ""};
  unsigned questions = read_u16(message + 4), answers = read_u16(message + 6);
  for (unsigned i = 0; i < questions; i++) {
    int taken = read_name(&r, r.at, r.name, sizeof r.name);
    if (taken < 0 || r.end - r.at - taken < NS_QFIXEDSZ)
      return answer_new(-EREMOTEIO, 0);
    r.at += taken + NS_QFIXEDSZ;
  }
  /* A record takes at least 11 bytes: a count that cannot be true does not get its memory. */
  if (answers > (unsigned)length / 11)
    return answer_new(-EREMOTEIO, 0);
  struct answer *a = answer_new(0, answers);
  if (!a)
    return NULL;
  size_t n = 0;
  for (unsigned i = 0; i < answers; i++) {
    int rc = read_record(&r, &a->records[n]);
    if (rc < 0) {
      answer_unref(a);
      return answer_new(rc, 0);
    }
    n += (size_t)rc;
  }
  a->public.count = n;
  for (size_t i = 0; i < n; i++)
    if (r.alias_ttl < a->records[i].ttl)
      a->records[i].ttl = r.alias_ttl;
  if (n == 0)
    a->public.status = -ENOENT;
  return a;
}
