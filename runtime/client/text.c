#include "client/handle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 3 };

/* What is asked for of an endpoint. */
struct question {
  enum { ASK_TEXT, ASK_META, ASK_PORT } form;
  enum catalog_text_kind kind; /* ASK_TEXT */
  uint32_t i;
  const char *name; /* of a meta key or a port */
};

static int parse(const char *what, struct question *q) {
  *q = (struct question){.form = ASK_TEXT};
  if (strcmp(what, "id") == 0) {
    q->kind = CATALOG_ID;
  } else if (strcmp(what, "zone") == 0) {
    q->kind = CATALOG_ZONE;
  } else if (strncmp(what, "tag:", 4) == 0) {
    char *end;
    unsigned long i = strtoul(what + 4, &end, 10);
    if (what[4] < '0' || what[4] > '9' || *end || i > UINT16_MAX)
      return -EINVAL;
    q->kind = CATALOG_TAG;
    q->i = (uint32_t)i;
  } else if (strncmp(what, "meta:", 5) == 0) {
    q->form = ASK_META;
    q->name = what + 5;
  } else if (strncmp(what, "port:", 5) == 0) {
    q->form = ASK_PORT;
    q->name = what + 5;
  } else {
    return -EINVAL;
  }
  return 0;
}

static bool is_slot(const struct catalog_view *v, uint32_t row, const struct perigee_endpoint *e) {
  return row < v->count && catalog_load32(&v->rows[row].slot) == e->slot &&
         catalog_load32(&v->rows[row].slot_generation) == e->slot_generation;
}

/* The endpoint's row in the view: mostly where it was, else wherever it has moved to. */
static bool find_row(const struct catalog_view *v, const struct perigee_endpoint *e,
                     uint32_t *row) {
  *row = e->index;
  if (is_slot(v, *row, e))
    return true;
  for (*row = 0; *row < v->count; ++*row)
    if (is_slot(v, *row, e))
      return true;
  return false;
}

static int answer(const struct catalog_view *v, uint32_t row, const struct question *q, char *to,
                  size_t size) {
  struct catalog_text text;
  if (q->form == ASK_PORT) {
    int port = catalog_view_port(v, row, q->name, strlen(q->name));
    int n = port < 0 ? 0 : snprintf(to, size, "%d", port);
    return port < 0 ? -ENOENT : (size_t)n < size ? n : -ENOSPC;
  }
  bool found = q->form == ASK_META ? catalog_view_meta(v, row, q->name, strlen(q->name), &text)
                                   : catalog_view_text(v, row, q->kind, q->i, &text);
  if (!found)
    return -ENOENT;
  if (text.length >= size)
    return -ENOSPC;
  catalog_view_copy(v, text, to);
  to[text.length] = 0;
  return (int)text.length;
}

static int ask(struct perigee_service *s, const struct perigee_endpoint *e,
               const struct question *q, char *to, size_t size) {
  for (int i = 0; i < TRIES; i++) {
    uint32_t row;
    int r = client_refresh(s);
    if (r < 0 && r != -EAGAIN)
      return r == -ENOENT ? -ESTALE : r;
    if (r == 0)
      r = find_row(&s->view, e, &row) ? answer(&s->view, row, q, to, size) : -ESTALE;
    if (r == -EAGAIN || !catalog_view_holds(&s->view)) {
      s->current = CLIENT_NEVER;
      continue;
    }
    return r;
  }
  return -EAGAIN;
}

int perigee_endpoint_text(struct perigee_service *s, const struct perigee_endpoint *endpoint,
                          const char *what, char *text, size_t size) {
  struct question q;
  int r = parse(what, &q);
  return r < 0 ? r : ask(s, endpoint, &q, text, size);
}

int perigee_endpoint_meta_key(struct perigee_service *s, const struct perigee_endpoint *endpoint,
                              int i, char *text, size_t size) {
  struct question q = {.form = ASK_TEXT, .kind = CATALOG_META_KEY, .i = (uint32_t)i};
  return i < 0 ? -ENOENT : ask(s, endpoint, &q, text, size);
}
