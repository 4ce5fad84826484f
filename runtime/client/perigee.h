/* perigee.h: ask the perigee agent on this host which endpoint to use next.
 *
 *     struct perigee *p;  struct perigee_service *web;  struct perigee_endpoint e;
 *     perigee_open(&p, NULL);
 *     perigee_service_open(p, "web", &web);
 *     if (perigee_pick(web, NULL, &e) == 0) connect_to(e.address, e.port);
 *
 * Every function returns 0 or a negative errno, unless it says otherwise. A pick reads shared
 * memory: no lock, no allocation, no system call (but once after the agent was replaced).
 *
 * Caveats. A `struct perigee_service` belongs to one thread; open one a thread. A `struct perigee`
 * may be shared by threads, and is best the only one of its process: what its handles
 * have in flight counts for all of them, without an agent, too. A fork is noticed: the child may go
 * on with the handles it inherited. Picks go on while the agent is stopped, from what it last knew;
 * `perigee_info` tells how old that is. Who deletes the run directory under a running agent leaves
 * the processes that only pick with what they had; those that wait notice within a second. */
#ifndef PERIGEE_H
#define PERIGEE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PERIGEE_API
#define PERIGEE_API __attribute__((visibility("default")))
#endif

struct perigee;
struct perigee_service;

enum { PERIGEE_IP4 = 1, PERIGEE_IP6 = 2, PERIGEE_NAME = 3, PERIGEE_UNIX = 4 };
enum { PERIGEE_PASSING = 0, PERIGEE_WARNING = 1, PERIGEE_CRITICAL = 2 };

/* A copy: it stays what it was whatever happens to the snapshot. */
struct perigee_endpoint {
  uint64_t version; /* of the service's snapshot it came from */
  uint32_t slot,
      slot_generation; /* which instance it is, for the agent's life and the next one's */
  uint16_t port;       /* host order; 0: none */
  uint8_t family;      /* PERIGEE_IP4 ... */
  uint8_t status;      /* PERIGEE_PASSING ... */
  float weight;
  uint32_t index; /* its row in that snapshot */
  uint32_t address_length;
  char address[256]; /* text: an address, a name, or a unix socket's path */
  uint32_t ticket;   /* perigee_done's: the pick is counted until it is reported; else 0 */
};

enum {
  PERIGEE_TRACK = 1,     /* perigee_done will follow: count it as in flight until then */
  PERIGEE_NO_REPORT = 2, /* it will not: do not count it, whatever the balancer */
  PERIGEE_HASH = 4,      /* `hash` is the key's hash; `key` is not looked at */
  PERIGEE_RETRY = 8,     /* a retry, which implies PERIGEE_TRACK: only within the host's budget */
};

/* The budget for retries of a service, by all processes of the host together, or by this one where
 * no agent sums them up: at any moment so many in a hundred of its calls in flight may be retries,
 * but in any case so many. Envoy's values. That part of its own calls a process always has,
 * whatever the others do or say. Those who ask in the same moment may each be the last. */
enum { PERIGEE_RETRY_PERCENT = 20, PERIGEE_RETRY_LEAST = 3 };

/* NULL = all defaults. Zero-initialise, and set `size`; later versions add fields at the end. */
struct perigee_pick_options {
  uint32_t size;   /* sizeof(struct perigee_pick_options) */
  uint32_t flags;  /* PERIGEE_TRACK ...; the balancers that go by load imply PERIGEE_TRACK */
  const char *key; /* for balancers that hash; NULL = none */
  size_t key_length;
  const char *port; /* a named port; NULL = the default one */
  /* Not these, as long as there are others: what was tried before. Others are also the healthy ones
   * that a pick without this would not choose among: of a later tier, or outside of the subset. */
  const struct perigee_endpoint *avoid;
  size_t avoid_count;
  uint64_t hash; /* with PERIGEE_HASH; 64 bits that are spread evenly */
};

/* `run_dir` NULL: what perigee_run_dir says. -ENOENT: no agent ever ran there. -EPERM: the file is
 * neither root's nor one's own. -EPROTO: not a catalog, damaged, or of a layout that this library
 * does not know. */
PERIGEE_API int perigee_open(struct perigee **p, const char *run_dir);
PERIGEE_API void perigee_close(struct perigee *p); /* after its services; NULL is allowed */

/* $PERIGEE_RUN_DIR, else $XDG_RUNTIME_DIR/perigee or /tmp/perigee-UID if a catalog is in it, else
 * /run/perigee. -ENAMETOOLONG: `size` is too small. */
PERIGEE_API int perigee_run_dir(char *path, size_t size);

/* Also for a service that is not there yet: picks say -ENOENT until it is. An agent that runs is
 * told, and may watch it from then on, for as long as calls are reported. -EINVAL: the name is
 * empty or longer than 255 bytes. */
PERIGEE_API int perigee_service_open(struct perigee *p, const char *name,
                                     struct perigee_service **s);
