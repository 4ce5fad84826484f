/* connection: one client's socket: bytes to requests, answers to bytes, in order, one request at a
 * time. It reads no further while an answer waits for the control thread or for a slow client, so
 * what it holds is bounded. Worker thread; its memory is freed in its handle's close callback. */
#pragma once

#include "serve/http/deadline.h"

#include <stdbool.h>

struct errand;
struct listener;
struct parked;
struct worker;

/* Takes the connection that the listener has waiting. One too many is told so and closed. */
void connection_accept(struct listener *l);
/* The control thread has answered. Frees the errand. */
void connection_answered(struct errand *e);
void connection_piece(struct errand *e); /* of an answer that comes in pieces */
/* Its exchange is to go on (parking.h). */
void connection_unparked(struct parked *p, bool over);
/* Closes what is idle, lets the rest finish its answer. */
void connections_drain(struct worker *w);
void connections_close(struct worker *w); /* at once */
/* Of worker.deadlines. */
void connection_expired(struct deadline *d, enum deadline_kind kind);
