/* visit: a request under /v1/x/, which a plugin answers, whole or piece by piece. It crosses two
 * threads:
 *
 *     worker   visit_new ─► errand ─────────────────────────────► do_visit      control thread
 *              the client's connection  ◄── pieces, one at a time ── server_visit_write
 *              room for the next one, or the client is gone ─► do_visit_room, do_visit_gone
 *              the end of it ◄──────────────────── errand ───────── server_visit_end
 *
 * The question is immutable; what answers it has one owner at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct visit_pair {
  const char *name, *value;
};

struct visit {
  const char *method;                       /* "GET" ... */
  const char *route;                        /* NAME of /v1/x/NAME */
  const char *path;                         /* what follows it, decoded: "" or "/..." */
  const struct visit_pair *query, *headers; /* decoded; headers' names in lower case */
  size_t query_count, header_count;
  const char *body;
  size_t body_length;
  bool may_operate;          /* it came over a listener that may operate the agent */
  struct visit_pair pairs[]; /* and all of the text behind them: one allocation */
};

/* A whole answer, or the beginning of one (status > 0), or more of it. Its memory is its own. */
struct visit_answer {
  int status;
  char *headers; /* lines, each with its CRLF; NULL: none */
  char *body;    /* NULL: empty */
  size_t length;
  bool broken; /* the end of an answer that cannot be finished: the connection is closed */
};
/* Copies; NULL: out of memory. */
struct visit_answer *visit_answer_new(int status, const char *headers, const char *body,
                                      size_t length);
void visit_answer_free(struct visit_answer *a);
