#include "vm/isolate/fuel.h"

#include "base/buf.h"
#include "base/lexer.h"

#include <stdbool.h>

/* Where a check goes: behind `do` and `repeat`, which all loops but one have; before a `goto`, for
 * that one (behind the label a statement would take it from its block's end, where it may stand in
 * sight of locals); and behind the parameters of a function, for recursion, tail calls,
 * metamethods, iterators and callbacks. */
struct rewriting {
  struct lexer lexer;
  const char *name, *copied; /* up to where the source is in `out` */
  struct buf *out;
};

static void add_check(struct rewriting *r) {
  const char *n = r->name;
  buf_format(r->out, " %s.left=%s.left-1 if %s.left<%s.floor then %s() end ", n, n, n, n, n);
}

static void copy_to(struct rewriting *r, const char *at) {
  buf_add(r->out, r->copied, (size_t)(at - r->copied));
  r->copied = at;
}

static const char *end_of(const struct token *t) {
  return t->start + t->length;
}

static bool is_one_of(const struct token *t, const char *const *words) {
  for (; *words; words++)
    if (token_is(t, *words))
      return true;
  return false;
}

/* `goto` is no reserved word: a variable may be called so. It is one where a value or a name must
 * come, and where no name follows. */
static bool is_goto(const struct token *before, const struct token *t, struct lexer ahead) {
  static const char *const values_follow[] = {
      ".",     "..",    ":",  "=",  "==", "~=",  "<",   "<=",     ">",        ">=",     "+",
      "-",     "*",     "/",  "%",  "^",  "#",   ",",   "(",      "[",        "{",      "local",
      "until", "while", "if", "in", "or", "and", "not", "return", "function", "elseif", NULL};
  return token_is(t, "goto") && lexer_next(&ahead).kind == TOKEN_NAME &&
         !is_one_of(before, values_follow);
}

static struct token skip_parameters(struct rewriting *r) {
  struct token t = lexer_next(&r->lexer);
  while (t.kind != TOKEN_END && !token_is(&t, ")"))
    t = lexer_next(&r->lexer);
  copy_to(r, end_of(&t));
  add_check(r);
  return t;
}

void fuel_rewrite(const char *source, size_t length, const char *name, struct buf *out) {
  struct rewriting r = {.name = name, .out = out};
  struct token before = {TOKEN_END, 1, source, 0};
  lexer_begin(&r.lexer, source, length);
  r.copied = r.lexer.at;
  buf_format(out, "local %s = ... return function(...)", name);
  add_check(&r);
  for (;;) {
    struct token t = lexer_next(&r.lexer);
    if (t.kind == TOKEN_END)
      break;
    if (is_goto(&before, &t, r.lexer)) {
      copy_to(&r, t.start);
      add_check(&r);
    } else if (token_is(&t, "do") || token_is(&t, "repeat")) {
      copy_to(&r, end_of(&t));
      add_check(&r);
    } else if (token_is(&t, "function")) {
      t = skip_parameters(&r);
    }
    before = t;
  }
  copy_to(&r, source + length);
  buf_text(out, "\nend");
}
