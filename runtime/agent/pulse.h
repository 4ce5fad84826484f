/* pulse: what the agent does at the end of each turn of its loop, and once a second. Control thread
 * only. */
#pragma once

struct agent;

void pulse_init(struct agent *a); /* before anything can fail: pulse_close needs it */

/* After the server was started: the prepare handle that is started last runs first, and the
 * server's own commits the view and lets replies leave, so whoever was answered finds his change
 * published. The first turn's end is now. */
void pulse_start(struct agent *a);
void pulse_close(struct agent *a);

/* The next agent's versions begin above this one's. */
void pulse_save_version(struct agent *a);
