/* reply: what the running agent says in JSON: asked for, read, and shown to a person or, with
 * --json, to a program. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"

#include <jansson.h>
#include <stdbool.h>

/* Writes what a person reads of it. False: it is not what was expected, which is then told. */
typedef bool (*reply_write)(const void *arg, const json_t *answer, struct buf *out);

/* GETs `path` and prints the answer, as it came with --json. An exit code. */
int reply_show(const struct arguments *a, const char *path, reply_write write, const void *arg);
/* The same for what operates the agent: POSTs `body` to the verb. */
int reply_operate(const struct arguments *a, const char *verb, const struct buf *body,
                  reply_write write, const void *arg);

/* Says so where an answer has "kept": false: it is done, and could not be put on the disk. */
void reply_mention_unkept(const struct arguments *a, const json_t *answer);

/* Fields of an answer, or of a part of it; "" and 0 where there is none. */
const char *reply_text(const json_t *o, const char *key);
double reply_number(const json_t *o, const char *key);
bool reply_flag(const json_t *o, const char *key);

/* A time as the person's clock shows it, to the second. */
void reply_write_time(struct buf *out, double unix_seconds);
