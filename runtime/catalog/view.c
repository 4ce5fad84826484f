#include "catalog/reader.h"

#include <errno.h>
#include <string.h>

static uint16_t load16(const void *p) {
  return atomic_load_explicit((const _Atomic uint16_t *)p, memory_order_relaxed);
}
static char load8(const void *p) {
  return (char)atomic_load_explicit((const _Atomic unsigned char *)p, memory_order_relaxed);
}

/* Whether an array lies in the block, aligned. */
static bool fits(const struct catalog_view *v, uint32_t at, uint32_t count, uint32_t size,
                 uint32_t alignment) {
  return at % alignment == 0 && at + (uint64_t)count * size <= v->bytes;
}

static bool check(struct catalog_view *v, const struct catalog_block *head) {
  return head->kind == CATALOG_SNAPSHOT && head->healthy <= head->count &&
         head->pickable <= head->count && head->cycle <= v->bytes &&
         (head->pickable == 0) == (head->cycle == 0) &&
         fits(v, head->rows, head->count, sizeof(struct catalog_row), 8) &&
         fits(v, head->order, head->cycle, 4, 4) && fits(v, head->alias, head->pickable, 8, 8) &&
         fits(v, head->groups, head->group_count, sizeof(struct catalog_group), 8) &&
         (head->top == 0 || fits(v, head->top, head->group_count, 8, 8)) &&
         (head->slots == 0 || fits(v, head->slots, head->pickable, 4, 4)) &&
         fits(v, head->zones, head->zone_count, 4, 4) &&
         fits(v, head->ports, head->port_count, 4, 4);
}

int catalog_view_open(struct catalog_view *v, const struct catalog_map *m, uint64_t current) {
  uint64_t room;
  union {
    uint64_t words[sizeof(struct catalog_block) / 8];
    struct catalog_block block;
  } head;
  v->epoch = (uint32_t)(current >> 32);
  int r = catalog_map_block(m, current, &v->block, &room, &v->epoch_word);
  if (r < 0)
    return r;
  if (room < sizeof head)
    return -EPROTO;
  for (size_t i = 0; i < sizeof head.words / sizeof head.words[0]; i++)
    head.words[i] = catalog_load64(v->block + i * 8);
  if (!catalog_view_holds(v))
    return -EAGAIN;

  const struct catalog_block *b = &head.block;
  v->bytes = b->bytes;
  if (b->bytes < sizeof *b || b->bytes % 8)
    return -EPROTO;
  if (b->bytes > room)
    return catalog_map_limit(m) == m->mapped && m->mapped < CATALOG_RESERVE ? -ERANGE : -EPROTO;
  if (!check(v, b))
    return -EPROTO;
  v->version = b->version;
  v->published_us = b->published_us;
  v->stale_since_ns = b->stale_since_ns;
  v->rows = (const struct catalog_row *)(v->block + b->rows);
  v->order = (const uint32_t *)(v->block + b->order);
  v->alias = (const uint64_t *)(v->block + b->alias);
  v->groups = (const struct catalog_group *)(v->block + b->groups);
  v->top = b->top && b->group_count ? (const uint64_t *)(v->block + b->top) : NULL;
  v->slots = b->slots ? (const uint32_t *)(v->block + b->slots) : NULL;
  v->count = b->count;
  v->healthy = b->healthy;
  v->pickable = b->pickable;
  v->cycle = b->cycle;
  v->group_count = b->group_count;
  v->balancer = b->balancer;
  v->flags = b->flags;
  memcpy(v->options, b->options, sizeof v->options);
  v->zones = b->zones;
  v->zone_count = b->zone_count;
  v->ports = b->ports;
  v->port_count = b->port_count;
  return 0;
}

static bool text_fits(const struct catalog_view *v, struct catalog_text text) {
  return (uint64_t)text.at + text.length <= v->bytes;
}

/* The text at an offset; *next, when not NULL, is where the one after it begins. */
static bool text_at(const struct catalog_view *v, uint64_t at, struct catalog_text *text,
                    uint64_t *next) {
  if (at % 2 || at + 2 > v->bytes)
    return false;
  text->length = load16(v->block + at);
  text->at = (uint32_t)at + 2;
  if (next)
    *next = at + 2 + ((text->length + 1u) & ~1u);
  return text_fits(v, *text);
}

