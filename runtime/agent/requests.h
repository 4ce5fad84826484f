/* requests: what the workers ask of the control thread, carried out. */
#pragma once

#include "serve/server.h"

struct agent;

/* For server_start, with the agent as its argument. */
extern const struct server_requests agent_requests;
