/* fetch_pool: the one curl multi handle of a loop, its sockets and its timer. For fetch.c. */
#pragma once

#include <curl/curl.h>

#include "io/inside.h"

/* One transfer in the pool. `over` comes once libcurl has returned, in the loop's next turn. */
struct transfer {
  struct later later;
  CURL *easy;
  struct fetch_pool *pool; /* while it runs */
  CURLcode code;
  bool running;
  bool spoiled;  /* its connection had something in it already: it is to have another */
  int no_socket; /* negative errno: why the last socket that it asked for could not be had */
  void (*over)(struct transfer *t);
};

/* The pool, made on first use with libcurl itself. */
int fetch_pool_of(struct io *io, struct fetch_pool **out);

/* A new easy handle, with what every transfer needs set: its sockets known to the pool, no signals,
 * no proxies, no name resolution unless transfer_literal. */
int transfer_open(struct fetch_pool *p, struct transfer *t, void (*over)(struct transfer *t));
/* plain: it goes over HTTP/1.1 in the clear. */
int transfer_start(struct fetch_pool *p, struct transfer *t, bool plain);
void transfer_stop(struct fetch_pool *p, struct transfer *t); /* keeps the easy handle */
void transfer_close(struct fetch_pool *p, struct transfer *t);
