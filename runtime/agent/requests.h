/* requests: what the workers and the plugins ask of the control thread, carried out. */
#pragma once

#include "serve/server.h"
#include "vm/isolate/isolate.h"

struct agent;

/* For server_start, with the agent as its argument. */
extern const struct server_requests agent_requests;

/* What plugins may do to the registry: as over HTTP, with the agent as its argument. */
struct vm_registry agent_registry(struct agent *a);
