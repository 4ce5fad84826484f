/* decode_registration: the body of PUT /v1/agent/service/register → a registration, and why not.
 * Keys are matched as Consul does, without case and underscores. Any thread; pure but for /proc. */
#pragma once

#include "registry/registration.h"

struct fault;
struct view_node;

struct registration_asked {
  const struct view_node *node; /* its address and zone are the default ones */
  enum origin origin;
  const char *lease, *owner; /* of the query, as text; NULL: not there */
};

/* 0, or the HTTP status to answer with, and the sentence in `f`: 400 for what is wrong, 500 and 501
 * for what this agent does not do. The caller owns `*out`. */
int registration_from_json(const char *json, size_t length, const struct registration_asked *asked,
                           struct registration **out, struct fault *f);

/* The body of PUT /v1/agent/check/update/ID. */
struct check_update {
  enum status status;
  char *output; /* owned; never NULL */
};
int check_update_from_json(const char *json, size_t length, struct check_update *out,
                           struct fault *f);
void check_update_free(struct check_update *u);
