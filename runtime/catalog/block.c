#include "catalog/block.h"
#include "catalog/tables.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 1 << 20, BYTES_MAX = 1 << 30, CRITICAL = 2 };

/* Rows are sorted by class, then tier, then as they were given. What can be picked is the first
 * tier of the healthy class, or of the critical class when nothing is healthy. */
enum row_class { HEALTHY, HEALTHY_WEIGHTLESS, UNHEALTHY, UNHEALTHY_WEIGHTLESS };

static enum row_class class_of(const struct catalog_endpoint *e) {
  if (e->status < CRITICAL)
    return e->weight > 0 ? HEALTHY : HEALTHY_WEIGHTLESS;
  return e->weight > 0 ? UNHEALTHY : UNHEALTHY_WEIGHTLESS;
}
static uint64_t sort_key(const struct catalog_endpoint *e, uint32_t i) {
  return (uint64_t)class_of(e) << 48 | (uint64_t)e->tier << 32 | i;
}
static int compare_keys(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}
static uint16_t key_tier(uint64_t key) {
  return (uint16_t)(key >> 32);
}
static enum row_class key_class(uint64_t key) {
  return (enum row_class)(key >> 48);
}

static int sort_rows(struct block_draft *d, const struct catalog_snapshot *s, uint32_t *healthy) {
  bool sorted = true;
  if (s->count > d->row_room) {
    uint64_t *order = realloc(d->order, s->count * sizeof *order);
    if (order)
      d->order = order;
    double *weights = realloc(d->weights, s->count * sizeof *weights);
    if (weights)
      d->weights = weights;
    if (!order || !weights)
      return -ENOMEM;
    d->row_room = s->count;
  }
  *healthy = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    const struct catalog_endpoint *e = &s->endpoints[i];
    if (!(e->weight >= 0 && e->weight <= DBL_MAX) || e->status > CRITICAL)
      return -EINVAL;
    *healthy += e->status < CRITICAL;
    d->order[i] = sort_key(e, i);
    sorted = sorted && (i == 0 || d->order[i - 1] < d->order[i]);
  }
  if (!sorted)
    qsort(d->order, s->count, sizeof *d->order, compare_keys);
  for (uint32_t i = 0; i < s->count; i++)
    d->weights[i] = s->endpoints[(uint32_t)d->order[i]].weight;
  return 0;
}

static __attribute__((noinline)) int make_room(struct block_draft *d, size_t length) {
  size_t room = d->room ? d->room : CATALOG_GRANULE;
  if (length > BYTES_MAX - d->length)
    return -E2BIG;
  while (room < d->length + length)
    room *= 2;
  unsigned char *bytes = realloc(d->bytes, room);
  if (!bytes)
    return -ENOMEM;
  d->bytes = bytes;
  d->room = room;
  return 0;
}

/* `length` more bytes, not initialised; their offset in *at. */
static inline int extend(struct block_draft *d, size_t length, uint32_t *at) {
  int r = length > d->room - d->length ? make_room(d, length) : 0;
  if (r < 0)
    return r;
  *at = (uint32_t)d->length;
  d->length += length;
  return 0;
}

static int align(struct block_draft *d, size_t to) {
  uint32_t at;
  size_t gap = -d->length & (to - 1);
  int r = gap ? extend(d, gap, &at) : 0;
  if (r == 0 && gap)
    memset(d->bytes + at, 0, gap);
  return r;
}

/* An array, zeroed. */
static int place(struct block_draft *d, uint32_t count, size_t size, uint32_t *at) {
  int r = align(d, 8);
  if (r == 0)
    r = extend(d, count * size, at);
  if (r == 0)
    memset(d->bytes + *at, 0, count * size);
  return r;
}

static int put_text(struct block_draft *d, const char *text, uint32_t *at) {
  size_t length = text ? strlen(text) : 0, padded = 2 + ((length + 1) & ~(size_t)1);
  if (length > CATALOG_TEXT_MAX)
    return -EINVAL;
  int r = extend(d, padded, at);
  if (r < 0)
    return r;
  uint16_t n = (uint16_t)length;
  d->bytes[*at + padded - 1] = 0;
  memcpy(d->bytes + *at, &n, 2);
  if (length)
    memcpy(d->bytes + *at + 2, text, length);
  return 0;
}

