/* facts: what is true of this host, for the configuration's `host` and for defaults. */
#pragma once

#include <stddef.h>

struct value;

/* A table: name, os, arch (text), cpus, memory (bytes), addresses (a list: those of its interfaces,
 * loopback and link-local ones left out). NULL: no memory. */
struct value *facts_read(void);
