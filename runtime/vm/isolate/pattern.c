/* The algorithm is that of Lua 5.1's lstrlib.c (R. Ierusalimschy, MIT licence), with %g
 * as LuaJIT adds it. It backtracks, so that a short pattern can take for ever; it looks
 * now and then whether the turn is over, as no hook can while C runs. */
#include "vm/isolate/pattern.h"
#include "vm/isolate/inside.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

enum { DEPTH_MAX = 200, ESCAPE = '%' }; /* the depth as in LuaJIT, which the C stack bears */
enum { STEPS = 256 };                   /* of matching, between two looks at the turn */

static const char *match(struct pattern_match *m, const char *s, const char *p);

static int capture_check(struct pattern_match *m, int digit) {
  int i = digit - '1';
  if (i < 0 || i >= m->level || m->capture[i].length == CAPTURE_OPEN)
    return luaL_error(m->L, "invalid capture index");
  return i;
}

static int capture_to_close(struct pattern_match *m) {
  for (int i = m->level - 1; i >= 0; i--)
    if (m->capture[i].length == CAPTURE_OPEN)
      return i;
  return luaL_error(m->L, "invalid pattern capture");
}

/* Behind the single class (a character, %x or a set) that begins at p. */
static const char *class_end(struct pattern_match *m, const char *p) {
  switch (*p++) {
  case ESCAPE:
    if (p >= m->pattern_end)
      luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 1;
  case '[':
    if (p < m->pattern_end && *p == '^')
      p++;
    do { /* a "]" that comes first is a member */
      if (p >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing ']')");
      if (*p++ == ESCAPE && p < m->pattern_end)
        p++;
    } while (p >= m->pattern_end || *p != ']');
    return p + 1;
  default:
    return p;
  }
}

/* What glibc's table says of each byte; the agent never leaves the C locale. */
static unsigned class_bits(int letter) {
  switch (letter) {
  case 'a':
    return _ISalpha;
  case 'c':
    return _IScntrl;
  case 'd':
    return _ISdigit;
  case 'g':
    return _ISgraph;
  case 'l':
    return _ISlower;
  case 'p':
    return _ISpunct;
  case 's':
    return _ISspace;
  case 'u':
    return _ISupper;
  case 'w':
    return _ISalnum;
  case 'x':
    return _ISxdigit;
  default:
    return 0;
  }
}

static bool class_has(int c, int class) {
  int letter = class | 0x20; /* in lower case, if it is a letter */
  bool negated = class != letter, has;
  unsigned bits = class_bits(letter);
  if (bits)
    has = (*__ctype_b_loc())[c] & bits;
  else if (letter == 'z')
    has = c == 0;
  else
    return class == c;
  return has != negated;
}

/* The set from "[" at p to "]" at `last`. */
static bool set_has(int c, const char *p, const char *last) {
  bool found = true;
  if (p[1] == '^') {
    found = false;
    p++;
  }
  while (++p < last) {
    if (*p == ESCAPE) {
      p++;
      if (class_has(c, (unsigned char)*p))
        return found;
    } else if (p[1] == '-' && p + 2 < last) {
      p += 2;
      if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
        return found;
    } else if ((unsigned char)*p == c) {
      return found;
    }
  }
  return !found;
}

static bool single(const struct pattern_match *m, const char *s, const char *p, const char *end) {
  if (s >= m->text_end)
    return false;
  int c = (unsigned char)*s;
  switch (*p) {
  case '.':
    return true;
  case ESCAPE:
    return class_has(c, (unsigned char)p[1]);
  case '[':
    return set_has(c, p, end - 1);
  default:
    return (unsigned char)*p == c;
  }
}

static const char *match_balance(struct pattern_match *m, const char *s, const char *p) {
  if (p + 1 >= m->pattern_end)
    luaL_error(m->L, "unbalanced pattern");
  if (s >= m->text_end || *s != *p)
    return NULL;
  const char open = *p, close = p[1];
  int depth = 1;
  while (++s < m->text_end) {
    if (*s == close) {
      if (--depth == 0)
        return s + 1;
    } else if (*s == open) {
      depth++;
    }
  }
  return NULL;
}

static const char *match_most(struct pattern_match *m, const char *s, const char *p,
                              const char *end) {
  ptrdiff_t i = 0;
  while (single(m, s + i, p, end))
    i++;
  for (; i >= 0; i--) {
    const char *matched = match(m, s + i, end + 1);
    if (matched)
      return matched;
  }
  return NULL;
}

static const char *match_least(struct pattern_match *m, const char *s, const char *p,
                               const char *end) {
  for (;; s++) {
    const char *matched = match(m, s, end + 1);
    if (matched)
      return matched;
    if (!single(m, s, p, end))
      return NULL;
  }
}

