/* layout: the shared file's bytes, layout 1. LAYOUT.md draws them; the writer and the reader meet
 * only here.
 *
 * Everything in the file is written and read by relaxed atomic accesses, because a reader may look
 * at a block that is being reused and find out afterwards. What orders them:
 *
 *   writer: block words, relaxed ── release store of `current`
 *           epoch + 1, relaxed ── release fence ── words of the next block there
 *   reader: acquire load of `current` ── words, relaxed ── acquire fence ── epoch, relaxed
 *
 * A reader that saw one word of the next block sees the bumped epoch too. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_FILE "catalog"
#define CATALOG_MAGIC "perigee"          /* eight bytes with the NUL */
#define CATALOG_MOVED UINT64_MAX         /* in `current`: a newer file is at the path */
#define CATALOG_RESERVE (4ull << 30)     /* address space a mapping reserves; the largest file */
#define CATALOG_STEP (4ull << 20)        /* the file grows by this */
#define CATALOG_VERSION_END (1ull << 53) /* versions are exact in a double */

enum {
  CATALOG_LAYOUT = 1,
  CATALOG_GRANULE = 4096,
  CATALOG_STEP_GRANULES = CATALOG_STEP / CATALOG_GRANULE,
  CATALOG_CHUNK = 1024,      /* items a chunk, and chunks a map */
  CATALOG_FIRST_GRANULE = 4, /* after the header and the three maps */
  CATALOG_NAME_MAX = 255,
  CATALOG_ADDRESS_MAX = 255,
  CATALOG_ADDRESS_INLINE = 39, /* longer ones are elsewhere in the block */
  CATALOG_TEXT_MAX = UINT16_MAX,
};

/* Granules 1 to 3: where the chunks of 1024 items are, by granule; 0 = not there yet. */
enum catalog_map_granule {
  CATALOG_EPOCHS = 1,    /* 4 bytes an item: one for each granule of the file */
  CATALOG_SLOTS = 2,     /* 64 bytes an item */
  CATALOG_DIRECTORY = 3, /* 64 bytes an item */
};

struct catalog_header {
  char magic[8]; /* bytes 0 to 63 are frozen for all layouts */
  uint32_t layout;
  _Atomic uint32_t retired; /* 1: a newer file is at the path */
  _Atomic uint64_t size;    /* bytes; only grows, and never beyond the file */
  uint32_t agent_pid;
  uint32_t agent_namespace;      /* the pid's namespace: inode number of /proc/self/ns/pid */
  uint64_t agent_start;          /* its start, clock ticks since boot: /proc/PID/stat, field 22 */
  _Atomic uint64_t heartbeat_ns; /* CLOCK_MONOTONIC */
  uint64_t frozen[2];
  /* Layout 1 from here. */
  _Atomic uint32_t directory_word;      /* a futex; moves when a service is added, and at the end */
  _Atomic uint32_t entries;             /* of the directory, withdrawn ones too */
  _Atomic uint64_t index;               /* the name index: a `current` word */
  _Atomic uint64_t version;             /* the largest given out */
  _Atomic uint32_t services, endpoints; /* what can be picked now, for people */
  _Atomic uint32_t slots;               /* the largest slot number ever given out */
  _Atomic uint32_t collecting;          /* 1: feedback pages are read every few ms just now */
};
_Static_assert(offsetof(struct catalog_header, directory_word) == 64, "bytes 0 to 63 are frozen");
_Static_assert(sizeof(struct catalog_header) == 104, "no padding");

/* One service; a cache line of its own. Appended, never moved, never used for another name. */
struct catalog_entry {
  _Atomic uint64_t current; /* epoch << 32 | granule of its block; 0 = withdrawn; MOVED */
  _Atomic uint64_t version;
  _Atomic uint32_t futex; /* the version's low 32 bits */
  uint32_t name_length;
  uint32_t name;              /* byte offset in the file; names are never moved or freed either */
  _Atomic uint32_t in_flight; /* on all its endpoints, all processes: the sum of its live slots */
  _Atomic uint32_t retries;   /* of these */
  uint32_t spare[5];
  uint64_t spare_wide;
};
_Static_assert(sizeof(struct catalog_entry) == 64, "a cache line");