static int put_id(struct block_draft *d, const char *id, size_t length) {
  uint32_t at;
  size_t padded = (length + 8) & ~(size_t)7;
  int r = extend(d, padded, &at);
  if (r < 0)
    return r;
  memset(d->bytes + at + padded - 8, 0, 8);
  memcpy(d->bytes + at, id, length);
  return 0;
}

static int put_ports(struct block_draft *d, const struct catalog_endpoint *e) {
  for (uint16_t i = 0; i < e->port_count; i++) {
    uint32_t at;
    int32_t number = texts_number(&d->ports, e->ports[i].name);
    int r = number < 0 ? number : extend(d, 4, &at);
    if (r < 0)
      return r;
    uint16_t pair[2] = {(uint16_t)number, e->ports[i].port};
    memcpy(d->bytes + at, pair, 4);
  }
  return 0;
}

/* What a pick does not need of a row. */
static int put_detail(struct block_draft *d, const struct catalog_endpoint *e, uint32_t *at) {
  uint32_t text;
  const char *id = e->id ? e->id : "";
  size_t length = strlen(id);
  if (length > CATALOG_TEXT_MAX)
    return -EINVAL;
  int r = align(d, 8);
  if (r == 0)
    r = extend(d, sizeof(struct catalog_detail), at);
  if (r < 0)
    return r;
  struct catalog_detail detail = {(uint16_t)length, e->tag_count, e->meta_count, e->port_count};
  memcpy(d->bytes + *at, &detail, sizeof detail);
  r = put_id(d, id, length);
  if (r == 0)
    r = put_ports(d, e);
  for (uint16_t i = 0; r == 0 && i < e->tag_count; i++)
    r = put_text(d, e->tags[i], &text);
  for (uint16_t i = 0; r == 0 && i < e->meta_count; i++) {
    r = put_text(d, e->meta[i].key, &text);
    if (r == 0)
      r = put_text(d, e->meta[i].value, &text);
  }
  return r;
}

/* By its form: what is neither an address of one of the two families nor a path is a name. */
static enum catalog_family family_of(const char *address) {
  const char *c = address;
  bool colon = false;
  if (*c == '/' || *c == '@')
    return CATALOG_UNIX;
  while ((*c >= '0' && *c <= '9') || *c == '.')
    c++;
  if (!*c)
    return CATALOG_IP4;
  for (c = address; *c && *c != '%'; c++) { /* behind the % is a zone */
    bool hex = (*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'f');
    colon = colon || *c == ':';
    if (!hex && *c != ':' && *c != '.')
      return CATALOG_HOST;
  }
  return colon ? CATALOG_IP6 : CATALOG_HOST;
}

static int put_row(struct block_draft *d, const struct catalog_endpoint *e, uint32_t at) {
  struct catalog_row row = {
      .slot = e->slot,
      .slot_generation = e->slot_generation,
      .port = e->port,
      .status = e->status,
      .weight = e->weight > FLT_MAX ? FLT_MAX : (float)e->weight,
  };
  size_t length = e->address ? strlen(e->address) : 0;
  if (length == 0 || length > CATALOG_ADDRESS_MAX)
    return -EINVAL;
  int32_t zone = texts_number(&d->zones, e->zone ? e->zone : "");
  if (zone < 0)
    return zone;
  int r = put_detail(d, e, &row.detail);
  if (r < 0)
    return r;
  row.family = family_of(e->address);
  row.zone = (uint16_t)zone;
  row.address_length = (uint8_t)length;
  if (length <= CATALOG_ADDRESS_INLINE) {
    memcpy(row.address, e->address, length);
  } else {
    uint32_t text;
    if ((r = align(d, 8)) < 0 || (r = put_id(d, e->address, length)) < 0)
      return r;
    text = (uint32_t)(d->length - ((length + 8) & ~(size_t)7));
    memcpy(row.address, &text, sizeof text);
  }
  memcpy(d->bytes + at, &row, sizeof row);
  return 0;
}