/* A text by its number in one of the block's tables of texts. */
static bool table_text(const struct catalog_view *v, uint32_t table, uint32_t count, uint32_t i,
                       struct catalog_text *text) {
  return i < count && text_at(v, catalog_load32(v->block + table + i * 4), text, NULL);
}

static bool row_detail(const struct catalog_view *v, uint32_t row, uint64_t *at,
                       struct catalog_detail *detail) {
  *at = catalog_view_row(v, row).detail;
  if (*at % 8 || *at + sizeof *detail > v->bytes)
    return false;
  uint64_t word = catalog_load64(v->block + *at);
  memcpy(detail, &word, sizeof *detail);
  return true;
}

/* Where the row's tags begin; the meta pairs follow them. */
static bool row_texts(const struct catalog_view *v, uint32_t row, struct catalog_detail *detail,
                      uint64_t *at) {
  if (!row_detail(v, row, at, detail))
    return false;
  *at += sizeof *detail + ((detail->id_length + 8u) & ~7u) + detail->port_count * 4u;
  return true;
}

static bool skip_texts(const struct catalog_view *v, uint32_t count, uint64_t *at) {
  struct catalog_text text;
  bool found = true;
  while (found && count--)
    found = text_at(v, *at, &text, at);
  return found;
}

bool catalog_view_text(const struct catalog_view *v, uint32_t row, enum catalog_text_kind kind,
                       uint32_t i, struct catalog_text *text) {
  struct catalog_detail detail;
  uint64_t at;
  if (kind == CATALOG_ZONE)
    return table_text(v, v->zones, v->zone_count, catalog_view_row(v, row).zone, text);
  if (kind == CATALOG_ID) {
    if (!row_detail(v, row, &at, &detail))
      return false;
    *text = (struct catalog_text){(uint32_t)at + sizeof detail, detail.id_length};
    return text_fits(v, *text);
  }
  if (!row_texts(v, row, &detail, &at))
    return false;
  if (i >= (kind == CATALOG_TAG ? detail.tag_count : detail.meta_count))
    return false;
  uint32_t before = kind == CATALOG_TAG ? i : detail.tag_count + i * 2u;
  return skip_texts(v, before, &at) && text_at(v, at, text, NULL);
}

bool catalog_view_meta(const struct catalog_view *v, uint32_t row, const char *key, size_t length,
                       struct catalog_text *value) {
  struct catalog_detail detail;
  struct catalog_text found;
  uint64_t at;
  if (!row_texts(v, row, &detail, &at) || !skip_texts(v, detail.tag_count, &at))
    return false;
  for (uint32_t i = 0; i < detail.meta_count; i++) {
    if (!text_at(v, at, &found, &at) || !text_at(v, at, value, &at))
      return false;
    if (catalog_view_equals(v, found, key, length))
      return true;
  }
  return false;
}

struct catalog_text catalog_view_address(const struct catalog_view *v, uint32_t row) {
  uint32_t length = catalog_view_row(v, row).address_length;
  const char *address = v->rows[row].address;
  struct catalog_text text = {(uint32_t)((const unsigned char *)address - v->block), length};
  if (length > CATALOG_ADDRESS_INLINE)
    text.at = catalog_load32(address);
  if (!text_fits(v, text))
    text.length = 0;
  return text;
}

int catalog_view_port(const struct catalog_view *v, uint32_t row, const char *name, size_t length) {
  struct catalog_detail detail;
  struct catalog_text text;
  uint64_t at;
  if (!row_detail(v, row, &at, &detail))
    return -1;
  at += sizeof detail + ((detail.id_length + 8u) & ~7u);
  if (at + detail.port_count * 4u > v->bytes)
    return -1;
  for (uint32_t i = 0; i < detail.port_count; i++)
    if (table_text(v, v->ports, v->port_count, load16(v->block + at + i * 4), &text) &&
        catalog_view_equals(v, text, name, length))
      return load16(v->block + at + i * 4 + 2);
  return -1;
}

void catalog_view_copy(const struct catalog_view *v, struct catalog_text text, char *to) {
  for (uint32_t i = 0; i < text.length; i++)
    to[i] = load8(v->block + text.at + i);
}

bool catalog_view_equals(const struct catalog_view *v, struct catalog_text text, const char *with,
                         size_t length) {
  if (text.length != length)
    return false;
  for (uint32_t i = 0; i < text.length; i++)
    if (load8(v->block + text.at + i) != with[i])
      return false;
  return true;
}