/* What is live of an instance: written by the agent, relaxed. The load-based balancers fill it. */
struct catalog_slot {
  _Atomic uint32_t generation; /* 0 = never used */
  _Atomic uint32_t in_flight;
  _Atomic uint64_t latency_ns;
  _Atomic uint64_t ejected_until_ns; /* CLOCK_MONOTONIC; 0 = it is not */
  _Atomic uint64_t born_ns;          /* the same, where it starts slowly; 0 = long ago */
  _Atomic uint32_t ejections;        /* that count for the next one's length */
  _Atomic uint32_t failing;          /* what part of 2^32 of its calls fail lately; 0 = none */
  uint64_t spare_wide[3];
};
_Static_assert(sizeof(struct catalog_slot) == 64, "a cache line");

enum catalog_block_kind { CATALOG_SNAPSHOT = 0x70616e73, CATALOG_INDEX = 0x78646e69 };
enum catalog_block_flags {
  CATALOG_FAIL_OPEN = 1, /* none is healthy: picks choose among the critical ones */
  CATALOG_STALE = 2,
  CATALOG_UNIFORM = 4, /* one group, and all its rows weigh the same */
  CATALOG_PANIC = 8,   /* too few are healthy: picks choose among all */
};
enum catalog_family { CATALOG_IP4 = 1, CATALOG_IP6 = 2, CATALOG_HOST = 3, CATALOG_UNIX = 4 };

/* A snapshot's head. Offsets are bytes from the block's start. */
struct catalog_block {
  uint32_t kind;
  uint32_t bytes;
  uint64_t version;
  uint64_t published_us; /* Unix time */
  uint32_t count;        /* rows: what can be picked, the other healthy ones, critical ones */
  uint32_t healthy;
  uint32_t pickable; /* the first rows; those of all groups */
  uint32_t cycle;    /* entries of order[] */
  uint32_t balancer; /* select.h's number */
  uint32_t flags;
  uint32_t rows;   /* struct catalog_row [count] */
  uint32_t order;  /* uint32_t [cycle]: row numbers, in the order of a rotation */
  uint32_t alias;  /* struct catalog_alias [pickable], as 64-bit words */
  uint32_t groups; /* struct catalog_group [group_count] */
  uint32_t group_count;
  uint32_t top;   /* alias table over the groups; 0 = group 0 takes all */
  uint32_t zones; /* uint32_t [zone_count]: offsets of texts; zone 0 is "" */
  uint32_t zone_count;
  uint32_t ports; /* uint32_t [port_count]: offsets of the port names' texts */
  uint32_t port_count;
  uint32_t options[4]; /* the balancer's own */
  uint32_t slots;      /* uint32_t [pickable]: the rows' slots, for who looks at many; 0 = none */
  uint32_t spare;
  uint64_t stale_since_ns; /* CLOCK_MONOTONIC; 0 = it is not stale */
  uint64_t spare_wide;
};
_Static_assert(sizeof(struct catalog_block) == 128, "two cache lines");

struct catalog_row {
  uint32_t slot, slot_generation;
  uint16_t port;
  uint8_t family, status;
  float weight;
  uint32_t detail; /* offset of its catalog_detail */
  uint16_t zone;
  uint8_t address_length;
  uint8_t tier;     /* 255: that or any later one */
  char address[40]; /* zero-padded; when longer than 39 bytes: a uint32_t, the text's offset */
};
_Static_assert(sizeof(struct catalog_row) == 64, "a cache line");

/* Followed by the id, zero-padded to 8 bytes with at least one zero; then port_count pairs of
 * uint16_t (name's number, port); then the tags, then key and value of each meta pair, as texts.
 * A text is a uint16_t length, the bytes, and a zero byte when that makes it even. */
struct catalog_detail {
  uint16_t id_length, tag_count, meta_count, port_count;
};
_Static_assert(sizeof(struct catalog_detail) == 8, "one word");

/* One cell of Vose's table: `own` of 2^32 parts are the cell's row, the rest is `other`. */
struct catalog_alias {
  uint32_t own, other;
};

/* A range of rows of one tier and, where zones matter, of one zone. Load- and key-based balancers
 * pick a group by the top table and inside it by the group's own. */
