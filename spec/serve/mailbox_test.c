/* The mailbox: letters of several threads arrive, each sender's in its order; none after a close.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "serve/exchange/mailbox.h"

enum { SENDERS = 3, LETTERS = 20000 };

struct numbered {
  struct letter letter;
  unsigned sender, number;
};

struct post_office {
  uv_loop_t loop;
  struct mailbox box;
  unsigned next[SENDERS], arrived, wakes;
  bool to_the_end; /* closes itself after the last one */
  atomic_uint lost;
};

struct sender {
  struct post_office *office;
  unsigned number;
};

static void deliver(void *arg, struct letter *letter) {
  struct post_office *o = arg;
  struct numbered *n = (struct numbered *)letter;
  if (!n) {
    o->wakes++;
    return;
  }
  assert_int_equal(n->number, o->next[n->sender]);
  o->next[n->sender]++;
  o->arrived++;
  free(n);
  if (o->to_the_end && o->arrived == SENDERS * LETTERS)
    mailbox_close(&o->box, NULL);
}

static void send_all(void *arg) {
  struct sender *s = arg;
  for (unsigned i = 0; i < LETTERS; i++) {
    struct numbered *n = calloc(1, sizeof *n);
    n->sender = s->number;
    n->number = i;
    if (!mailbox_post(&s->office->box, &n->letter)) {
      atomic_fetch_add(&s->office->lost, 1);
      free(n);
    }
  }
}

static void all_letters_arrive_in_order(void **state) {
  (void)state;
  struct post_office o = {.to_the_end = true};
  uv_thread_t threads[SENDERS];
  struct sender senders[SENDERS];
  uv_loop_init(&o.loop);
  assert_int_equal(mailbox_open(&o.box, &o.loop, deliver, &o), 0);
  for (unsigned i = 0; i < SENDERS; i++) {
    senders[i] = (struct sender){.office = &o, .number = i};
    uv_thread_create(&threads[i], send_all, &senders[i]);
  }
  uv_run(&o.loop, UV_RUN_DEFAULT);
  for (unsigned i = 0; i < SENDERS; i++)
    uv_thread_join(&threads[i]);
  assert_int_equal(o.arrived, SENDERS * LETTERS);
  assert_int_equal(o.lost, 0);
  assert_true(o.wakes > 0);
  struct letter late;
  assert_false(mailbox_post(&o.box, &late));
  mailbox_wake(&o.box); /* harmless */
  mailbox_free(&o.box);
  assert_int_equal(uv_loop_close(&o.loop), 0);
}

/* A close while others post: every letter is delivered or given back, none is lost. */
static void a_close_among_senders(void **state) {
  (void)state;
  struct post_office o = {0};
  uv_thread_t threads[SENDERS];
  struct sender senders[SENDERS];
  uv_loop_init(&o.loop);
  assert_int_equal(mailbox_open(&o.box, &o.loop, deliver, &o), 0);
  for (unsigned i = 0; i < SENDERS; i++) {
    senders[i] = (struct sender){.office = &o, .number = i};
    uv_thread_create(&threads[i], send_all, &senders[i]);
  }
  uv_run(&o.loop, UV_RUN_ONCE);
  mailbox_close(&o.box, NULL);
  uv_run(&o.loop, UV_RUN_DEFAULT);
  for (unsigned i = 0; i < SENDERS; i++)
    uv_thread_join(&threads[i]);
  assert_int_equal(o.arrived + o.lost, SENDERS * LETTERS);
  mailbox_free(&o.box);
  assert_int_equal(uv_loop_close(&o.loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_letters_arrive_in_order),
      cmocka_unit_test(a_close_among_senders),
  };
  return cmocka_run_group_tests_name("serve mailbox", tests, NULL, NULL);
}
