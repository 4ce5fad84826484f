/* balancer: what a watch's `balancer` says: "name", { "name", ... } or a list of stages, the
 * algorithm last. Pure. */
#pragma once

struct value;
struct fault;

/* The algorithm's name, or NULL for the default, in `*name` (the value's, or static). -EINVAL: not
 * of that form, or no such balancer: the fault names those there are. */
int balancer_parse(const struct value *balancer, const char **name, struct fault *f);