struct catalog_group {
  uint32_t first, count;
  uint16_t tier, zone;
  uint32_t table, table_length; /* bytes; 0 = none */
  float weight;                 /* of its rows together: the sum of theirs */
  uint32_t upto; /* of 2^32: the shares of this group and those before it, less 1; for keys */
  uint32_t spare;
};
_Static_assert(sizeof(struct catalog_group) == 32, "half a cache line");

/* The name index: a head of 64 bytes, then `cells` words of hash << 32 | entry + 1, open
 * addressing, a power of two. Cells are only ever filled; a fuller index is a new block. */
struct catalog_index {
  uint32_t kind;
  uint32_t bytes;
  uint32_t cells;
  uint32_t spare[13];
};
_Static_assert(sizeof(struct catalog_index) == 64, "a cache line");

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "the file needs address-free atomics");

static inline uint64_t catalog_current(uint32_t epoch, uint32_t granule) {
  return (uint64_t)epoch << 32 | granule;
}

static inline uint32_t catalog_granules(uint64_t bytes) {
  return (uint32_t)((bytes + CATALOG_GRANULE - 1) / CATALOG_GRANULE);
}

/* FNV-1a, folded to 32 bits. */
static inline uint32_t catalog_name_hash(const char *name, size_t length) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++)
    h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
  return (uint32_t)(h ^ h >> 32);
}

/* Loads; any process. */
static inline uint32_t catalog_load32(const void *p) {
  return atomic_load_explicit((const _Atomic uint32_t *)p, memory_order_relaxed);
}
static inline uint64_t catalog_load64(const void *p) {
  return atomic_load_explicit((const _Atomic uint64_t *)p, memory_order_relaxed);
}

/* Stores; the writer only. Every byte that reaches the file goes through these four or arena_write,
 * and every system call that changes it is preceded by the hook: spec/catalog/kill_test.c defines
 * it to end the writer at each of them in turn. */
#ifndef CATALOG_STORE_HOOK
#define CATALOG_STORE_HOOK() ((void)0)
#endif
/* How much of a block one write may take; the same spec ends the writer in the middle of blocks. */
#ifndef CATALOG_WRITE_MOST
#define CATALOG_WRITE_MOST (1u << 30)
#endif
static inline void catalog_store32(void *p, uint32_t value) {
  CATALOG_STORE_HOOK();
  atomic_store_explicit((_Atomic uint32_t *)p, value, memory_order_relaxed);
}
static inline void catalog_store64(void *p, uint64_t value) {
  CATALOG_STORE_HOOK();
  atomic_store_explicit((_Atomic uint64_t *)p, value, memory_order_relaxed);
}
static inline void catalog_release32(void *p, uint32_t value) {
  CATALOG_STORE_HOOK();
  atomic_store_explicit((_Atomic uint32_t *)p, value, memory_order_release);
}
static inline void catalog_release64(void *p, uint64_t value) {
  CATALOG_STORE_HOOK();
  atomic_store_explicit((_Atomic uint64_t *)p, value, memory_order_release);
}

#if defined(__SANITIZE_THREAD__)
#define CATALOG_TSAN 1
#else
#define CATALOG_TSAN 0
#endif

/* The writer: what was in the block that begins at this epoch's granule may be overwritten now. */
static inline void catalog_epoch_bump(_Atomic uint32_t *word) {
  CATALOG_STORE_HOOK();
#if CATALOG_TSAN
  atomic_fetch_add_explicit(word, 1, memory_order_acq_rel);
#else
  atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + 1,
                        memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
#endif
}

/* A reader: what was read so far was the block of this epoch. TSan does not model fences, so its
 * stress, which has one writable mapping, uses a read-modify-write in their place. */
static inline bool catalog_epoch_is(const _Atomic uint32_t *word, uint32_t epoch) {
#if CATALOG_TSAN
  return atomic_fetch_add_explicit((_Atomic uint32_t *)(uintptr_t)word, 0, memory_order_acq_rel) ==
         epoch;
#else
  atomic_thread_fence(memory_order_acquire);
  return atomic_load_explicit(word, memory_order_relaxed) == epoch;
#endif
}
