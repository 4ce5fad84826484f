/* attends: a registry plugin's `attend(conn, held)`, held open for all that we have there: it
 * returns what of it somebody else has changed. What then is so, a renewal finds out. Asked anew,
 * a second later at the earliest, when there is more to attend. Control thread only. */
#pragma once

#include <uv.h>

struct attachment;
struct attends;
struct reconciler;

/* `of` outlives it. NULL: out of memory. */
struct attends *attends_new(uv_loop_t *loop, struct reconciler *of);
void attends_free(struct attends *a); /* memory goes with the loop's close callback */

/* There is something that is not attended yet. `connection` is a reference in the attachment's
 * isolate; both last until attends_end. */
void attends_ask(struct attends *a, struct attachment *attachment, int connection);
void attends_end(struct attends *a); /* what is attended, until it is asked again */
