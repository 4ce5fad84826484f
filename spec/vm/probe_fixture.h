/* probe_fixture: a call of a check, with an instance on 127.0.0.1. */
#pragma once

#include "fixture.h"
#include "watch/instance.h"

/* What attachment_call takes with push_subject. */
struct probe {
  struct answer answer; /* first: answer_take gets it */
  uint16_t port;
};

static inline int push_subject(lua_State *L, void *probe) {
  struct instance in = {.id = "web-1",
                        .service = "web",
                        .address = "127.0.0.1",
                        .zone = "",
                        .weight = 1,
                        .port = ((struct probe *)probe)->port};
  push_instance(L, &in);
  return 1;
}
