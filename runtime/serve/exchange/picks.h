/* picks: a worker's handles on the catalog, by service: opened when first asked for, the least
 * recently used one closed when there are too many. Worker thread. */
#pragma once

#include "client/perigee.h"

struct picks;
struct pickers;

/* The catalog in `run_dir` (copied) is opened by the first picks_service; at most `room` services
 * are held open, at least 1. `pickers` (vm/pick/picker.h; NULL: none) choose for the services that
 * they have rules for; taken over, also when it fails. NULL: out of memory. */
struct picks *picks_new(const char *run_dir, unsigned room, struct pickers *pickers);
/* The last thing on the worker's loop: nothing is picked any more. NULL is fine. */
void picks_end(struct picks *p);
void picks_free(struct picks *p); /* after picks_end, where the loop has run */

/* The handle for this service, valid until the next call. 0 or a negative errno: of perigee_open
 * (no catalog yet), or -ENOMEM. */
int picks_service(struct picks *p, const char *name, struct perigee_service **out);
/* Closes it: nobody has this service, so that made-up names do not push out real ones. */
void picks_forget(struct picks *p, const char *name);
unsigned picks_count(const struct picks *p);
