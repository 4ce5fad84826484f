/* feedback: the page on which a process counts its calls, for itself and for the agent.
 *
 * The process makes it, a sealed memfd that nothing can make shorter or longer, and hands it to the
 * agent; so the counts are there without an agent too, outlive its restarts, and are charged to
 * whoever makes them. The agent maps it read-only and believes nothing that it says.
 *
 * The page has lanes of one cell for each slot of the catalog. A handle of the library has a lane
 * of its own and writes it with plain relaxed stores; lane 0 is shared, for handles beyond the
 * fifteenth and for reports from another thread, and is written by read-modify-writes. Only what
 * is used of the 1 GiB exists: memory is taken by pages, as cells are touched.
 *
 *   who writes: the cell's words, relaxed ── change counter of its 64 slots, release ── activity
 *   who reads:  activity, acquire: as before? ── change counters: which moved? ── their cells
 *
 * A change counter instead of a byte that the reader clears: so nobody but its owner writes to a
 * page, and no report falls between a clearing and a reading. */
#pragma once

#include "catalog/layout.h"

#define FEEDBACK_MAGIC 0x0064656566726570ull /* "perfeed" */
#define FEEDBACK_SOCKET "feedback.sock"      /* in the run directory; SOCK_SEQPACKET */
/* A pick that nobody reports is forgotten after one to two of these: 2^38 ns, 275 s. */
#define FEEDBACK_EPOCH_SHIFT 38

enum {
  FEEDBACK_LAYOUT = 1,
  FEEDBACK_LANES = 16, /* 0 is shared */
  FEEDBACK_SLOTS = CATALOG_CHUNK * CATALOG_CHUNK,
  FEEDBACK_RUN = 64, /* slots of one change counter */
  FEEDBACK_RUNS = FEEDBACK_SLOTS / FEEDBACK_RUN,
};

enum feedback_outcome {
  FEEDBACK_SUCCESS,
  FEEDBACK_SERVER_ERROR,
  FEEDBACK_TIMEOUT,
  FEEDBACK_CONNECT_FAILURE,
  FEEDBACK_OUTCOMES,
};

/* What one lane has seen of one instance; counts wrap. */
struct feedback_cell {
  _Atomic uint32_t generation; /* of the slot; all else is about that instance */
  /* The reader of the lane keeps beside it what it last saw of the host's sum: client/load.c. */
  _Atomic uint32_t host_seen;
  _Atomic int32_t own_then;
  _Atomic uint32_t ewma_us; /* of this process alone */
  /* Picks that have not been reported, by the epoch in which they were made: epoch << 32 | a signed
   * count (what another lane picked may be reported here). Even epochs, odd epochs. */
  _Atomic uint64_t in_flight[2];
  _Atomic uint32_t outcomes[FEEDBACK_OUTCOMES];
  _Atomic uint64_t latency_ns; /* summed over the calls that succeeded or failed at the server */
  _Atomic uint64_t ewma_at_ns; /* CLOCK_MONOTONIC, of the last sample */
};
_Static_assert(sizeof(struct feedback_cell) == 64, "a cache line");

struct feedback_lane {
  _Atomic uint64_t activity; /* moves with each change */
  unsigned char unused[CATALOG_GRANULE - 8];
  _Atomic uint32_t changes[FEEDBACK_RUNS];
  struct feedback_cell cells[FEEDBACK_SLOTS];
};

struct feedback_page {
  uint64_t magic;
  uint32_t layout;
  unsigned char unused[CATALOG_GRANULE - 12];
  struct feedback_lane lanes[FEEDBACK_LANES];
};
_Static_assert(sizeof(struct feedback_lane) % CATALOG_GRANULE == 0, "lanes begin on a page");

/* What a process says when it hands its page over, together with the descriptor (SCM_RIGHTS). A
 * message of another length, later, means that it has begun to count again after a pause. */
struct feedback_hello {
  uint64_t magic;
  uint32_t layout, spare;
};

/* Makes a page of one's own: mapped for writing, not inherited by a fork. *fd is the memfd, or -1
 * where there can be none (then the page is this process's alone). NULL: no address space. */
struct feedback_page *feedback_page_make(int *fd);
/* Maps a page that another process made, for reading. -EPROTO: it is none, or not sealed (whoever
 * could shorten it could end the reader); -ENOMEM. `fd` stays the caller's. */
int feedback_page_open(int fd, struct feedback_page **page);
void feedback_page_close(struct feedback_page *page);

/* The epoch at a time of CLOCK_MONOTONIC; never 0, 24 bits. */
static inline uint32_t feedback_epoch(int64_t now_ns) {
  return ((uint32_t)(now_ns >> FEEDBACK_EPOCH_SHIFT) & 0xffffff) + 1;
}
/* The count in an in-flight word, when it is of this epoch. */
static inline int32_t feedback_count(uint64_t word, uint32_t epoch) {
  return word >> 32 == epoch ? (int32_t)(uint32_t)word : 0;
}
/* Picks of this epoch and of the one before. */
static inline int32_t feedback_in_flight(const struct feedback_cell *c, uint32_t epoch) {
  uint64_t now = catalog_load64(&c->in_flight[epoch & 1]);
  uint64_t before = catalog_load64(&c->in_flight[~epoch & 1]);
  return feedback_count(now, epoch) + feedback_count(before, epoch - 1);
}
