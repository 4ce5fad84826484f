/* Any bytes as a name server's answer to an SRV question. */
#include "io/resolver.h"

#include <ares.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 65535) /* c-ares hands over what fits a DNS message */
    return 0;
  unsigned char *message = malloc(size ? size : 1); /* of its own size, so that ASan sees its end */
  memcpy(message, data, size);
  struct answer *a = srv_parse(message, (int)size);
  if (!a)
    abort();
  if (a->public.status == 0 && a->public.count == 0)
    abort();
  for (size_t i = 0; i < a->public.count; i++)
    if (memchr(a->records[i].target, '\0', sizeof a->records[i].target) == NULL)
      abort();
  answer_unref(a);
  free(message);
  return 0;
}
