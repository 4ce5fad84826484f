/* decode_check: one check of a registration's body → a check definition. */
#pragma once

#include "registry/registration.h"
#include "serve/json/field.h"

struct check_place {
  struct field_place json;
  const char *service, *instance_id;
  unsigned number; /* 1-based; 0: it is the only one */
};

/* 0 or an HTTP status, with the sentence in the place's fault. `*out` is complete, its strings on
 * the heap and its options a reference: check_definition_clear, also after a failure. */
int check_from_json(const struct check_place *at, struct check_definition *out);
