/* Errands go through four hands. A worker posts one to `control`; `errands_deliver` asks the agent;
 * the agent's reply puts it into `replied`; and once the loop has passed both a prepare and a
 * check, by which the agent has flushed its sets, the view is committed and it returns to the
 * worker. */
#include "serve/server_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void list_add(struct errand_list *list, struct letter *l) {
  l->next = NULL;
  if (list->last)
    list->last->next = l;
  else
    list->first = l;
  list->last = l;
}

static struct letter *list_take(struct errand_list *list) {
  struct letter *l = list->first;
  if (l && !(list->first = l->next))
    list->last = NULL;
  return l;
}

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

static struct server *server_of(struct errand *e) {
  struct worker *w = e->worker;
  return w->commons->arg;
}

/* --- long ones --- */

static void long_begin(struct server *s, struct errand *e) {
  e->letter.next = s->under_way;
  s->under_way = &e->letter;
}

static void long_end(struct server *s, struct errand *e) {
  struct letter **link = &s->under_way;
  while (*link != &e->letter)
    link = &(*link)->next;
  *link = e->letter.next;
}

static struct errand *long_find(struct server *s, uint64_t number) {
  struct letter *l = s->under_way;
  while (l && ((struct errand *)l)->number != number)
    l = l->next;
  return (struct errand *)l;
}

static void on_reply(void *to, int status, const char *text) {
  struct errand *e = to;
  struct server *s = server_of(e);
  e->result = status;
  if (text && !(e->text = strdup(text)) && status == 0)
    e->result = -ENOMEM;
  s->asked--;
  if (errand_is_long(e))
    long_end(s, e);
  if (s->stopped) { /* nobody waits for it any more */
    errand_free(e);
    if (s->asked == 0)
      server_free(s);
    return;
  }
  list_add(&s->replied, &e->letter);
  uv_idle_start(&s->idle, on_idle);
}

/* --- visits --- */

int server_visit_write(void *to, struct visit_answer *piece) {
  struct errand *e = to, *p = errand_new(ERRAND_PIECE, NULL, NULL, NULL);
  struct worker *w = e->worker;
  if (!p) {
    visit_answer_free(piece);
    return -ENOMEM;
  }
  p->answer = piece;
  p->about = e;
  p->number = e->number;
  p->worker = w;
  if (!server_of(e)->closing && mailbox_post(&w->inbox, &p->letter))
    return 0;
  errand_free(p);
  return -EPIPE;
}

void server_visit_end(void *to, struct visit_answer *answer) {
  struct errand *e = to;
  e->answer = answer;
  on_reply(e, 0, NULL);
}

/* Word of a long errand, which may have been answered meanwhile. */
static void deliver_word(struct server *s, struct errand *word) {
  struct errand *e = long_find(s, word->number);
  bool gone = word->kind == ERRAND_GONE;
  errand_free(word);
  if (e && gone && e->kind == ERRAND_OPERATE)
    s->requests->do_operate_gone(s->arg, e);
  else if (e && gone)
    s->requests->do_visit_gone(s->arg, e);
  else if (e)
    s->requests->do_visit_room(s->arg, e);
}

void errands_on_prepare(uv_prepare_t *prepare) {
  struct server *s = prepare->data;
  struct letter *l;
  while ((l = list_take(&s->replied)))
    list_add(&s->sealed, l);
}

/* Hands the sealed replies to their workers. */
static void replies_send(struct server *s) {
  struct letter *l;
  while ((l = list_take(&s->sealed))) {
    struct worker *w = ((struct errand *)l)->worker;
    if (!mailbox_post(&w->inbox, l))
      errand_free((struct errand *)l);
  }
}

void errands_drop(struct server *s) {
  struct letter *l;
  while ((l = list_take(&s->replied)) || (l = list_take(&s->sealed)))
    errand_free((struct errand *)l);
}

void errands_on_check(uv_check_t *check) {
  struct server *s = check->data;
  if (!s->sealed.first)
    return;
  view_commit(s->view);
  replies_send(s);
  if (!s->replied.first)
    uv_idle_stop(&s->idle);
}

/* Hands it to the agent, whose reply may come within this call. */
static void ask(struct server *s, struct errand *e) {
  s->asked++;
  if (errand_is_long(e))
    long_begin(s, e);
  const struct server_requests *r = s->requests;
  switch (e->kind) {
  case ERRAND_REGISTER:
    r->do_register(s->arg, e->registration, on_reply, e);
    break;
  case ERRAND_DEREGISTER:
    r->do_deregister(s->arg, e->id, on_reply, e);
    break;
  case ERRAND_RENEW:
    r->do_renew(s->arg, e->id, on_reply, e);
    break;
  case ERRAND_CHECK:
    r->do_check(s->arg, e->id, e->status, e->output, on_reply, e);
    break;
  case ERRAND_METRICS:
    r->do_metrics(s->arg, on_reply, e);
    break;
  case ERRAND_STATUS:
    r->do_status(s->arg, on_reply, e);
    break;
  case ERRAND_PLUGINS:
    r->do_plugins(s->arg, on_reply, e);
    break;
  case ERRAND_POLICIES:
    r->do_policies(s->arg, on_reply, e);
    break;
  case ERRAND_RESOLVE:
    r->do_resolve(s->arg, e->id, on_reply, e);
    break;
  case ERRAND_EXPLAIN:
    r->do_explain(s->arg, e->id, on_reply, e);
    break;
  case ERRAND_OPERATE:
    r->do_operate(s->arg, e->id, e->output, on_reply, e);
    break;
  case ERRAND_VISIT:
    r->do_visit(s->arg, e->visit, e);
    break;
  case ERRAND_PIECE: /* only ever to a worker */
  case ERRAND_ROOM:  /* words of another, delivered to it */
  case ERRAND_GONE:
    break;
  }
}

void errands_deliver(void *server, struct letter *letter) {
  struct server *s = server;
  struct errand *e = (struct errand *)letter;
  if (!e) { /* woken: a worker may have ended */
    if (s->stopping && !s->closing && workers_are_over(s))
      server_close(s);
    else if (!s->stopping)
      workers_reap(s);
    return;
  }
  if (s->closing) { /* nobody waits for it any more */
    errand_free(e);
    return;
  }
  if (e->kind == ERRAND_ROOM || e->kind == ERRAND_GONE) {
    deliver_word(s, e);
    return;
  }
  ask(s, e);
}
