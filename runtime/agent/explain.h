/* explain: what made each endpoint of a service what it is now: registry, checks, policy, plan, an
 * operator's hand. Control thread only. */
#pragma once

struct agent;
struct buf;
struct fault;

/* One JSON object. 0; -ENOENT: no service of that name is known here; -ENOMEM. */
int explain_service(struct agent *a, const char *service, struct buf *out, struct fault *f);
