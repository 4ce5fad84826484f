#include "vm/isolate/inside.h"

void owned_begin(lua_State *L, struct owned *o, void (*give_back)(struct owned *o)) {
  struct isolate *iso = isolate_of(L);
  *o = (struct owned){.next = iso->owned, .link = &iso->owned, .give_back = give_back};
  if (o->next)
    o->next->link = &o->next;
  iso->owned = o;
}

void owned_end(struct owned *o) {
  if (!o->link)
    return;
  *o->link = o->next;
  if (o->next)
    o->next->link = o->link;
  o->link = NULL;
  o->give_back(o);
}

void owned_end_all(struct isolate *iso) {
  while (iso->owned)
    owned_end(iso->owned);
}
