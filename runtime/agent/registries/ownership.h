/* ownership: what marks our entries in every registry, as MADE_AS/NUMBER: a number, so that two
 * agents of one name do not sweep each other's, and for those who read it the node's name when it
 * was made. Kept in the data directory, with the node and the machine that it is of: a node that is
 * renamed by a reload is still the owner of what it has registered; an agent that begins under
 * another name, or on another machine, has been given somebody's data directory, and is another
 * owner. Control thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct store;

enum { MACHINE_LENGTH = 32 };

struct ownership {
  struct store *store;
  uint64_t number;
  char made_as[256], node[256];
  char machine[MACHINE_LENGTH + 1]; /* of /etc/machine-id; "": not known */
  char owner[256 + 18];             /* MADE_AS/NUMBER */
  bool known;
  bool copied; /* the data directory was another one's: the leases in it are not ours */
};

/* What the store knows of it, or a new one. At start, before any change of the store. */
void ownership_recall(struct ownership *own, struct store *store, const char *node);
void ownership_rename(struct ownership *own, const char *node); /* the node's name from now on */
