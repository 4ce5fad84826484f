/* register_body: the options of `perigee register` → the body that Consul's API takes. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

/* Writes the JSON and the instance's id. 0, or EXIT_USAGE after a sentence. */
int register_body(const struct arguments *a, struct buf *body, struct buf *id);
