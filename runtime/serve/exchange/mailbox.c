#include "serve/exchange/mailbox.h"

static struct letter *mailbox_take(struct mailbox *m) {
  uv_mutex_lock(&m->lock);
  struct letter *all = m->first;
  m->first = m->last = NULL;
  uv_mutex_unlock(&m->lock);
  return all;
}

static void mailbox_drain(struct mailbox *m) {
  struct letter *next;
  for (struct letter *l = mailbox_take(m); l; l = next) {
    next = l->next; /* `deliver` may free it, or post it elsewhere */
    m->deliver(m->arg, l);
  }
}

static void on_bell(uv_async_t *bell) {
  struct mailbox *m = bell->data;
  mailbox_drain(m);
  m->deliver(m->arg, NULL);
}

int mailbox_open(struct mailbox *m, uv_loop_t *loop,
                 void (*deliver)(void *arg, struct letter *letter), void *arg) {
  *m = (struct mailbox){.deliver = deliver, .arg = arg};
  int r = uv_mutex_init(&m->lock);
  if (r != 0)
    return r;
  r = uv_async_init(loop, &m->bell, on_bell);
  if (r != 0)
    uv_mutex_destroy(&m->lock);
  m->bell.data = m;
  return r;
}

bool mailbox_post(struct mailbox *m, struct letter *letter) {
  letter->next = NULL;
  uv_mutex_lock(&m->lock);
  bool open = !m->closed;
  if (open) {
    if (m->last)
      m->last->next = letter;
    else
      m->first = letter;
    m->last = letter;
    uv_async_send(&m->bell); /* inside the lock: afterwards the bell may be closed */
  }
  uv_mutex_unlock(&m->lock);
  return open;
}

void mailbox_wake(struct mailbox *m) {
  uv_mutex_lock(&m->lock);
  if (!m->closed)
    uv_async_send(&m->bell);
  uv_mutex_unlock(&m->lock);
}

void mailbox_close(struct mailbox *m, uv_close_cb closed) {
  uv_mutex_lock(&m->lock);
  m->closed = true;
  uv_mutex_unlock(&m->lock);
  mailbox_drain(m);
  uv_close((uv_handle_t *)&m->bell, closed);
}

void mailbox_free(struct mailbox *m) {
  uv_mutex_destroy(&m->lock);
}
