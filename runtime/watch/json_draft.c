#include "watch/json_draft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNSAID = 255 };

/* ---- what a field says ---- */

static bool is_said(const struct json_event *e) {
  return e->kind == JSON_NUMBER || (e->kind == JSON_TEXT && e->length > 0);
}

static size_t keep_text(struct json_draft *d, const char *text, size_t length) {
  size_t at = d->texts.length;
  buf_add(&d->texts, text, length);
  buf_char(&d->texts, '\0');
  if (memchr(text, '\0', length))
    d->wrong = "a text has a NUL in it";
  return at;
}

static bool better(uint8_t *rank, uint8_t than) {
  if (than >= *rank)
    return false;
  *rank = than;
  return true;
}

/* Numbers are taken as they are written: ids are, sometimes. */
static void say_text(struct json_draft *d, struct json_said *field, uint8_t rank,
                     const struct json_event *e) {
  if (is_said(e) && better(&field->rank, rank))
    field->at = keep_text(d, e->text, e->length);
}

/* NAN: it is no number. */
static double number_of(const struct json_event *e) {
  char text[32], *end;
  if (e->kind == JSON_NUMBER)
    return e->number;
  if (e->kind != JSON_TEXT || e->length == 0 || e->length >= sizeof text)
    return NAN;
  memcpy(text, e->text, e->length);
  text[e->length] = '\0';
  double n = strtod(text, &end);
  return *end == '\0' ? n : NAN;
}

static bool is_port(double n) {
  return n == floor(n) && n >= 0 && n <= 65535;
}

static void say_port(struct json_draft *d, uint8_t rank, const struct json_event *e) {
  double n = number_of(e);
  if (!is_said(e) || n == 0)
    return;
  if (!is_port(n))
    d->wrong = "port: a number from 0 to 65535 is expected";
  else if (better(&d->port_rank, rank))
    d->port = n;
}

static void say_weight(struct json_draft *d, const struct json_mark *mark,
                       const struct json_event *e) {
  double n = number_of(e);
  if (!is_said(e))
    return;
  if (!(n >= 0) || !isfinite(n))
    d->wrong = "weight: a finite number from 0 is expected";
  for (int s = 0; s < JSON_STATUSES; s++)
    if ((!mark->by_status || s == (int)mark->status) && better(&d->weight_ranks[s], mark->rank))
      d->weights[s] = n;
}

static bool is_word(const struct json_event *e, const char *word) {
  return strlen(word) == e->length && memcmp(word, e->text, e->length) == 0;
}

static void say_status(struct json_draft *d, const struct json_event *e) {
  static const struct json_word own[] = {
      {"passing", STATUS_PASSING},      {"warning", STATUS_WARNING}, {"critical", STATUS_CRITICAL},
      {"maintenance", STATUS_CRITICAL}, {"true", STATUS_PASSING},    {"false", STATUS_CRITICAL}};
  const struct json_map *map = d->map;
  if (e->kind < JSON_TEXT || e->kind == JSON_NULL)
    return;
  for (size_t i = 0; i < map->word_count + sizeof own / sizeof *own; i++) {
    const struct json_word *w = i < map->word_count ? &map->words[i] : &own[i - map->word_count];
    if (is_word(e, w->text)) {
      if (w->status > d->status)
        d->status = w->status;
      return;
    }
  }
  d->wrong = "status: a word that nobody explained";
}

static void say_tag(struct json_draft *d, const struct json_event *e) {
  if (e->kind != JSON_TEXT)
    return;
  if (d->tag_count == JSON_LIST_MOST)
    d->wrong = "more than 1000 tags";
  else
    d->tags[d->tag_count++] = keep_text(d, e->text, e->length);
}

static void say_meta(struct json_draft *d, const struct json_event *e) {
  if (!e->key || e->kind < JSON_TEXT || e->kind == JSON_NULL)
    return;
  if (d->meta_count == JSON_LIST_MOST) {
    d->wrong = "more than 1000 meta keys";
    return;
  }
  struct json_named *pair = &d->meta[d->meta_count++];
  pair->name = keep_text(d, e->key, e->key_length);
  pair->value = keep_text(d, e->text, e->length);
}

static void add_port(struct json_draft *d, size_t name, double number) {
  if (!is_port(number))
    d->wrong = "ports: a number from 0 to 65535 is expected";
  else if (d->port_count == JSON_LIST_MOST)
    d->wrong = "more than 1000 ports";
  else
    d->ports[d->port_count++] = (struct json_named){name, (size_t)number};
}

/* An object's fields, or an element of a list begins. */
static void say_ports(struct json_draft *d, const struct json_event *e) {
  if (e->key && e->kind >= JSON_TEXT && e->kind != JSON_NULL)
    add_port(d, keep_text(d, e->key, e->key_length), number_of(e));
  d->port_name = 0;
  d->port_number = NAN;
}

