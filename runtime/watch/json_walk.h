/* json_walk: one pass over a JSON document along paths that are known before, telling of what lies
 * on them, in whatever order it comes. simdjson does the reading: what is on no path is skipped
 * without being looked at. In C++ behind this header. Control thread only: what one document needed
 * is kept for the next, four bytes for each bracket, comma and value in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fault;

enum {
  JSON_PADDING = 64,            /* bytes behind a document that may be read, whatever they are */
  JSON_MOST = 64 * 1024 * 1024, /* bytes of a document */
  JSON_KEPT = 16 * 1024 * 1024, /* after a larger one nothing is kept */
  JSON_DEPTH = 64               /* of lists and objects that lie on a path */
};

/* One step of a path; a step may lead to several others. Lists are passed through: a path means
 * each of their elements. */
struct json_step {
  const char *key; /* of the field that leads here; the first step's is not looked at */
  size_t length;
  uint16_t child, sibling; /* steps by index: the first below, the next beside; 0: none */
  uint16_t children; /* so many are below; of an object that has one twice the last may be missed */
  uint16_t mark;     /* what is told of what lies here; 0: nothing */
  bool any; /* all its fields that are no list and no object are told with its mark and their key */
};

enum json_kind {
  JSON_LIST,   /* begins */
  JSON_OBJECT, /* begins */
  JSON_END,    /* of the object */
  JSON_TEXT,
  JSON_NUMBER,
  JSON_BOOLEAN,
  JSON_NULL
};

/* Texts are valid during the call only, not NUL-terminated, and may hold NULs. */
struct json_event {
  enum json_kind kind;
  const char *text; /* of a text; of a number as it is written */
  size_t length;
  double number;   /* 1 and 0 of a boolean */
  const char *key; /* in an `any` object, else NULL */
  size_t key_length;
};

/* Non-zero ends the walk. */
typedef int (*json_tell_fn)(void *arg, unsigned mark, const struct json_event *event);

/* `steps[0]` is the document itself. `bytes` has JSON_PADDING more behind its length. 0, what
 * `tell` returned, -E2BIG, -ENOMEM, or -EPROTO with what is wrong: then some may have been told
 * already.
 */
int json_walk(const char *bytes, size_t length, const struct json_step *steps, json_tell_fn tell,
              void *arg, struct fault *f);

#ifdef __cplusplus
}
#endif
