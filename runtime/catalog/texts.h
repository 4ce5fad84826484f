/* texts: numbers for the few different texts that many rows share: zones, names of ports.
 * Number 0 is the first one added. Keeps pointers to the caller's strings, not copies. */
#pragma once

#include <stdint.h>

struct texts {
  const char **list; /* by number */
  uint32_t *buckets; /* number + 1; open addressing */
  uint32_t count, room, bucket_count;
};

void texts_clear(struct texts *t);
/* The text's number, added when new. -ENOMEM; -EINVAL: more than 65,536 different ones. */
int32_t texts_number(struct texts *t, const char *text);
void texts_end(struct texts *t);
