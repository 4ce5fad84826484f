/* The balancers that go by a key: the same answer whatever the order of the endpoints, shares by
 * weight, and how many keys a change moves, against the least that it must. */
#include "select/fixture.h"

enum { KEYS = 40000, COUNT = 50 };

static const char *const hashing[] = {"maglev", "ring", "rendezvous", "maglev_bounded"};
enum { HASHING = sizeof hashing / sizeof hashing[0] };

static void answers(const struct catalog_view *v, uint32_t *numbers) {
  for (uint64_t key = 0; key < KEYS; key++)
    numbers[key] = pick_key(v, key);
}

/* XXH64's own test vectors. */
static void hash_vectors(void **state) {
  unsigned char bytes[222];
  uint64_t generator = 2654435761u;
  for (size_t i = 0; i < sizeof bytes; i++, generator *= 11400714785074694797u)
    bytes[i] = (unsigned char)(generator >> 56);
  assert_true(select_hash("", 0) == 0xEF46DB3751D8E999u);
  assert_true(select_hash("a", 1) == 0xD24EC4F1A98C6E5Bu);
  assert_true(select_hash("abc", 3) == 0x44BC2CF5AD770999u);
  assert_true(select_hash(bytes, 1) == 0xE934A84ADB052768u);
  assert_true(select_hash(bytes, 14) == 0x8282DCC4994E35C8u);
  assert_true(select_hash(bytes, 222) == 0xB641AE8CB691C174u);
}

static void order_does_not_matter(void **state) {
  static uint32_t before[KEYS], after[KEYS];
  struct select_state random = {.random = 17};
  for (uint32_t b = 0; b < HASHING; b++) {
    fill(COUNT, 1);
    for (uint32_t i = 0; i < COUNT; i++)
      endpoints[i].weight = b % 2 ? 1 : 1 + i % 3;
    struct catalog_view v = build(hashing[b], COUNT);
    answers(&v, before);
    for (uint32_t i = COUNT - 1; i > 0; i--) {
      uint32_t j = (uint32_t)(select_random_next(&random) % (i + 1));
      struct catalog_endpoint e = endpoints[i];
      endpoints[i] = endpoints[j];
      endpoints[j] = e;
    }
    v = build(hashing[b], COUNT);
    answers(&v, after);
    assert_memory_equal(before, after, sizeof before);
  }
}

/* A key alone decides, not the handle that asks; and an attempt asks for another. */
static void the_key_decides(void **state) {
  for (uint32_t b = 0; b < HASHING; b++) {
    uint32_t others = 0;
    fill(COUNT, 1);
    struct catalog_view v = build(hashing[b], COUNT);
    for (uint64_t key = 0; key < 1000; key++) {
      struct select_state s = {.random = key * 77, .cursor = (uint32_t)key};
      struct select_ask ask = {.hash = key, .keyed = true};
      uint32_t number = pick_number(&s, &v, &ask);
      assert_int_equal(number, pick_key(&v, key));
      ask.attempt = 1;
      others += pick_number(&s, &v, &ask) != number;
    }
    assert_true(others > 900);
  }
}

static void shares_go_by_weight(void **state) {
  static uint32_t numbers[KEYS];
  for (uint32_t b = 0; b < HASHING; b++) {
    uint32_t counts[COUNT] = {0};
    double sum = 0;
    fill(COUNT, 1);
    for (uint32_t i = 0; i < COUNT; i++)
      sum += endpoints[i].weight = 1 + i % 4;
    struct catalog_view v = build(hashing[b], COUNT);
    answers(&v, numbers);
    for (uint32_t k = 0; k < KEYS; k++)
      counts[numbers[k]]++;
    for (uint32_t i = 0; i < COUNT; i++) {
      double expected = KEYS * endpoints[i].weight / sum, off = counts[i] / expected;
      /* Sampling alone has a deviation of 6 %; a ring of 100 points adds 10 %. */
      assert_true(strcmp(hashing[b], "ring") == 0 ? off > 0.55 && off < 1.5
                                                  : off > 0.75 && off < 1.25);
    }
  }
}

/* One endpoint leaves, and comes back: its own keys move, and of the others what the algorithm's
 * bound allows: none for ring and rendezvous, few for Maglev. */
