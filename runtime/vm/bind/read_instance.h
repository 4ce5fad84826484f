/* read_instance: what a plugin says of an instance → an instance. Pure; control thread only. */
#pragma once

#include "watch/instance.h"

struct value;
struct fault;

/* One instance of `service` from its table; *out is the caller's. `status` is passing unless the
 * table says another. -ENOMEM, or -EINVAL: the fault names the field, with a suggestion where one
 * is unknown. */
int read_instance(const struct value *v, const char *service, struct instance **out,
                  enum status *status, struct fault *f);
