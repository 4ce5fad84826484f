/* The algorithm is that of Lua 5.1's lstrlib.c (R. Ierusalimschy, MIT licence), with %g
 * as LuaJIT adds it. It backtracks, so that a short pattern can take for ever, and no
 * hook can interrupt C: so it does not recurse, as that one does, but keeps the ways that are left
 * in a list, and can stop at any step. */
#include "vm/isolate/pattern.h"
#include "vm/isolate/inside.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

enum { ESCAPE = '%' };
enum { STEPS = 256, RUN = 4096 }; /* between two looks at the turn; bytes at a time */

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

static struct pattern_choice *choose(struct pattern_match *m, enum pattern_kind kind, const char *s,
                                     const char *p, const char *end) {
  if (m->choices >= PATTERN_CHOICES_MAX)
    luaL_error(m->L, "pattern too complex");
  struct pattern_choice *c = &m->choice[m->choices++];
  *c = (struct pattern_choice){.kind = kind, .from = s, .p = p, .end = end};
  return c;
}

static const char *run_end(const struct pattern_match *m, const char *s) {
  return m->text_end - s > RUN ? s + RUN : m->text_end;
}

/* As many as there are, of which it gives back one at a time. */
static const char *take_most(struct pattern_match *m, struct pattern_choice *c) {
  const char *begun = c->from + c->taken, *most = run_end(m, begun), *at = begun;
  while (at < most && single(m, at, c->p, c->end))
    at++;
  m->steps += (unsigned)(at - begun);
  c->taken += (size_t)(at - begun);
  if (at == most && most < m->text_end)
    return NULL; /* it is asked again for the next of them */
  c->kind = GIVE_BACK;
  m->p = c->end + 1;
  return at;
}

static const char *balance(struct pattern_match *m, struct pattern_choice *c) {
  const char *begun = c->from + c->taken, *most = run_end(m, begun);
  const char open = *c->p, close = c->p[1];
  m->steps += (unsigned)(most - begun);
  c->taken += (size_t)(most - begun);
  for (const char *at = begun; at < most; at++) {
    if (*at == close) {
      if (--c->depth == 0) {
        m->choices--;
        m->p = c->p + 2;
        return at + 1;
      }
    } else if (*at == open) {
      c->depth++;
    }
  }
  if (most == m->text_end)
    m->choices--;
  return NULL;
}

/* The other way at the last place where there was a choice: where to go on, from m->p. NULL: not
 * there, or not yet. */
static const char *again(struct pattern_match *m) {
  struct pattern_choice *c = &m->choice[m->choices - 1];
  switch (c->kind) {
  case TAKE_MOST:
    return take_most(m, c);
  case GIVE_BACK:
    if (c->taken == 0)
      break;
    m->p = c->end + 1;
    return c->from + --c->taken;
  case TAKE_LEAST:
    if (!single(m, c->from + c->taken, c->p, c->end))
      break;
    m->p = c->end + 1;
    return c->from + ++c->taken;
  case GO_WITHOUT:
    m->choices--;
    m->p = c->end + 1;
    return c->from;
  case BALANCE:
    return balance(m, c);
  case OPEN_CAPTURE:
    m->level--;
    break;
  case CLOSE_CAPTURE:
    m->capture[c->depth].length = CAPTURE_OPEN;
    break;
  }
  m->choices--;
  return NULL;
}

static void capture_open(struct pattern_match *m, const char *s, const char *p, ptrdiff_t what) {
  if (m->level >= PATTERN_CAPTURES_MAX)
    luaL_error(m->L, "too many captures");
  m->capture[m->level].at = s;
  m->capture[m->level++].length = what;
  choose(m, OPEN_CAPTURE, s, p, p);
}

static void capture_close(struct pattern_match *m, const char *s, const char *p) {
  int i = capture_to_close(m);
  m->capture[i].length = s - m->capture[i].at;
  choose(m, CLOSE_CAPTURE, s, p, p)->depth = i;
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

static const char *match_balance(struct pattern_match *m, const char *s, const char *p) {
  if (p + 1 >= m->pattern_end)
    luaL_error(m->L, "unbalanced pattern");
  if (s >= m->text_end || *s != *p)
    return NULL;
  choose(m, BALANCE, s + 1, p, p)->depth = 1;
  return NULL;
}

/* What begins with "%": true when it was one of the forms that are no class; *s moves on, or is
 * NULL where it did not match. */
static bool match_special(struct pattern_match *m, const char **s, const char *p) {
  const char *next = p + 1;
  int c = next < m->pattern_end ? (unsigned char)*next : 0;
  if (c == 'b') {
    *s = match_balance(m, *s, p + 2);
  } else if (c == 'f') {
    const char *set = p + 2;
    if (set >= m->pattern_end || *set != '[')
      luaL_error(m->L, "missing '[' after '%%f' in pattern");
    m->p = class_end(m, set);
    if (!frontier(m, *s, set, m->p))
      *s = NULL;
  } else if (isdigit(c)) {
    *s = match_again(m, *s, c);
    m->p = p + 2;
  } else {
    return false;
  }
  return true;
}

/* A single class, and how often. */
static inline const char *match_class(struct pattern_match *m, const char *s, const char **item) {
  const char *p = *item, *end = class_end(m, p);
  char how = end < m->pattern_end ? *end : '\0';
  bool first = how == '*' || how == '-' || single(m, s, p, end);
  *item = end + 1;
  switch (how) {
  case '?':
    if (first)
      choose(m, GO_WITHOUT, s, p, end);
    return s + first;
  case '*':
  case '+':
    s = first ? take_most(m, choose(m, TAKE_MOST, s + (how == '+'), p, end)) : NULL;
    return s;
  case '-':
    choose(m, TAKE_LEAST, s, p, end);
    return s;
  default:
    *item = end;
    return first ? s + 1 : NULL;
  }
}

/* From s and *item on: where it is then; NULL: not this way. */
static inline const char *step(struct pattern_match *m, const char *s, const char **item) {
  const char *p = *item;
  if (*p == '(') {
    bool position = p + 1 < m->pattern_end && p[1] == ')';
    *item = p + (position ? 2 : 1);
    capture_open(m, s, p, position ? CAPTURE_POSITION : CAPTURE_OPEN);
    return s;
  }
  if (*p == ')') {
    *item = p + 1;
    capture_close(m, s, p);
    return s;
  }
  if (*p == '$' && p + 1 == m->pattern_end) {
    *item = p + 1;
    return s == m->text_end ? s : NULL;
  }
  if (*p == ESCAPE && match_special(m, &s, p)) {
    *item = m->p;
    return s;
  }
  return match_class(m, s, item);
}

enum pattern_end pattern_run(struct pattern_match *m) {
  const char *s = m->s, *p = m->p;
  while (!s || p < m->pattern_end) {
    if (++m->steps >= STEPS) {
      turn_poll(m->L, (int32_t)m->steps);
      m->steps = 0;
      m->s = s;
      m->p = p;
      if (task_should_give_way(m->L))
        return PATTERN_LATER;
    }
    if (s) {
      s = step(m, s, &p);
    } else if (m->choices > 0) {
      s = again(m);
      p = m->p;
    } else {
      return PATTERN_NOWHERE;
    }
  }
  m->s = s;
  return PATTERN_HERE;
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