static void disruption(void **state) {
  static uint32_t all[KEYS], less[KEYS];
  for (uint32_t b = 0; b < HASHING; b++)
    for (uint32_t gone = 0; gone < COUNT; gone += 7) {
      uint32_t own = 0, others = 0;
      fill(COUNT, 2);
      struct catalog_view v = build(hashing[b], COUNT);
      answers(&v, all);
      endpoints[gone] = endpoints[COUNT - 1];
      v = build(hashing[b], COUNT - 1);
      answers(&v, less);
      for (uint32_t k = 0; k < KEYS; k++) {
        own += all[k] == gone;
        others += all[k] != gone && all[k] != less[k];
      }
      assert_true(own > 0);
      if (strncmp(hashing[b], "maglev", 6) == 0)
        assert_true(others < own * 2); /* at most three times the ideal */
      else
        assert_int_equal(others, 0);
    }
}

/* One more, wherever it is in the growth of a service: for each key that it takes, so many others
 * move at most, and never most of all. The figures are README.md's. */
static void growth_moves_no_more(void **state) {
  static uint32_t before[KEYS], after[KEYS];
  static const struct {
    uint32_t count;
    double others; /* of Maglev */
  } steps[] = {{3, 0.2}, {10, 0.3}, {11, 0.3}, {100, 1}, {101, 1}, {655, 7}, {1000, 8}};
  for (uint32_t b = 0; b < HASHING; b++)
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
      uint32_t own = 0, others = 0, count = steps[i].count;
      fill(count + 1, 1);
      struct catalog_view v = build(hashing[b], count);
      answers(&v, before);
      v = build(hashing[b], count + 1);
      answers(&v, after);
      for (uint32_t k = 0; k < KEYS; k++) {
        own += after[k] == count;
        others += after[k] != count && after[k] != before[k];
      }
      double most = strncmp(hashing[b], "maglev", 6) == 0 ? steps[i].others : 0;
      assert_true(own > 0);
      assert_true(others <= own * most);
    }
}

/* A weight that changes within its power of two moves keys from or to that endpoint only. */
static void a_weight_changes(void **state) {
  static uint32_t before[KEYS], after[KEYS];
  static const char *const exact[] = {"ring", "rendezvous"};
  for (int b = 0; b < 2; b++) {
    uint32_t moved = 0;
    fill(COUNT, 1);
    endpoints[9].weight = 2;
    struct catalog_view v = build(exact[b], COUNT);
    answers(&v, before);
    endpoints[9].weight = 3;
    v = build(exact[b], COUNT);
    answers(&v, after);
    for (uint32_t k = 0; k < KEYS; k++) {
      assert_true(before[k] == after[k] || after[k] == 9);
      moved += before[k] != after[k];
    }
    assert_true(moved > KEYS / COUNT / 2);
  }
}

/* The n-th hash of an endpoint's own, and what a pick makes of a key: by the formulas, not by the
 * code that is under test. */
static uint64_t own_hash(uint32_t number, uint64_t n) {
  return select_mix(select_hash(ids[number], strlen(ids[number])) + (n + 1) * 0x9e3779b97f4a7c15u);
}
static uint32_t key_bits(uint64_t key) {
  return (uint32_t)(select_mix(key + 0x9e3779b97f4a7c15u) >> 32);
}

/* The first point at or after the key's place, of all points of all endpoints. */
static uint32_t ring_owner(uint32_t count, uint32_t points, uint32_t key) {
  uint32_t owner = 0;
  uint64_t nearest = UINT64_MAX;
  key = key >> 16 << 16; /* one of 65,536 places */
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < points * (uint32_t)endpoints[i].weight; k++) {
      uint64_t way = own_hash(i, k) - ((uint64_t)key << 32);
      if (way < nearest) {
        nearest = way;
        owner = i;
      }
    }
  return owner;
}

static void a_ring_is_its_points(void **state) {
  static const struct {
    uint32_t count, points, keys;
  } rings[] = {{1, 1, 50}, {2, 1, 500}, {3, 7, 3000}, {50, 100, 3000}, {3000, 3, 300}};
  for (size_t r = 0; r < sizeof rings / sizeof rings[0]; r++) {
    struct catalog_rules rules = {.points = rings[r].points};
    fill(rings[r].count, 1);
    for (uint32_t i = 1; i < rings[r].count; i++)
      endpoints[i].weight = 1 + i % 4;
    struct catalog_view v = build_with("ring", &rules, rings[r].count);
    for (uint64_t key = 0; key < rings[r].keys; key++)
      assert_int_equal(pick_key(&v, key),
                       ring_owner(rings[r].count, rings[r].points, key_bits(key)));
  }
}

