/* pattern: Lua 5.1's patterns, matched within the turn's limit. Control thread only; everything
 * here may raise. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_CAPTURES_MAX = 32, PATTERN_CHOICES_MAX = 199 /* as deep as LuaJIT goes */ };

/* A place in the text where there is more than one way, all that a match has to remember: so it can
 * stop anywhere, and go on later. What is nested: at most one for each item of the pattern. */
struct pattern_choice {
  const char *from;    /* in the text */
  size_t taken;        /* bytes, from there */
  const char *p, *end; /* the item, and behind it */
  int depth;           /* of brackets; or which capture */
  enum pattern_kind {
    TAKE_MOST,
    GIVE_BACK,
    TAKE_LEAST,
    GO_WITHOUT,
    BALANCE,
    OPEN_CAPTURE,
    CLOSE_CAPTURE
  } kind;
};

struct pattern_match {
  lua_State *L; /* for errors and for the turn's limit */
  const char *text, *text_end, *pattern_end;
  const char *s, *p; /* so far; a match ends at s */
  int level;         /* captures so far, closed or open */
  int choices;
  unsigned steps;
  struct {
    const char *at;
    ptrdiff_t length; /* or one of the two below */
  } capture[PATTERN_CAPTURES_MAX];
  struct pattern_choice choice[PATTERN_CHOICES_MAX];
};
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

enum pattern_end { PATTERN_HERE, PATTERN_NOWHERE, PATTERN_LATER };

/* To match at `at` and nowhere else. A pattern's "^" is the caller's. */
static inline void pattern_begin(struct pattern_match *m, const char *at, const char *pattern) {
  m->s = at;
  m->p = pattern;
  m->level = m->choices = 0;
}
/* Goes on. LATER: the task should give way. Raises for a malformed pattern, for one that nests too
 * deep, and where the turn is over. */
enum pattern_end pattern_run(struct pattern_match *m);

/* Pushes capture `i`; with no captures at all, 0 is the whole match from `start` to `end`. */
void pattern_push(struct pattern_match *m, int i, const char *start, const char *end);
/* All of them, or the whole match when there are none and `start` is not NULL; how many. */
int pattern_push_all(struct pattern_match *m, const char *start, const char *end);