static int put_texts(struct block_draft *d, const struct texts *t, uint32_t *offsets,
                     uint32_t *count) {
  int r = place(d, t->count, sizeof(uint32_t), offsets);
  for (uint32_t i = 0; r == 0 && i < t->count; i++) {
    uint32_t at;
    r = put_text(d, t->list[i], &at);
    if (r == 0)
      memcpy(d->bytes + *offsets + i * sizeof at, &at, sizeof at);
  }
  *count = t->count;
  return r;
}

static int put_tables(struct block_draft *d, struct catalog_block *head, const char *balancer) {
  struct catalog_tables t = {.balancer = balancer, .weights = d->weights, .count = head->pickable};
  int r = place(d, head->pickable, sizeof *t.alias, &head->alias);
  if (r == 0)
    r = place(d, head->pickable, sizeof *t.order, &head->order);
  if (r < 0)
    return r;
  t.alias = (struct catalog_alias *)(d->bytes + head->alias);
  t.order = (uint32_t *)(d->bytes + head->order);
  r = catalog_tables_build(&t);
  head->cycle = head->pickable;
  head->balancer = t.number;
  return r;
}

/* One group for each tier of the class that is picked from; the rows are sorted by both. */
static int put_groups(struct block_draft *d, struct catalog_block *head, enum row_class class) {
  for (uint32_t first = 0, end; first < head->count; first = end) {
    uint16_t tier = key_tier(d->order[first]);
    if (key_class(d->order[first]) != class)
      break;
    for (end = first;
         end < head->count && key_class(d->order[end]) == class && key_tier(d->order[end]) == tier;)
      end++;
    struct catalog_group group = {.first = first, .count = end - first, .tier = tier};
    uint32_t at;
    int r = place(d, 1, sizeof group, &at);
    if (r < 0)
      return r;
    memcpy(d->bytes + at, &group, sizeof group);
    if (head->group_count++ == 0) {
      head->groups = at;
      head->pickable = group.count;
    }
  }
  return 0;
}

int block_build(struct block_draft *d, const struct catalog_snapshot *s) {
  struct catalog_block head = {.kind = CATALOG_SNAPSHOT, .count = (uint32_t)s->count};
  uint32_t at;
  if (s->count > COUNT_MAX)
    return -E2BIG;
  int r = sort_rows(d, s, &head.healthy);
  if (r < 0)
    return r;
  bool fail_open = s->count && !head.healthy;
  head.flags = (fail_open ? CATALOG_FAIL_OPEN : 0u) | (s->stale ? CATALOG_STALE : 0u);
  d->length = 0;
  texts_clear(&d->zones);
  texts_clear(&d->ports);
  if ((r = texts_number(&d->zones, "")) < 0 || (r = place(d, 1, sizeof head, &at)) < 0 ||
      (r = place(d, head.count, sizeof(struct catalog_row), &head.rows)) < 0 ||
      (r = put_groups(d, &head, fail_open ? UNHEALTHY : HEALTHY)) < 0 ||
      (r = put_tables(d, &head, s->balancer)) < 0)
    return r;
  for (uint32_t i = 0; i < head.count; i++) {
    r = put_row(d, &s->endpoints[(uint32_t)d->order[i]],
                head.rows + i * (uint32_t)sizeof(struct catalog_row));
    if (r < 0)
      return r;
  }
  if ((r = put_texts(d, &d->zones, &head.zones, &head.zone_count)) < 0 ||
      (r = put_texts(d, &d->ports, &head.ports, &head.port_count)) < 0 || (r = align(d, 8)) < 0)
    return r;
  head.bytes = (uint32_t)d->length;
  memcpy(d->bytes, &head, sizeof head);
  return 0;
}

void block_end(struct block_draft *d) {
  free(d->bytes);
  free(d->order);
  free(d->weights);
  texts_end(&d->zones);
  texts_end(&d->ports);
}