/* 160 each would be more than 2^18: all have the first half of theirs. */
static void a_large_ring_has_fewer_points(void **state) {
  static uint32_t half[KEYS], asked[KEYS], few[KEYS];
  fill(ENDPOINTS_MAX, 1);
  struct catalog_view v = build_with("ring", &(struct catalog_rules){.points = 80}, ENDPOINTS_MAX);
  answers(&v, half);
  v = build_with("ring", &(struct catalog_rules){.points = 160}, ENDPOINTS_MAX);
  answers(&v, asked);
  v = build_with("ring", &(struct catalog_rules){.points = 40}, ENDPOINTS_MAX);
  answers(&v, few);
  assert_memory_equal(half, asked, sizeof half);
  assert_memory_not_equal(half, few, sizeof half);
}

/* Weights of any size: the tables are made, in time, and those who weigh anything are in them. */
static void tables_bear_extremes(void **state) {
  static const double weights[] = {5e-324, 1e-300, 1e-9, 1, 65535, 1e300};
  for (uint32_t b = 0; b < HASHING; b++)
    for (uint32_t count = 1; count <= ENDPOINTS_MAX; count *= 55) {
      fill(count, 1);
      for (uint32_t i = 0; i < count; i++)
        endpoints[i].weight = weights[i % 6];
      struct catalog_view v = build(hashing[b], count);
      for (uint64_t key = 0; key < 1000; key++)
        assert_true(pick_key(&v, key) < count);
    }
}

/* Each cell's winner: of all endpoints the one whose dart hits it first, its time by its weight. */
static void rendezvous_is_a_race(void **state) {
  enum { HOSTS = 7, CELLS = 1 << 16 };
  static float first[CELLS];
  static uint32_t winner[CELLS];
  fill(HOSTS, 1);
  for (uint32_t i = 0; i < HOSTS; i++)
    endpoints[i].weight = 1 + i % 3;
  for (uint32_t i = 0; i < HOSTS; i++)
    for (uint32_t n = 0; n < CELLS * 5; n++) {
      uint64_t bits = own_hash(i, n);
      float time = (float)((n + (uint32_t)bits * 0x1p-32) * (2 / endpoints[i].weight));
      uint32_t cell = (uint32_t)(bits >> 48);
      if (first[cell] == 0 || time < first[cell]) {
        first[cell] = time;
        winner[cell] = i;
      }
    }
  struct catalog_view v = build("rendezvous", HOSTS);
  assert_int_equal(v.groups[0].table_length, CELLS * 2);
  const uint16_t *cells = (const uint16_t *)(v.block + v.groups[0].table);
  for (uint32_t cell = 0; cell < CELLS; cell++)
    assert_int_equal(number_of(&v, cells[cell]), winner[cell]);
  for (uint64_t key = 0; key < KEYS; key++)
    assert_int_equal(pick_key(&v, key), winner[key_bits(key) >> 16]);
}

/* Endpoints come, leave and change their weights in turn: each time only cells of that one move. */
static void rendezvous_moves_what_it_must(void **state) {
  enum { CELLS = 1 << 16, STEPS = 120 };
  static uint32_t before[CELLS];
  struct select_state random = {.random = 23};
  uint32_t count = 30;
  fill(60, 1);
  for (int step = 0; step < STEPS; step++) {
    uint32_t changed = (uint32_t)(select_random_next(&random) % count), moved = 0;
    double was = endpoints[changed].weight;
    uint32_t slot = endpoints[changed].slot;
    if (step % 3 == 0 && count > 10) {
      count--; /* it leaves: the last takes its place, and it the last one's */
      struct catalog_endpoint e = endpoints[changed];
      endpoints[changed] = endpoints[count];
      endpoints[count] = e;
    } else if (step % 3 == 1) {
      slot = endpoints[count++].slot;
    } else {
      endpoints[changed].weight = was * (step % 2 ? 1.7 : 0.4);
    }
    struct catalog_view v = build("rendezvous", count);
    const uint16_t *cells = (const uint16_t *)(v.block + v.groups[0].table);
    for (uint32_t cell = 0; cell < CELLS; cell++) {
      uint32_t now = v.rows[cells[cell]].slot;
      if (step > 0 && now != before[cell]) {
        assert_true(now == slot || before[cell] == slot);
        moved++;
      }
      before[cell] = now;
    }
    assert_true(step == 0 || moved > 0);
    assert_true(moved < CELLS / 3);
  }
}

