/* The writer's parts, for the files that implement writer.h. */
#pragma once

#include "catalog/arena.h"
#include "catalog/block.h"
#include "catalog/directory.h"
#include "catalog/slots.h"
#include "catalog/writer.h"

struct catalog_map;

/* What the writer remembers of an entry of the directory. */
struct service {
  uint32_t granule, granules; /* its block; 0 = withdrawn */
  uint32_t count;             /* endpoints */
  bool inherited;             /* still what the writer before had published */
  uint64_t tables_key;        /* of its block's tables: catalog_tables_key */
  int64_t published_ns, build_ns;
};

/* An instance that the writer before knew, until somebody asks for its slot. */
struct heir {
  uint64_t key; /* hash of service and id; 0 = free bucket */
  uint32_t slot;
  uint32_t service; /* entry number */
};

struct catalog_writer {
  int dir, lock;
  struct arena arena;
  struct slots slots;
  struct directory directory;
  struct block_draft draft;
  struct service *services; /* by entry number */
  uint32_t service_room;
  struct heir *heirs; /* a hash table; NULL when there are none left */
  uint32_t heir_room; /* a power of two */
  uint64_t hash_seed;
  uint64_t version;
  int64_t opened_ns;
  uint64_t publishes, failed_publishes, live_services, live_endpoints;
};

/* A new entry, with room for what the writer remembers of it. Its number or a negative errno. */
int64_t writer_add_service(struct catalog_writer *w, const char *name);
/* Copies `bytes`, a multiple of 8, into a new run of granules. */
int writer_store_block(struct catalog_writer *w, const void *bytes, size_t length,
                       uint32_t *granule);
/* The entry's block is now this one; the one before rests. `version` 0: it does not move. */
void writer_switch(struct catalog_writer *w, uint32_t entry, uint32_t granule, size_t length,
                   uint32_t count, uint64_t version);

/* Fills the new file from an old one. What is damaged is left out. -ENOSPC, -ENOMEM. */
int takeover_copy(struct catalog_writer *w, const struct catalog_map *old);
/* Tells the readers of a file, open for writing, that another one is at the path. Closes `fd`. */
void takeover_retire(int fd);
/* Slots of instances that nobody asked for, whose service has been published anew, are freed. */
void takeover_settle(struct catalog_writer *w);
void takeover_end(struct catalog_writer *w);
