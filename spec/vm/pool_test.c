/* The pool of an isolate: pieces that do not touch, are used again, and go with it. */
#include "vm/isolate/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void sizes_of_a_step_are_the_same(void **state) {
  (void)state;
  assert_true(pool_same(1, POOL_STEP));
  assert_true(pool_same(POOL_STEP + 1, 2 * POOL_STEP));
  assert_false(pool_same(POOL_STEP, POOL_STEP + 1));
  assert_false(pool_same(POOL_MOST, POOL_MOST + 1));
  assert_false(pool_has(POOL_MOST + 1));
}

static void what_is_given_back_is_taken_again(void **state) {
  struct pool p = {0};
  (void)state;
  for (size_t size = 1; size <= POOL_MOST; size++) {
    void *one = pool_take(&p, size), *other = pool_take(&p, size);
    assert_ptr_not_equal(one, other);
    assert_int_equal((uintptr_t)one % POOL_STEP, 0);
    pool_give(&p, one, size);
    assert_ptr_equal(pool_take(&p, size), one);
    pool_give(&p, other, size);
    pool_give(&p, one, size);
    assert_ptr_equal(pool_take(&p, size), one); /* the last given is the first, as it is warm */
    pool_give(&p, one, size);
  }
  pool_free(&p);
}

/* Each piece keeps what is written to it while thousands of others come and go. */
static void pieces_do_not_touch(void **state) {
  enum { PIECES = 3000, ROUNDS = 60000 };
  static struct {
    unsigned char *at, value;
    size_t size;
  } pieces[PIECES];
  struct pool p = {0};
  uint32_t seed = 20261122;
  (void)state;
  for (int i = 0; i < ROUNDS; i++) {
    seed = seed * 1664525 + 1013904223;
    size_t k = seed / 7 % PIECES;
    for (size_t b = 0; pieces[k].at && b < pieces[k].size; b++)
      assert_int_equal(pieces[k].at[b], pieces[k].value);
    if (pieces[k].at)
      pool_give(&p, pieces[k].at, pieces[k].size);
    pieces[k].size = 1 + (seed >> 20) % POOL_MOST;
    pieces[k].value = (unsigned char)(seed >> 8);
    pieces[k].at = pool_take(&p, pieces[k].size);
    memset(pieces[k].at, pieces[k].value, pieces[k].size);
  }
  pool_free(&p);
}

/* A block more only where no piece was given back. */
static void what_comes_and_goes_needs_no_more(void **state) {
  struct pool p = {0};
  void *pieces[500];
  (void)state;
  for (int i = 0; i < 500; i++)
    pieces[i] = pool_take(&p, 100);
  struct pool_block *newest = p.blocks;
  char *at = p.at;
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 500; i++)
      pool_give(&p, pieces[i], 100);
    for (int i = 0; i < 500; i++)
      pieces[i] = pool_take(&p, 97);
  }
  assert_ptr_equal(p.blocks, newest);
  assert_ptr_equal(p.at, at);
  pool_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes_of_a_step_are_the_same),
      cmocka_unit_test(what_is_given_back_is_taken_again),
      cmocka_unit_test(pieces_do_not_touch),
      cmocka_unit_test(what_comes_and_goes_needs_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