/* Three levels: half of the first level's endpoints leave, one by one; a key that has gone to a
 * later level stays there or goes on to a later one. */
static void levels_go_by_key(void **state) {
  static const struct catalog_pair levels[] = {{"level", "0"}, {"level", "1"}, {"level", "2"}};
  struct catalog_rules rules = {.priority = true, .priority_key = "level"};
  static uint32_t before[KEYS], after[KEYS];
  for (uint32_t b = 0; b < HASHING; b++) {
    uint32_t first = 0, second = 0;
    fill(60, 1);
    for (uint32_t i = 0; i < 60; i++) {
      endpoints[i].meta = &levels[i / 20];
      endpoints[i].meta_count = 1;
      endpoints[i].status = i < 10 || (i >= 20 && i < 35) ? 2 : 0; /* 70 % and 35 % */
    }
    struct catalog_view v = build_with(hashing[b], &rules, 60);
    answers(&v, before);
    for (uint32_t k = 0; k < KEYS; k++) {
      first += before[k] < 20;
      second += before[k] >= 20 && before[k] < 40;
    }
    assert_true(fabs(first / (double)KEYS - 0.7) < 0.02);
    assert_true(fabs(second / (double)KEYS - 0.3) < 0.02);
    for (uint32_t down = 10; down < 20; down++) {
      endpoints[down].status = 2;
      v = build_with(hashing[b], &rules, 60);
      answers(&v, after);
      for (uint32_t k = 0; k < KEYS; k++)
        assert_true(after[k] / 20 >= before[k] / 20);
      memcpy(before, after, sizeof before);
    }
  }
}

/* All that this process has in flight. */
static struct select_tally tally;
static void have_in_flight(uint32_t count) {
  tally.lanes = 1u << 1;
  tally.totals[1].in_flight = count;
  tally.totals[1].epoch = feedback_epoch((int64_t)select_now_ns());
}

/* Loads that pile up on one key: none is ever above its cap. Reports come in any order. */
static void bounded_loads(void **state) {
  enum { HOSTS = 12, BUSY = 600 };
  struct select_state random = {.random = 31};
  struct feedback_cell own[HOSTS + 1] = {0};
  uint32_t busy[BUSY], count = 0;
  struct select_load load = {.own = own, .own_count = HOSTS + 1, .tally = &tally};
  struct catalog_rules rules = {.bound = 1.25};
  double sum = 0;
  fill(HOSTS, 1);
  for (uint32_t i = 0; i < HOSTS; i++) {
    sum += endpoints[i].weight = 1 + i % 3;
    own[i + 1].generation = 1;
  }
  struct catalog_view v = build_with("maglev_bounded", &rules, HOSTS);
  struct select_state s = {.random = 3, .load = &load};
  for (int step = 0; step < 20000; step++) {
    if (count < BUSY && select_random_next(&random) % 5 < 3) {
      struct select_ask ask = {.hash = select_random_next(&random) % 2, .keyed = true};
      uint32_t number = pick_number(&s, &v, &ask);
      double cap = ceil(1.25 * (count + 1) * endpoints[number].weight / sum);
      busy[count++] = number;
      have_in_flight(count);
      uint32_t now = ++own[number + 1].in_flight;
      assert_true(now <= cap);
    } else if (count) {
      uint32_t at = (uint32_t)(select_random_next(&random) % count);
      own[busy[at] + 1].in_flight--;
      busy[at] = busy[--count];
      have_in_flight(count);
    }
  }
  /* With nothing in flight it is Maglev. */
  static uint32_t bounded[KEYS], maglev[KEYS];
  memset(own, 0, sizeof own);
  have_in_flight(0);
  answers(&v, bounded);
  v = build_with("maglev", &rules, HOSTS);
  answers(&v, maglev);
  assert_memory_equal(bounded, maglev, sizeof maglev);
}

