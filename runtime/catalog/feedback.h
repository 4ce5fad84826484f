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
#define FEEDBACK_WISH 0x0068736977726570ull  /* "perwish" */
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

/* What one lane has seen of one instance. Picks in flight are those of two epochs: a roll forgets
 * the ones before. In the shared lane `in_flight` and `older` may be negative as int32_t: what
 * another lane picked is reported there, and only their sum over the lanes means something. */
struct feedback_cell {
  _Atomic uint32_t generation;  /* of the slot; all else is about that instance */
  _Atomic uint32_t in_flight;   /* picked and not yet reported */
  _Atomic uint64_t latency_ns;  /* peak EWMA of this lane alone, by select_ewma; 0 = no sample */
  _Atomic uint32_t reported_ms; /* of the last report: CLOCK_MONOTONIC_COARSE, wrapping */
  _Atomic uint32_t failing;   /* what part of 2^32 of the reports fail, as select_failing has it */
  _Atomic uint32_t picked_ms; /* of the last pick, the same clock; 0 = never */
  _Atomic uint32_t retries;   /* of those in flight */
  _Atomic uint32_t outcomes[FEEDBACK_OUTCOMES]; /* reports, wrapping */
  _Atomic uint64_t latency_sum_ns;              /* of the successes, wrapping */
  _Atomic uint32_t older; /* of in_flight: picked in the epoch before `epoch` */
  _Atomic uint32_t epoch;
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
  uint32_t layout;
  uint32_t counted; /* 1: another agent has read the page before */
};

/* What a process says instead, on a connection of its own, of a service that it has looked for in
 * vain. The name goes to the message's end. */
struct feedback_wish {
  uint64_t magic;
  char name[CATALOG_NAME_MAX];
};

/* Makes a page of one's own: mapped for writing, not inherited by a fork. *fd is the memfd, or -1
 * where there can be none (then the page is this process's alone). NULL: no address space. */
struct feedback_page *feedback_page_make(int *fd);
/* Maps a page that another process made, for reading. -EPROTO: it is none, or not sealed (whoever
 * could shorten it could end the reader); -ENOMEM. `fd` stays the caller's. */
int feedback_page_open(int fd, struct feedback_page **page);
void feedback_page_close(struct feedback_page *page);

/* The epoch at a time of CLOCK_MONOTONIC; 1 to 2^23, which is 73 years. */
static inline uint32_t feedback_epoch(int64_t now_ns) {
  return ((uint32_t)(now_ns >> FEEDBACK_EPOCH_SHIFT) & 0x3fffff) + 1;
}
/* What of a cell's picks is still in flight when the epoch is `epoch`. */
static inline int32_t feedback_in_flight(uint32_t in_flight, uint32_t older, uint32_t cell_epoch,
                                         uint32_t epoch) {
  if (cell_epoch == epoch)
    return (int32_t)in_flight;
  return cell_epoch + 1 == epoch ? (int32_t)(in_flight - older) : 0;
}
/* And how many of those, of which `kept` are still in flight, are retries: no more than there are.
 */
static inline int32_t feedback_retries(uint32_t retries, int32_t kept) {
  int32_t n = (int32_t)retries, least = kept < 0 ? kept : 0, most = kept > 0 ? kept : 0;
  return n < least ? least : n > most ? most : n;
}
