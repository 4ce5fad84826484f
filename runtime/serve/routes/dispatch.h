/* dispatch: a request on its way to the handler of its route, and back to it. Worker thread. */
#pragma once

#include "serve/exchange/exchange.h"

/* Finds the route and runs its handler. Afterwards it is answered (`status`); or `errand` waits for
 * the control thread, and then exchange_resume goes on; or it is parked, and then exchange_again
 * runs the handler again. The same may be true after either. */
void exchange_run(struct exchange *x);
void exchange_resume(struct exchange *x, const struct errand *e); /* frees nothing */
void exchange_again(struct exchange *x, bool over);
/* A request that could not be read. Counted under no route. */
void exchange_refuse(struct exchange *x, int status, const char *text);