PERIGEE_API void perigee_service_close(struct perigee_service *s); /* NULL is allowed */

/* Chooses the next endpoint. -ENOENT: no such service (yet); -EHOSTUNREACH: it has nothing to pick;
 * -EAGAIN: the writer was faster three times over, call again; -ENXIO: the endpoint that was chosen
 * has no port of the name asked for; -EDQUOT: a retry beyond the budget; -EPROTO: the file is
 * damaged. Nothing else; *endpoint is
 * undefined after a failure. */
PERIGEE_API int perigee_pick(struct perigee_service *s, const struct perigee_pick_options *options,
                             struct perigee_endpoint *endpoint);

/* The same, with the endpoint's id in the same read of shared memory: cheaper than asking for it
 * afterwards, and never that of another snapshot. `size` counts the NUL; what is behind it, up to
 * `size`, may be overwritten. -ENOSPC: the id did not fit. */
PERIGEE_API int perigee_pick_id(struct perigee_service *s,
                                const struct perigee_pick_options *options,
                                struct perigee_endpoint *endpoint, char *id, size_t size);

/* Sleeps until the service's version is not `version` any more, or `timeout_ms` is over (-1: for
 * ever). 0: it moved, see perigee_version; -ETIMEDOUT; -EINTR: a signal came. Also wakes for a
 * service that appears or ends. */
PERIGEE_API int perigee_wait(struct perigee_service *s, uint64_t version, int timeout_ms);
PERIGEE_API uint64_t perigee_version(struct perigee_service *s); /* 0: not there */

/* All endpoints of one snapshot, critical ones too: fills up to `room` and returns how many there
 * are, or -ENOENT, -EAGAIN, -EPROTO. Those that picks choose among come first. */
PERIGEE_API int perigee_list(struct perigee_service *s, struct perigee_endpoint *endpoints,
                             int room);

/* The strings of an endpoint: "id", "zone", "tag:0" (the first tag), "meta:KEY", "port:NAME" (a
 * number in decimal). Copies with its NUL into `text` and returns the length; -ENOENT: it has none
 * of that; -EINVAL: none of these words; -ENOSPC: `size` is too small; -ESTALE: the endpoint is no
 * longer in the catalog; -EAGAIN and -EPROTO as perigee_pick. The endpoint is looked for by its
 * slot in the snapshot that is current now. */
PERIGEE_API int perigee_endpoint_text(struct perigee_service *s,
                                      const struct perigee_endpoint *endpoint, const char *what,
                                      char *text, size_t size);
/* The i-th meta key (0-based), to walk them. Same returns. */
PERIGEE_API int perigee_endpoint_meta_key(struct perigee_service *s,
                                          const struct perigee_endpoint *endpoint, int i,
                                          char *text, size_t size);

struct perigee_service_info {
  uint32_t size; /* set it to sizeof(struct perigee_service_info) before the call */
  uint32_t endpoints, healthy;
  uint32_t pickable; /* what picks choose among */
  int fail_open;     /* none is healthy: picks choose among the critical ones */
  int stale;         /* its source cannot be reached; this is what was last known */
  uint64_t version;
  uint64_t published_us; /* Unix time */
  char balancer[32];
  uint64_t stale_ms; /* for how long it has been stale; 0: it is not */
};
/* -ENOENT, -EAGAIN, -EPROTO as perigee_pick; -EINVAL: `size` is not set. */
PERIGEE_API int perigee_service_info(struct perigee_service *s, struct perigee_service_info *info);

/* The services' names: calls `each` until it returns non-zero; returns what it returned. */
PERIGEE_API int perigee_services(struct perigee *p, int (*each)(void *arg, const char *name),
                                 void *arg);

struct perigee_info {
  uint32_t size; /* set it to sizeof(struct perigee_info) before the call */
  int agent_pid;
  int agent_alive; /* its heartbeat is younger than 5 s and its process lives */
  uint64_t heartbeat_age_ms;
  uint64_t version; /* the highest of the catalog */
  uint32_t services, endpoints;
  uint64_t bytes;
};
PERIGEE_API int perigee_info(struct perigee *p, struct perigee_info *info);

/* What became of a call. */
enum {
  PERIGEE_SUCCESS = 0,
  PERIGEE_SERVER_ERROR = 1, /* it answered that it failed */
  PERIGEE_TIMEOUT = 2,
  PERIGEE_CONNECT_FAILURE = 3, /* it was not reached: refused, no route; nothing was sent */
  PERIGEE_ABANDONED = 4,       /* nobody waits for its end any more; nobody judges it */
};

/* Reports the call that a pick was for: how it ended and how long it took. Balancers that go by
 * load, and the agent's outlier detection, live on it, in every process of the host. Once a pick;
 * the endpoint's ticket is spent. Any thread may report, one at a time for each endpoint. A pick
 * that is never reported counts as in flight for at most nine minutes; a process that ends takes
 * its picks with it. No lock, no allocation, no system call (but to wake an agent that is not
 * reading). -EINVAL: no such outcome, or an endpoint that no pick gave. Whoever reports an instance
 * that has left meanwhile is ignored. */
