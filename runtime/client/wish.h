/* wish: a service that is not in the catalog is asked for: an agent that can find it somewhere may
 * watch it then (`resolve`). */
#pragma once

struct perigee_service;

/* Tells the agent, at most once a second. Makes system calls, waits for nothing. */
void wish_tell(struct perigee_service *s);
