/* A record of the store, as somebody may have left it: it is refused, or it is a registration that
 * is fit, and that survives being written and read again. */
#include "base/buf.h"
#include "registry/registration.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct registration *r, *again;
  struct buf bytes = {0}, twice = {0};
  if (registration_decode(data, size, &r) != 0)
    return 0;
  if (registration_check(r, NULL) != 0 || registration_encode(r, &bytes) != 0 ||
      registration_decode(bytes.data, bytes.length, &again) != 0 ||
      registration_encode(again, &twice) != 0)
    abort();
  /* By their bytes: a NaN in an option is not equal to itself. */
  if (bytes.length != twice.length || memcmp(bytes.data, twice.data, bytes.length) != 0)
    abort();
  registration_unref(again);
  registration_unref(r);
  buf_free(&bytes);
  buf_free(&twice);
  return 0;
}