PERIGEE_API int perigee_done(struct perigee_service *s, struct perigee_endpoint *endpoint,
                             int outcome, uint64_t latency_ns);

/* ---- calling with retries ----
 *
 * One call of a service, as a few tries of its endpoints within one deadline: never the same
 * endpoint twice while another is left, with a pause between two that grows and is random, and
 * within the host's budget. A connect failure may always be tried again; what may have reached a
 * back end only when the call is said to be idempotent.
 *
 * perigee_call does it all for who may block. Who may not goes step by step: perigee_tries_next
 * says whom to try, or how long to wait before asking again; perigee_tries_done how that went. */
enum { PERIGEE_TRIES_MAX = 8 };

enum {
  PERIGEE_IDEMPOTENT = 1
}; /* doing it twice is as good as once: all failures may be retried */

/* NULL = all defaults. Zero-initialise, and set `size`. */
struct perigee_call_options {
  uint32_t size;       /* sizeof(struct perigee_call_options) */
  uint32_t flags;      /* PERIGEE_IDEMPOTENT */
  uint32_t tries;      /* at most, the first included; 0 = 3; PERIGEE_TRIES_MAX at most */
  uint32_t timeout_ms; /* for all of them together; 0 = 5,000 */
  /* The pause before retry n is random, below least * 2^n and `backoff_most_ms`; 0 = 25 and 250. */
  uint32_t backoff_ms, backoff_most_ms;
  /* When a try has not ended after so long, another is made beside it, and the first to succeed
   * counts; 0 = never. Only for idempotent calls, and only step by step: who blocks in a try makes
   * no other beside it. */
  uint32_t hedge_ms;
  const struct perigee_pick_options
      *pick; /* key, port; NULL = none. Its `avoid` is not looked at */
};

/* What became of each try, in order. */
struct perigee_try {
  int outcome; /* PERIGEE_SUCCESS ...; -1: it has not ended */
  uint64_t latency_ns;
  char message[112]; /* of a failure, as its caller put it; "" */
};

/* One call's tries; belongs to the handle's thread. To be read, not written. */
struct perigee_tries {
  struct perigee_service *service;
  struct perigee_call_options options; /* with the defaults filled in */
  uint32_t count, open;                /* tries so far; those that have not ended */
  int winner;                          /* the first that succeeded, or -1 */
  uint64_t deadline_ns;                /* CLOCK_MONOTONIC */
  uint64_t next_ns;                    /* not before */
  uint64_t wait_ns;                    /* after a 1 of perigee_tries_next */
  struct perigee_endpoint endpoints[PERIGEE_TRIES_MAX];
  struct perigee_try tries[PERIGEE_TRIES_MAX];
};

PERIGEE_API void perigee_tries_begin(struct perigee_tries *t, struct perigee_service *s,
                                     const struct perigee_call_options *options);

/* 0: try `endpoints[count - 1]` now, until `deadline_ns`, and report it. 1: ask again after
 * `wait_ns`, or when a try has ended. Else the call is over, and what is still open is to be
 * abandoned: -EALREADY: it has succeeded; -ETIMEDOUT: the deadline has come, or would before the
 * next try; -EREMOTEIO: as many tries as there may be have failed, or one that must not be
 * repeated; -EDQUOT: the host retries as much as it may; or perigee_pick's errors. */
PERIGEE_API int perigee_tries_next(struct perigee_tries *t);

/* Try `i` ended like this: perigee_done, with `message` (NULL: none) kept for a failure. -EINVAL:
 * there is none of that number, or it has ended before. */
PERIGEE_API int perigee_tries_done(struct perigee_tries *t, uint32_t i, int outcome,
                                   uint64_t latency_ns, const char *message);

/* The failures in order, as "10.0.0.1:80: connect failure: MESSAGE; 10.0.0.2:80: timeout"; cut to
 * `size`, which is at least 1. */
PERIGEE_API void perigee_tries_text(const struct perigee_tries *t, char *text, size_t size);

/* Makes one try, until `deadline_ns` (CLOCK_MONOTONIC): an outcome, and a message of at most `size`
 * bytes with its NUL for a failure. */
typedef int (*perigee_try_fn)(void *arg, const struct perigee_endpoint *endpoint,
                              uint64_t deadline_ns, char *message, size_t size);

/* Tries, and sleeps between tries, until it is over: 0, or as perigee_tries_next. `t` has what was
 * tried; NULL when that does not matter. */
PERIGEE_API int perigee_call(struct perigee_service *s, const struct perigee_call_options *options,
                             perigee_try_fn attempt, void *arg, struct perigee_tries *t);

#ifdef __cplusplus
}
#endif
#endif
