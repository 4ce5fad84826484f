#include "registry/flap.h"

enum { RESULTS = 20, BEGINS = RESULTS / 2, ENDS = RESULTS / 4 };

bool flap_note(struct flap *f, bool down) {
  bool changed = f->heard && down != f->down, before = f->flapping;
  f->changes = (f->changes << 1 | changed) & ((1u << RESULTS) - 1);
  f->heard = true;
  f->down = down;
  int count = __builtin_popcount(f->changes);
  f->flapping = before ? count > ENDS : count >= BEGINS;
  return f->flapping != before;
}
