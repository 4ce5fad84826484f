/* live: the words of the shared file that move without a publication: what is live of an instance
 * and of a service. The agent writes them, relaxed, from what the processes' feedback pages say;
 * picks read them. Control thread only. */
#pragma once

#include "catalog/layout.h"

struct catalog_writer;

/* A slot's words, to be written by catalog_store32 and _store64. NULL: it was never given out.
 * Valid until the writer is closed. */
struct catalog_slot *catalog_live_slot(const struct catalog_writer *w, uint32_t slot);
/* The largest slot ever given out. */
uint32_t catalog_live_slots(const struct catalog_writer *w);
/* What is in flight on all endpoints of a service together, and how many retries are among it.
 * Ignored when it is not published. */
void catalog_live_service(const struct catalog_writer *w, const char *service, uint32_t in_flight,
                          uint32_t retries);
/* Whether feedback pages are being read just now; processes that count look at it, and wake the
 * agent when they are not. */
void catalog_live_collecting(const struct catalog_writer *w, bool on);
