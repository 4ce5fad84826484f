#include "catalog/block.h"
#include "catalog/tables.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 1 << 30 };

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

static inline int put_text(struct block_draft *d, const char *text, uint32_t *at) {
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
      .tier = (uint8_t)(e->tier < UINT8_MAX ? e->tier : UINT8_MAX),
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

/* Bytes that were made elsewhere, at a multiple of 8. */
static int put_bytes(struct block_draft *d, const void *bytes, size_t length, uint32_t *at) {
  int r = align(d, 8);
  if (r == 0)
    r = extend(d, length, at);
  if (r == 0 && length)
    memcpy(d->bytes + *at, bytes, length);
  return r;
}

static int put_group(struct block_draft *d, const struct catalog_block *head,
                     const struct catalog_group_tables *from, const struct catalog_share *share,
                     double upto, const struct catalog_snapshot *s, uint32_t at) {
  struct catalog_group group = {.first = from->first, .count = from->count, .tier = share->tier};
  const struct catalog_endpoint *first = &s->endpoints[(uint32_t)d->order[from->first]];
  double weight = 0;
  group.upto = upto < 1 ? (uint32_t)(upto * 0x1p32) : UINT32_MAX;
  for (uint32_t i = 0; i < from->count; i++)
    weight += s->endpoints[(uint32_t)d->order[from->first + i]].weight;
  group.weight = weight > FLT_MAX ? FLT_MAX : (float)weight;
  if (share->zoned) {
    int32_t zone = texts_number(&d->zones, first->zone ? first->zone : "");
    if (zone < 0)
      return zone;
    group.zone = (uint16_t)zone;
  }
  group.table_length = from->table_bytes;
  int r = from->table ? put_bytes(d, from->table, from->table_bytes, &group.table) : 0;
  if (!from->table && head->group_count == 1) {
    group.table = head->alias; /* one table serves both */
    group.table_length = head->pickable * (uint32_t)sizeof(struct catalog_alias);
  }
  if (r == 0)
    memcpy(d->bytes + at, &group, sizeof group);
  return r;
}

static int put_slots(struct block_draft *d, struct catalog_block *head,
                     const struct catalog_snapshot *s) {
  int r = place(d, head->pickable, sizeof(uint32_t), &head->slots);
  for (uint32_t i = 0; r == 0 && i < head->pickable; i++)
    memcpy(d->bytes + head->slots + i * sizeof(uint32_t), &s->endpoints[(uint32_t)d->order[i]].slot,
           sizeof(uint32_t));
  return r;
}

static int put_groups(struct block_draft *d, struct catalog_block *head,
                      const struct catalog_snapshot *s, const struct catalog_tables *t) {
  int r = place(d, t->group_count, sizeof(struct catalog_group), &head->groups);
  double upto = 0;
  head->group_count = t->group_count;
  if (r == 0 && t->top)
    r = put_bytes(d, t->top, t->group_count * sizeof *t->top, &head->top);
  for (uint32_t g = 0; r == 0 && g < t->group_count; g++) {
    upto = g + 1 < t->group_count ? upto + t->groups[g].share : 1;
    r = put_group(d, head, &t->groups[g], &d->shares[g], upto, s,
                  head->groups + g * (uint32_t)sizeof(struct catalog_group));
  }
  return r;
}

static int put_tables(struct block_draft *d, struct catalog_block *head,
                      const struct catalog_snapshot *s, const struct catalog_block *before) {
  struct catalog_tables t = d->tables;
  int r = place(d, head->pickable, sizeof *t.alias, &head->alias);
  if (r < 0)
    return r;
  t.alias = (struct catalog_alias *)(d->bytes + head->alias);
  bool same = before && before->pickable == t.count && before->group_count == t.group_count;
  r = same ? tables_copy(&t, before) : catalog_tables_build(&t);
  if (r == 0)
    r = put_bytes(d, t.order, t.cycle * sizeof *t.order, &head->order);
  if (r == 0)
    r = put_groups(d, head, s, &t);
  if (r == 0 && t.slots)
    r = put_slots(d, head, s);
  head->cycle = t.cycle;
  head->balancer = t.number;
  head->flags |= t.uniform ? CATALOG_UNIFORM : 0;
  memcpy(head->options, t.options, sizeof head->options);
  catalog_tables_end(&t);
  return r;
}

static int put_rows(struct block_draft *d, const struct catalog_block *head,
                    const struct catalog_snapshot *s) {
  int r = 0;
  for (uint32_t i = 0; r == 0 && i < head->count; i++)
    r = put_row(d, &s->endpoints[(uint32_t)d->order[i]],
                head->rows + i * (uint32_t)sizeof(struct catalog_row));
  return r;
}

int block_build(struct block_draft *d, const struct catalog_snapshot *s,
                const struct catalog_block *before) {
  struct catalog_block head = d->head;
  uint32_t at;
  int r;
  d->length = 0;
  texts_clear(&d->zones);
  texts_clear(&d->ports);
  if ((r = texts_number(&d->zones, "")) < 0 || (r = place(d, 1, sizeof head, &at)) < 0 ||
      (r = place(d, head.count, sizeof(struct catalog_row), &head.rows)) < 0 ||
      (r = put_tables(d, &head, s, before)) < 0 || (r = put_rows(d, &head, s)) < 0 ||
      (r = put_texts(d, &d->zones, &head.zones, &head.zone_count)) < 0 ||
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
  free(d->ids);
  free(d->shape_weights);
  free(d->shape_groups);
  free(d->shares);
  free(d->tables.groups);
  texts_end(&d->zones);
  texts_end(&d->ports);
}
