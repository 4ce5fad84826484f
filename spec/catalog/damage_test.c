/* spec: timeout 300
 * Files that were damaged or cut before they are opened. Opening may refuse; if it does not, every
 * call must come back and touch nothing outside the file. The seeds are fixed. */
#include "catalog/fixture.h"
#include "catalog/reader.h"
#include "client/perigee.h"

enum { SEEDS = 4000, TAKEOVER_EACH = 8, SERVICES = 8 };

static unsigned char *whole; /* an undamaged file */
static size_t whole_size, used;
static size_t heads[SERVICES]; /* where the services' blocks begin */
static const char *const names[SERVICES] = {"web",  "api",  "one", "none",
                                            "rand", "idle", "cap", "absent"};

static void publish_full(struct catalog_writer *w, const char *service, const char *balancer,
                         unsigned count) {
  static const char *const tags[] = {"v1", "", "a-longer-tag"};
  static const struct catalog_pair meta[] = {{"version", "1"}, {"", ""}, {"k", "v"}};
  static const struct catalog_port ports[] = {{"http", 80}, {"grpc", 90}};
  struct catalog_endpoint e[40];
  struct record r[40];
  uint64_t version;
  for (unsigned k = 0; k < count; k++) {
    record_make(&r[k], k, 7);
    e[k] = (struct catalog_endpoint){.id = r[k].id,
                                     .address = r[k].address,
                                     .zone = k % 2 ? "eu-1a" : "",
                                     .tags = tags,
                                     .tag_count = 3,
                                     .meta = meta,
                                     .meta_count = 3,
                                     .ports = ports,
                                     .port_count = 2,
                                     .port = 80,
                                     .tier = (uint16_t)(k % 3),
                                     .status = (uint8_t)(k % 5 == 4 ? 2 : 0),
                                     .weight = 1 + k};
    assert_int_equal(catalog_slot_take(w, &e[k].slot, &e[k].slot_generation), 0);
  }
  struct catalog_snapshot s = {
      .service = service, .balancer = balancer, .endpoints = e, .count = count, .moves_version = 1};
  assert_int_equal(catalog_publish(w, &s, &version), 0);
}

static int make_whole_file(void **state) {
  make_run_dir(state);
  struct catalog_writer *w = open_writer();
  struct catalog_stats stats;
  publish_full(w, "web", "ring", 30);
  publish_full(w, "api", "weighted", 40);
  publish_full(w, "one", "maglev", 1);
  publish_full(w, "none", NULL, 0);
  publish_full(w, "rand", "p2c", 9);
  publish_full(w, "idle", "least_request", 9);
  publish_full(w, "cap", "maglev_bounded", 9);
  catalog_stats(w, &stats);
  catalog_writer_close(w);
  used = stats.bytes_used;
  whole_size = stats.file_bytes;
  whole = malloc(whole_size);
  int fd = open(in_run_dir("catalog"), O_RDONLY);
  assert_int_equal(pread(fd, whole, whole_size, 0), whole_size);
  close(fd);
  struct catalog_map m = {.base = whole, .mapped = whole_size};
  for (int i = 0, error; i < SERVICES; i++) {
    const struct catalog_entry *e = catalog_map_find(&m, names[i], strlen(names[i]), &error);
    heads[i] = e ? (catalog_load64(&e->current) & UINT32_MAX) * CATALOG_GRANULE : 0;
  }
  return 0;
}

static int free_whole_file(void **state) {
  free(whole);
  return remove_run_dir(state);
}

static int count_name(void *arg, const char *name) {
  ++*(int *)arg;
  return strlen(name) > CATALOG_NAME_MAX;
}

static void ask_for_texts(struct perigee_service *s, const struct perigee_endpoint *e) {
  static const char *const what[] = {"id",     "zone",         "tag:0",     "tag:2",
                                     "meta:k", "meta:version", "port:grpc", "port:none"};
  char text[64];
  for (size_t i = 0; i < sizeof what / sizeof what[0]; i++) {
    int n = perigee_endpoint_text(s, e, what[i], text, sizeof text);
    assert_true(n < 0 || strlen(text) <= (size_t)n);
  }
  for (int i = 0; i < 5; i++)
    perigee_endpoint_meta_key(s, e, i, text, sizeof text);
}

/* Every call of the library, in a file that may be anything. */
static void use_everything(struct perigee *p) {
  struct perigee_pick_options options = {
      .size = sizeof options, .port = "http", .key = "key", .key_length = 3};
  struct perigee_info info = {.size = sizeof info};
  struct perigee_service_info about = {.size = sizeof about};
  struct perigee_endpoint e, list[64];
  struct perigee_service *s;
  char id[80];
  int count = 0;
  for (int n = 0; n < SERVICES; n++) {
    assert_int_equal(perigee_service_open(p, names[n], &s), 0);
    for (int i = 0; i < 12; i++) {
      if (perigee_pick(s, NULL, &e) == 0) {
        assert_int_equal(strlen(e.address) <= e.address_length, 1);
        ask_for_texts(s, &e);
        perigee_done(s, &e, i % PERIGEE_ABANDONED, 1000);
      }
      if (perigee_pick_id(s, NULL, &e, id, sizeof id) == 0)
        assert_true(strlen(id) < sizeof id);
      perigee_pick_id(s, &options, &e, id, 5);
    }
    int listed = perigee_list(s, list, 64);
    for (int i = 0; i < listed && i < 64; i++)
      assert_true(strlen(list[i].address) <= list[i].address_length);
    if (listed > 0)
      ask_for_texts(s, &list[0]);
    perigee_service_info(s, &about);
    perigee_wait(s, perigee_version(s), 0);
    perigee_service_close(s);
  }
  perigee_services(p, count_name, &count);
  assert_int_equal(perigee_info(p, &info), 0);
}

