/* resolve: names to addresses and services, on the loop (c-ares). A name server that does not
 * answer costs its askers their deadline and the loop nothing.
 *
 * Literals, /etc/hosts and localhost are answered without asking anyone; resolv.conf's servers and
 * search list are read again when the file changes. One question is asked once however many wait
 * for it, and its answer is kept for its TTL, at most a minute. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct io;
struct resolve; /* one wait for an answer */

enum resolve_type {
  RESOLVE_CONNECT, /* A and AAAA, in the order to try them (RFC 6724) */
  RESOLVE_A,
  RESOLVE_AAAA,
  RESOLVE_SRV,
};

struct resolve_record {
  uint32_t ttl;                    /* seconds; 0 for what does not come from a name server */
  int family;                      /* AF_INET, AF_INET6; AF_UNSPEC for SRV */
  uint16_t priority, weight, port; /* SRV only */
  char target[256]; /* the address as text, IPv6 without brackets; the host name for SRV */
};

struct resolve_answer {
  int status; /* 0; -ENOENT: no such name or record; -ETIMEDOUT, -ECONNREFUSED, -EREMOTEIO: no
                 answer */
  size_t count;
  struct resolve_record *records;
};

typedef void (*resolve_fn)(void *arg,
                           const struct resolve_answer *answer); /* valid during the call */

/* 0 or negative errno (-EINVAL: not a name). */
int resolve_start(struct io *io, const char *name, enum resolve_type type, uint64_t timeout_ms,
                  resolve_fn done, void *arg, struct resolve **out);
void resolve_cancel(struct resolve *r);

/* Asks these servers ("127.0.0.1:5353,[::1]:53") instead of resolv.conf's; NULL goes back to it.
 * While no question is in flight. */
int resolve_servers(struct io *io, const char *servers);