static void say_port_part(struct json_draft *d, enum json_field field, const struct json_event *e) {
  if (field == JSON_PORT_NAME && e->kind == JSON_TEXT)
    d->port_name = keep_text(d, e->text, e->length);
  else if (field == JSON_PORT_NUMBER && e->kind == JSON_NUMBER)
    d->port_number = e->number;
  if (d->port_name && !isnan(d->port_number)) {
    add_port(d, d->port_name, d->port_number);
    d->port_name = 0;
    d->port_number = NAN;
  }
}

void json_draft_say(struct json_draft *d, const struct json_mark *mark,
                    const struct json_event *e) {
  switch (mark->field) {
  case JSON_ID:
    say_text(d, &d->id, mark->rank, e);
    break;
  case JSON_WITHIN:
    say_text(d, &d->within, mark->rank, e);
    break;
  case JSON_ADDRESS:
    say_text(d, &d->address, mark->rank, e);
    break;
  case JSON_ZONE:
    say_text(d, &d->zone, mark->rank, e);
    break;
  case JSON_PORT:
    say_port(d, mark->rank, e);
    break;
  case JSON_WEIGHT:
    say_weight(d, mark, e);
    break;
  case JSON_STATUS:
    say_status(d, e);
    break;
  case JSON_TAGS:
    say_tag(d, e);
    break;
  case JSON_META:
    say_meta(d, e);
    break;
  case JSON_PORTS:
    say_ports(d, e);
    break;
  case JSON_PORT_NAME:
  case JSON_PORT_NUMBER:
    say_port_part(d, mark->field, e);
    break;
  case JSON_INSTANCE:
    break;
  }
}

/* ---- the whole ---- */

void json_draft_begin(struct json_draft *d) {
  buf_clear(&d->texts);
  buf_char(&d->texts, '\0'); /* so that 0 is no text's place, and an empty one's */
  d->id = d->within = d->address = d->zone = (struct json_said){.rank = UNSAID};
  d->port = 0;
  d->port_rank = UNSAID;
  memset(d->weight_ranks, UNSAID, sizeof d->weight_ranks);
  d->status = STATUS_PASSING;
  d->wrong = NULL;
  d->tag_count = d->meta_count = d->port_count = d->port_name = 0;
  d->port_number = NAN;
}

void json_draft_free(struct json_draft *d) {
  buf_free(&d->texts);
}

static const char *text_at(const struct json_draft *d, size_t at) {
  return d->texts.data + at;
}

const char *json_draft_within(const struct json_draft *d) {
  return d->within.rank == UNSAID ? NULL : text_at(d, d->within.at);
}

static bool has_port(const struct catalog_port *ports, uint16_t count, const char *name) {
  for (uint16_t i = 0; i < count; i++)
    if (strcmp(ports[i].name, name) == 0)
      return true;
  return false;
}

/* What the meta say of ports, where no path has said it. */
static uint16_t add_meta_ports(const struct json_draft *d, const struct catalog_pair *meta,
                               struct catalog_port *ports, uint16_t count) {
  const char *prefix = d->map->port_prefix;
  size_t length = prefix ? strlen(prefix) : 0;
  for (size_t i = 0; prefix && i < d->meta_count && count < JSON_LIST_MOST; i++) {
    const char *name = meta[i].key + length;
    char *end;
    if (strncmp(meta[i].key, prefix, length) != 0 || !*name || has_port(ports, count, name))
      continue;
    long port = strtol(meta[i].value, &end, 10);
    if (*end == '\0' && port > 0 && port <= 65535)
      ports[count++] = (struct catalog_port){name, (uint16_t)port};
  }
  return count;
}

struct instance *json_draft_make(const struct json_draft *d, const char *service) {
  const char *tags[JSON_LIST_MOST];
  struct catalog_pair meta[JSON_LIST_MOST];
  struct catalog_port ports[JSON_LIST_MOST];
  char made[300];
  const char *address = text_at(d, d->address.at), *id = text_at(d, d->id.at);
  if (d->texts.failed)
    return NULL;
  if (!d->map->ids) {
    snprintf(made, sizeof made, "%.255s:%.0f", address, d->port);
    id = made;
  }
  for (size_t i = 0; i < d->tag_count; i++)
    tags[i] = text_at(d, d->tags[i]);
  for (size_t i = 0; i < d->meta_count; i++)
    meta[i] = (struct catalog_pair){text_at(d, d->meta[i].name), text_at(d, d->meta[i].value)};
  for (size_t i = 0; i < d->port_count; i++)
    ports[i] = (struct catalog_port){text_at(d, d->ports[i].name), (uint16_t)d->ports[i].value};
  uint16_t port_count = add_meta_ports(d, meta, ports, (uint16_t)d->port_count);
  const struct instance_draft draft = {
      .id = id,
      .service = service,
      .address = address,
      .zone = text_at(d, d->zone.at),
      .port = (uint16_t)d->port,
      .weight = d->weight_ranks[d->status] == UNSAID ? 1 : d->weights[d->status],
      .ports = ports,
      .tags = tags,
      .meta = meta,
      .port_count = port_count,
      .tag_count = (uint16_t)d->tag_count,
      .meta_count = (uint16_t)d->meta_count};
  return instance_new(&draft);
}
