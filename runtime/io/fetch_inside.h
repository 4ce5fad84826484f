/* fetch_inside: what fetch.c, fetch_request.c and fetch_response.c share. */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "io/beneath.h"
#include "io/fetch.h"
#include "io/fetch_pool.h"
#include "io/resolve.h"

/* Where a URL leads. */
struct origin {
  char *scheme, *host, *port; /* libcurl's memory; an IPv6 host has its brackets */
  bool literal;
};

/* What is left of the options once the easy handle has them. */
struct request {
  char method[16];
  char *url; /* of this hop */
  struct origin origin;
  char *server_name, *unix_path;
  struct beneath socket; /* what the path leads to, where that matters */
  struct tls_held tls;   /* the same of its files */
  bool certified;        /* it has a client's certificate to show */
  struct curl_slist *headers, *resolve, *connect_to;
  bool send, stream;
  bool stay;
  unsigned redirects_left; /* 0: none is followed; the last one fails */
  size_t limit;
};

/* What has arrived. `text` holds the header lines of the last block, cut into names and values. */
struct response {
  struct fetch_response public;
  struct buf text;
  size_t *offsets; /* of each name in `text`, followed by its value's */
  size_t count, capacity;
  struct fetch_header *headers;
  struct buf body;
  char reason[64];
  size_t discarded; /* bytes of a redirect's body */
  bool head;        /* complete, and not of a redirect that is followed */
  bool following;
  int error; /* why the body was refused: -EMSGSIZE, -ENOBUFS, -ENOMEM */
};

struct fetch {
  struct io *io;
  struct fetch_pool *pool;
  struct transfer transfer;
  struct resolve *resolve; /* while the name is asked for */
  uv_timer_t timer;        /* the deadline of `done`, then of a read */
  struct later deliver;
  struct request request;
  struct response response;
  fetch_fn done; /* NULL once called */
  void *arg;
  bool over, closed;
  struct fetch_budget *budget;
  size_t charged; /* to the budget */
  bool receive_paused, send_paused;
  struct fault fault; /* code != 0: failed */

  fetch_read_fn read_done; /* NULL: nobody reads */
  void *read_arg;

  struct buf out; /* of a streamed request, not yet passed on */
  size_t out_taken;
  bool finished; /* no more will be written */
  fetch_write_fn write_done;
  void *write_arg;
  char error_text[CURL_ERROR_SIZE];
};

/* fetch_request.c */
int request_open(struct fetch *f, const struct fetch_options *options, struct fault *fault);
void request_close(struct request *r);
/* Tells libcurl where the origin is; `answer` NULL when nothing had to be resolved. */
int request_route(struct fetch *f, const struct resolve_answer *answer);
/* The name to resolve for this hop (malloc'd in `name`), or NULL there: unix sockets, literals. */
int request_name(const struct fetch *f, char **name);
/* Turns the request into the one that the redirect asks for. */
int request_redirect(struct fetch *f, int status, const char *url);

/* fetch.c: bytes of a body that come to be held, 0 or -ENOBUFS; and that no longer are. */
int fetch_charge(struct fetch *f, size_t bytes);
void fetch_release(struct fetch *f, size_t bytes);

/* fetch_response.c */
void response_open(struct fetch *f); /* sets the callbacks */
void response_close(struct response *r);
const struct fetch_response *response_public(struct fetch *f);