static const char *capture_open(struct pattern_match *m, const char *s, const char *p,
                                ptrdiff_t what) {
  if (m->level >= PATTERN_CAPTURES_MAX)
    luaL_error(m->L, "too many captures");
  m->capture[m->level].at = s;
  m->capture[m->level++].length = what;
  const char *matched = match(m, s, p);
  if (!matched)
    m->level--;
  return matched;
}

static const char *capture_close(struct pattern_match *m, const char *s, const char *p) {
  int i = capture_to_close(m);
  m->capture[i].length = s - m->capture[i].at;
  const char *matched = match(m, s, p);
  if (!matched)
    m->capture[i].length = CAPTURE_OPEN;
  return matched;
}

static const char *match_again(struct pattern_match *m, const char *s, int digit) {
  int i = capture_check(m, digit);
  size_t length = (size_t)m->capture[i].length; /* of a position: more than any text has */
  if ((size_t)(m->text_end - s) < length || memcmp(m->capture[i].at, s, length) != 0)
    return NULL;
  return s + length;
}

static bool frontier(struct pattern_match *m, const char *s, const char *p, const char *end) {
  int before = s == m->text ? 0 : (unsigned char)s[-1];
  int after = s < m->text_end ? (unsigned char)*s : 0;
  return !set_has(before, p, end - 1) && set_has(after, p, end - 1);
}

/* What begins with "%": true when it was one of the forms that are no class; *s moves on, or is
 * NULL where it did not match. */
static bool match_special(struct pattern_match *m, const char **s, const char **p) {
  const char *next = *p + 1;
  int c = next < m->pattern_end ? (unsigned char)*next : 0;
  if (c == 'b') {
    *s = match_balance(m, *s, *p + 2);
    *p += 4;
  } else if (c == 'f') {
    const char *set = *p + 2;
    if (set >= m->pattern_end || *set != '[')
      luaL_error(m->L, "missing '[' after '%%f' in pattern");
    *p = class_end(m, set);
    if (!frontier(m, *s, set, *p))
      *s = NULL;
  } else if (isdigit(c)) {
    *s = match_again(m, *s, c);
    *p += 2;
  } else {
    return false;
  }
  return true;
}

/* One step of the pattern that may be followed by the next: false when the answer is in *s. */
static bool match_class(struct pattern_match *m, const char **s, const char **p) {
  const char *end = class_end(m, *p), *rest;
  switch (end < m->pattern_end ? *end : 0) {
  case '?':
    if (single(m, *s, *p, end) && (rest = match(m, *s + 1, end + 1))) {
      *s = rest;
      return false;
    }
    *p = end + 1;
    return true;
  case '*':
    *s = match_most(m, *s, *p, end);
    return false;
  case '+':
    *s = single(m, *s, *p, end) ? match_most(m, *s + 1, *p, end) : NULL;
    return false;
  case '-':
    *s = match_least(m, *s, *p, end);
    return false;
  default:
    *s = single(m, *s, *p, end) ? *s + 1 : NULL;
    *p = end;
    return *s != NULL;
  }
}

static const char *match(struct pattern_match *m, const char *s, const char *p) {
  if (++m->steps % STEPS == 0)
    turn_poll(m->L, STEPS);
  if (++m->depth > DEPTH_MAX)
    luaL_error(m->L, "pattern too complex");
  bool more = true;
  while (more && s && p < m->pattern_end) {
    if (*p == '(') {
      bool position = p + 1 < m->pattern_end && p[1] == ')';
      s = capture_open(m, s, p + (position ? 2 : 1), position ? CAPTURE_POSITION : CAPTURE_OPEN);
      more = false;
    } else if (*p == ')') {
      s = capture_close(m, s, p + 1);
      more = false;
    } else if (*p == '$' && p + 1 == m->pattern_end) {
      s = s == m->text_end ? s : NULL;
      more = false;
    } else if (*p != ESCAPE || !match_special(m, &s, &p)) {
      more = match_class(m, &s, &p);
    }
  }
  m->depth--;
  return s;
}

const char *pattern_match(struct pattern_match *m, const char *at, const char *pattern) {
  m->level = m->depth = 0;
  return match(m, at, pattern);
}

void pattern_push(struct pattern_match *m, int i, const char *start, const char *end) {
  if (i >= m->level) {
    if (i != 0)
      luaL_error(m->L, "invalid capture index");
    lua_pushlstring(m->L, start, (size_t)(end - start));
  } else if (m->capture[i].length == CAPTURE_POSITION) {
    lua_pushinteger(m->L, m->capture[i].at - m->text + 1);
  } else if (m->capture[i].length == CAPTURE_OPEN) {
    luaL_error(m->L, "unfinished capture");
  } else {
    lua_pushlstring(m->L, m->capture[i].at, (size_t)m->capture[i].length);
  }
}

int pattern_push_all(struct pattern_match *m, const char *start, const char *end) {
  int count = m->level == 0 && start ? 1 : m->level;
  luaL_checkstack(m->L, count, "too many captures");
  for (int i = 0; i < count; i++)
    pattern_push(m, i, start, end);
  return count;
}
