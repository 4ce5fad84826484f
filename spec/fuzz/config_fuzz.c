/* Any bytes as a configuration: the reader of places (tokens as text) and the reader of targets,
 * durations, sizes and addresses. Lua itself is not run: it is not what is tested here. */
#include "base/text.h"
#include "base/lexer.h"
#include "base/places.h"
#include "config/target.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every token lies in the source, in order, and lines never go back. */
static void read_tokens(const char *source, size_t size) {
  struct lexer lx;
  const char *at = source;
  int line = 1;
  lexer_begin(&lx, source, size);
  for (;;) {
    struct token t = lexer_next(&lx);
    if (t.start < at || t.start + t.length > source + size || t.line < line)
      abort();
    if (t.kind == TOKEN_END)
      return;
    at = t.start + t.length;
    line = t.line;
  }
}

static void walk(struct place_cursor at, int depth) {
  static const char *const keys[] = {"services", "web", "check", "a", "x"};
  if (at.line < 0)
    abort();
  for (size_t i = 0; depth && i < sizeof keys / sizeof *keys; i++)
    walk(place_field(at, keys[i]), depth - 1);
  for (size_t i = 1; depth && i < 3; i++)
    walk(place_item(at, i), depth - 1);
}

static void read_words(const char *text) {
  struct target t;
  char host[256];
  int64_t ns = 0;
  uint64_t bytes;
  uint16_t port;
  if (target_parse(text, &t, NULL) == 0) {
    target_each_address(t.name, NULL, NULL, NULL);
    target_clear(&t);
  }
  if (duration_parse(text, &ns, NULL) == 0 && ns < 0)
    abort();
  size_parse(text, &bytes, NULL);
  address_parse(text, host, sizeof host, &port, NULL);
  name_valid(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* A block of its own size, so that one byte beyond it is seen. */
  char *source = malloc(size ? size : 1), *text = malloc(size + 1);
  if (!source || !text)
    abort();
  if (size) {
    memcpy(source, data, size);
    memcpy(text, data, size);
  }
  text[size] = 0;
  read_tokens(source, size);
  struct places *places = places_read(source, size);
  if (!places)
    abort();
  walk(places_root(places), 3);
  places_free(places);
  read_words(text);
  free(source);
  free(text);
  return 0;
}
