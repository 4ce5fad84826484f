/* json_map: where in a registry's JSON the instances are, and where in each its fields. As written
 * by an adapter:
 *
 *     { each = "path.to.list", id = "Service.ID", address = { "Service.Address", "Node.Address" } }
 *
 * A path goes from field to field, through lists as if they were not there. Of several the first
 * that says something counts. Immutable once made; no thread of its own. */
#pragma once

#include "watch/instance.h"
#include "watch/json_walk.h"

struct value;
struct fault;

enum json_field {
  JSON_INSTANCE, /* an element of `each` */
  JSON_ID,
  JSON_WITHIN, /* goes before the id where several have the same */
  JSON_ADDRESS,
  JSON_PORT,
  JSON_PORTS, /* an object NAME = number; or, with JSON_PORT_NAME and _NUMBER, a list of objects */
  JSON_PORT_NAME,
  JSON_PORT_NUMBER,
  JSON_TAGS,
  JSON_META,
  JSON_ZONE,
  JSON_WEIGHT,
  JSON_STATUS /* the worst of all that are met */
};

/* What a mark of the walk means. One path may be several fields: they are chained. */
struct json_mark {
  enum json_field field;
  uint8_t rank;   /* among the paths of the field: the least that says something counts */
  bool by_status; /* a weight that holds only while the instance is ... */
  enum status status;
  uint16_t next; /* another mark of the same place; 0: none */
};

/* A word that the registry has for a status. */
struct json_word {
  const char *text;
  enum status status;
};

struct json_map {
  struct json_step *steps;
  struct json_mark *marks; /* from 1 on */
  struct json_word *words; /* beside Consul's own */
  size_t step_count, mark_count, word_count;
  const char *each;
  const char *port_prefix; /* of the meta keys that name a port; NULL: none does */
  bool ids;                /* some path says what the id is; else it is made of address and port */
  struct value *declared;  /* holds the texts */
};

/* 0, -ENOMEM, or -EINVAL with the field and what is wrong with it. */
int json_map_new(const struct value *declared, struct json_map **out, struct fault *f);
void json_map_free(struct json_map *m);
