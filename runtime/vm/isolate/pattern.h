/* pattern: Lua 5.1's patterns, matched within the turn's limit. Control thread only; everything
 * here may raise. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_CAPTURES_MAX = 32 };

struct pattern_match {
  lua_State *L; /* for errors and for the turn's limit */
  const char *text, *text_end, *pattern_end;
  int level; /* captures so far, closed or open */
  int depth;
  unsigned steps;
  struct {
    const char *at;
    ptrdiff_t length; /* or one of the two below */
  } capture[PATTERN_CAPTURES_MAX];
};
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

/* Matches at `at` and nowhere else; the end of the match, or NULL. A pattern's "^" is the caller's.
 * Raises for a malformed pattern, for one that nests too deep, and where the turn is over. */
const char *pattern_match(struct pattern_match *m, const char *at, const char *pattern);

/* Pushes capture `i`; with no captures at all, 0 is the whole match from `start` to `end`. */
void pattern_push(struct pattern_match *m, int i, const char *start, const char *end);
/* All of them, or the whole match when there are none and `start` is not NULL; how many. */
int pattern_push_all(struct pattern_match *m, const char *start, const char *end);
