/* exchange: one request and its answer, and the site that handlers work at. No sockets here: a
 * connection, or a fuzzer, fills in the request, runs it, and sends what is in `out`.
 * Worker thread only. */
#pragma once

#include "base/buf.h"
#include "serve/exchange/counters.h"
#include "serve/exchange/errand.h"
#include "serve/exchange/params.h"
#include "serve/view/parking.h"
#include "serve/view/view.h"

#include <stdatomic.h>

struct picks;
struct exchange;

/* What a worker's handlers have at hand. One a worker. */
struct site {
  struct view *view;
  unsigned worker; /* its number in the view */
  struct picks *picks;
  struct parking *parking; /* NULL: nothing may wait, any more */
  const char *version;
  const atomic_bool *ready;
  struct counters *counters;           /* this worker's */
  const struct counters *all_counters; /* every worker's, for /metrics */
  const _Atomic unsigned *all_count;
  void *owner;                                      /* goes into errand.worker */
  void (*ask)(struct site *site, struct errand *e); /* takes it over */
  struct buf value;                                 /* scratch: one string of the catalog's */
  struct buf body, text; /* scratch: the answer being written; names and queries being decoded */
  struct params params;  /* of the request being handled */
  char date[96];         /* "Date: ...\r\n", and whose answer it is (identity.h) */
  size_t date_length;
  int64_t date_second; /* of the loop's time; begins at -1 */
};

struct exchange {
  struct site *site;
  /* the request */
  uint8_t method;          /* llhttp's */
  bool keep_alive, http10; /* http10: asked in HTTP/1.0 */
  bool may_operate;        /* came over a listener that may operate the agent */
  const char *target;      /* path and query as they came; not terminated */
  size_t target_length;
  const struct buf *request_body;
  const struct buf *request_headers; /* "name: value\n" each; kept for what a plugin answers */
  /* while it is handled */
  const struct route *route; /* NULL: none */
  const struct view_root *root;
  const char *name; /* what the pattern's '*' took, decoded; else "" */
  size_t name_length;
  struct errand *errand; /* asked and not yet answered */
  struct parked parked;  /* it waits for news (blocking.h) */
  int64_t until_ns;      /* it waits no longer; 0: it has not waited yet */
  bool over;             /* that time has come: to be answered as things are */
  int64_t began_ns;
  /* what the answer's headers say */
  uint64_t index;        /* X-Consul-Index and its kin, when not 0 */
  uint64_t content_hash; /* X-Consul-Contenthash, when not 0 */
  bool known_leader;     /* false: what is answered is stale */
  bool stale_allowed;    /* the client said ?stale */
  bool pretty;
  const char *allow;        /* the Allow header, when not NULL */
  const char *more_headers; /* whole lines, when not NULL */
  /* the answer */
  struct buf *out; /* it is appended here, headers and all */
  int status;      /* 0 until it is answered */
  bool streaming;  /* the head is out, and pieces follow (answer_more) */
  int64_t head_ns; /* when it was, of one that streams */
};

/* 0 or -ENOMEM. Counters and pointers are the caller's to fill in before. */
void site_free(struct site *site);
/* The Date header follows the loop's time, in milliseconds; once per request. */
void site_clock(struct site *site, uint64_t now_ms);

static inline bool exchange_waits(const struct exchange *x) {
  return x->errand || parked_is(&x->parked);
}
/* --- for handlers --- */

/* NULL: not there. */
const char *exchange_param(const struct exchange *x, const char *key);
/* Sends `e` off with the exchange's leave; NULL answers 503 out of memory. */
void exchange_ask(struct exchange *x, struct errand *e);
