/* schema_rule: one option's rule, as schema.c reads it and schema_check.c applies it. Internal to
 * base/. */
#pragma once

#include "base/schema.h"
#include "base/value.h"

enum rule_type {
  RULE_STRING,
  RULE_NUMBER,
  RULE_INTEGER,
  RULE_BOOLEAN,
  RULE_DURATION,
  RULE_SIZE,
  RULE_ADDRESS,
  RULE_SERVER,
  RULE_CERTIFICATE,
  RULE_KEY,
  RULE_SECRET,
  RULE_CHOICE,
  RULE_LIST,
  RULE_MAP,
  RULE_TABLE,
  RULE_ANY,
};

struct rule {
  enum rule_type type;
  bool optional, main, off, single, has_min, has_max;
  double min, max;        /* durations in seconds; lengths for text and lists */
  struct value *fallback; /* the default as declared; NULL = none */
  struct value *choices;  /* RULE_CHOICE: a list of text */
  const char *whose;      /* RULE_KEY: the certificate beside it whose key it is; NULL = not said */
  struct rule *of;        /* RULE_LIST, RULE_MAP: of each item; RULE_TABLE: of each field */
  const char **names;     /* RULE_TABLE: its fields; the same order as `of` */
  size_t count;           /* RULE_TABLE: how many fields */
  const char *const *beside; /* RULE_TABLE: as schema_beside; NULL: none */
};

struct schema {
  struct rule root;          /* RULE_TABLE */
  struct value *declaration; /* owns the names */
};

/* The option that a plain value stands for, or NULL. */
const struct rule *rule_main(const struct rule *table, const char **name);

/* schema_place.c: a text that names an address, a server or a file of PEM, as it is to be used: a
 * relative file is beside the one that says so. NULL with a fault, or without for want of memory.
 */
struct value *rule_place(const struct rule *r, const struct value *v, struct fault *f);
/* Whether a file of PEM, as rule_place gave it, has a private key in it. */
bool pem_has_key(const char *path);
/* The same of a secret's file: its text, without the newline at its end. */
struct value *secret_read(const char *path, struct fault *f);

/* Checks one value by one rule, without a path: schema_new uses it for defaults and bounds. */
size_t rule_check(const struct rule *r, const struct value *v, const char *path,
                  struct findings *all, struct value **out);