/* Of two levels each one's endpoints have caps by what their level has of the keys. */
static void bounds_go_by_level(void **state) {
  static const struct catalog_pair levels[] = {{"level", "0"}, {"level", "1"}};
  struct catalog_rules rules = {.priority = true, .priority_key = "level", .bound = 1.25};
  struct feedback_cell own[21] = {0};
  struct select_load load = {.own = own, .own_count = 21, .tally = &tally};
  struct select_state s = {.random = 3, .load = &load};
  fill(20, 1);
  for (uint32_t i = 0; i < 20; i++) {
    endpoints[i].meta = &levels[i / 10];
    endpoints[i].meta_count = 1;
    endpoints[i].status = i < 5 ? 2 : 0; /* 70 % of the keys for the 5, 30 % for the 10 */
    own[i + 1].generation = 1;
  }
  struct catalog_view v = build_with("maglev_bounded", &rules, 20);
  assert_int_equal(v.group_count, 2);
  have_in_flight(100);
  for (uint64_t key = 0; key < 1000; key++) {
    uint32_t first = pick_key(&v, key);
    double cap = ceil(1.25 * 101 * (first < 10 ? 0.7 / 5 : 0.3 / 10));
    struct select_ask ask = {.hash = key, .keyed = true};
    own[first + 1].in_flight = (uint32_t)cap - 1;
    assert_int_equal(pick_number(&s, &v, &ask), first);
    own[first + 1].in_flight = (uint32_t)cap;
    assert_int_not_equal(pick_number(&s, &v, &ask), first);
    own[first + 1].in_flight = 0;
  }
}

/* The draft's, for endpoints 0 to count - 1. */
static uint64_t arrange(const char *balancer, uint32_t count) {
  struct catalog_snapshot s = {
      .service = "web", .balancer = balancer, .endpoints = endpoints, .count = count};
  assert_int_equal(block_arrange(&draft, &s), 0);
  return draft.key;
}

/* The same members and weights, the same tables: whatever else of them is different. */
static void tables_are_known_by_what_they_are_made_of(void **state) {
  for (size_t b = 0; b < sizeof hashing / sizeof hashing[0]; b++) {
    fill(30, 2);
    uint64_t key = arrange(hashing[b], 30);
    endpoints[4].address = "10.9.9.9";
    endpoints[5].status = 1;
    assert_int_equal(arrange(hashing[b], 30), key);
    assert_int_not_equal(arrange(hashing[b], 29), key);
    endpoints[3].weight = 3;
    assert_int_not_equal(arrange(hashing[b], 30), key);
    endpoints[3].weight = 2;
    endpoints[3].id = "another";
    assert_int_not_equal(arrange(hashing[b], 30), key);
  }
  assert_int_not_equal(arrange("ring", 30), arrange("maglev", 30));
}

static void tables_are_taken_over(void **state) {
  static const struct catalog_rules rules = {.priority = true};
  for (size_t b = 0; b < HASHING; b++) {
    fill(40, 1);
    for (int i = 0; i < 10; i++)
      endpoints[i].status = 2, endpoints[i + 20].tier = 1;
    struct catalog_view v = build_with(hashing[b], &rules, 40);
    assert_int_equal(v.group_count, 2);
    struct catalog_block *before = malloc(v.bytes);
    memcpy(before, v.block, v.bytes);
    uint32_t at = v.groups[1].table + v.groups[1].table_length - 1;
    ((unsigned char *)before)[at] ^= 1; /* nobody would make this one */
    struct catalog_snapshot s = {.service = "web",
                                 .balancer = hashing[b],
                                 .rules = &rules,
                                 .endpoints = endpoints,
                                 .count = 40};
    assert_int_equal(block_arrange(&draft, &s), 0);
    assert_int_equal(block_build(&draft, &s, before), 0);
    assert_int_equal(draft.length, before->bytes);
    assert_memory_equal(draft.bytes, before, draft.length);
    free(before);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hash_vectors),
      cmocka_unit_test(order_does_not_matter),
      cmocka_unit_test(the_key_decides),
      cmocka_unit_test(shares_go_by_weight),
      cmocka_unit_test(disruption),
      cmocka_unit_test(growth_moves_no_more),
      cmocka_unit_test(a_weight_changes),
      cmocka_unit_test(a_ring_is_its_points),
      cmocka_unit_test(a_large_ring_has_fewer_points),
      cmocka_unit_test(tables_bear_extremes),
      cmocka_unit_test(rendezvous_is_a_race),
      cmocka_unit_test(rendezvous_moves_what_it_must),
      cmocka_unit_test(levels_go_by_key),
      cmocka_unit_test(bounded_loads),
      cmocka_unit_test(bounds_go_by_level),
      cmocka_unit_test(tables_are_known_by_what_they_are_made_of),
      cmocka_unit_test(tables_are_taken_over),
  };
  return cmocka_run_group_tests(tests, NULL, end_draft);
}
