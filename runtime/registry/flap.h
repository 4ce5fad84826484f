/* flap: whether a check's results go back and forth, which `rise` and `fall` keep from its status,
 * and so from everybody's eyes. Of the last 20 results half are other than the one before: it
 * flaps; a quarter at most: it is steady again. Zero-initialised has heard nothing. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct flap {
  uint32_t changes; /* a bit a result, the newest lowest: other than the one before */
  bool heard, down, flapping;
};

/* Takes one more result; `down`: critical. True: `flapping` is another than before. */
bool flap_note(struct flap *f, bool down);