static void write_file(const unsigned char *bytes, size_t size) {
  int fd = open(in_run_dir("catalog"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  /* What was never used is a hole: faster, and it reads as the zeroes that were there. */
  size_t data = size < used + CATALOG_GRANULE ? size : used + CATALOG_GRANULE;
  assert_int_equal(pwrite(fd, bytes, data, 0), data);
  assert_int_equal(ftruncate(fd, (off_t)size), 0);
  close(fd);
}

static bool try_file(void) {
  struct perigee *p;
  int r = perigee_open(&p, run_dir);
  assert_true(r == 0 || r == -EPROTO);
  if (r == 0)
    use_everything(p);
  perigee_close(p);
  return r == 0;
}

/* A new agent takes over what is whole of it, and its readers can use that. */
static void take_over_file(void) {
  struct catalog_writer *w;
  struct perigee *p;
  uint64_t version;
  int r = catalog_writer_open(run_dir, &w, NULL);
  assert_int_equal(r, 0);
  assert_int_equal(publish_records(w, "fresh", 2, &version), 0);
  assert_int_equal(perigee_open(&p, run_dir), 0);
  use_everything(p);
  perigee_close(p);
  catalog_writer_close(w);
}

static void undamaged(void **state) {
  write_file(whole, whole_size);
  assert_true(try_file());
}

/* One to sixteen places: a bit, a byte, or a word of a kind that offsets and counts do not like. */
static void damage(unsigned char *bytes, uint64_t seed) {
  static const uint32_t nasty[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff8, 4096};
  struct select_state random = {.random = seed};
  int places = 1 + (int)(select_random_next(&random) % 16);
  while (places--) {
    uint64_t r = select_random_next(&random);
    size_t at = r % 4 ? (size_t)(r >> 8) % used : (size_t)(r >> 8) % 256;
    if (r >> 2 & 1) /* where entries and the like are, or the heads and first rows */
      at = (r >> 5 & 1 ? heads[(r >> 6) % SERVICES] : at / 4096 * 4096) + at % 600;
    if ((r >> 3 & 3) == 0) {
      bytes[at] ^= (unsigned char)(1 << (r >> 60 & 7));
    } else if ((r >> 3 & 3) == 1) {
      bytes[at] = (unsigned char)(r >> 40);
    } else {
      memcpy(bytes + at / 4 * 4, &nasty[(r >> 33) % 7], 4);
    }
  }
}

static void damaged(void **state) {
  unsigned char *bytes = malloc(whole_size);
  unsigned opened = 0;
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    memcpy(bytes, whole, used);
    memset(bytes + used, 0, CATALOG_GRANULE);
    damage(bytes, seed);
    write_file(bytes, whole_size);
    opened += try_file();
    if (seed % TAKEOVER_EACH == 0)
      take_over_file();
  }
  print_message("# %u of %u damaged files could be opened\n", opened, (unsigned)SEEDS);
  assert_true(opened > SEEDS / 2 && opened < SEEDS);
  free(bytes);
}

static void truncated(void **state) {
  const size_t sizes[] = {0,
                          1,
                          7,
                          8,
                          63,
                          64,
                          103,
                          104,
                          4095,
                          4096,
                          4097,
                          8192,
                          12288,
                          16384,
                          20480,
                          used,
                          1 << 20,
                          (4 << 20) - 4096,
                          (4 << 20) - 1};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    write_file(whole, sizes[i]);
    struct perigee *p;
    assert_int_equal(perigee_open(&p, run_dir), -EPROTO);
    take_over_file();
  }
}

/* The header says more than there is, or less than is used. */
static void wrong_size(void **state) {
  const uint64_t sizes[] = {0, 1, 4096, (4 << 20) - 1, 8 << 20, 1ull << 32, 1ull << 63, UINT64_MAX};
  unsigned char *bytes = malloc(whole_size);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    memcpy(bytes, whole, whole_size);
    memcpy(bytes + offsetof(struct catalog_header, size), &sizes[i], sizeof sizes[i]);
    write_file(bytes, whole_size);
    assert_false(try_file());
    take_over_file();
  }
  free(bytes);
}

/* A later layout: refused, and told by the frozen bytes that it was replaced. */
static void another_layout(void **state) {
  struct catalog_header h;
  unsigned char *bytes = malloc(whole_size);
  memcpy(bytes, whole, whole_size);
  bytes[offsetof(struct catalog_header, layout)] = 2;
  write_file(bytes, whole_size);
  assert_false(try_file());
  int fd = open(in_run_dir("catalog"), O_RDONLY);
  take_over_file();
  assert_int_equal(pread(fd, &h, sizeof h, 0), sizeof h);
  assert_int_equal(h.retired, 1);
  assert_memory_equal(&h.directory_word, bytes + 64, sizeof h - 64);
  close(fd);
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(undamaged),  cmocka_unit_test(damaged),        cmocka_unit_test(truncated),
      cmocka_unit_test(wrong_size), cmocka_unit_test(another_layout),
  };
  return cmocka_run_group_tests(tests, make_whole_file, free_whole_file);
}
