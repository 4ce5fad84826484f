#include "config/lexer.h"

#include <ctype.h>
#include <string.h>

void lexer_begin(struct lexer *lx, const char *source, size_t length) {
  *lx = (struct lexer){source, source + length, 1};
}

bool token_is(const struct token *t, const char *word) {
  return (t->kind == TOKEN_NAME || t->kind == TOKEN_SYMBOL) && strlen(word) == t->length &&
         memcmp(t->start, word, t->length) == 0;
}

static char peek(const struct lexer *lx, size_t ahead) {
  return (size_t)(lx->end - lx->at) > ahead ? lx->at[ahead] : 0;
}

static void skip(struct lexer *lx) {
  if (*lx->at++ == '\n')
    lx->line++;
}

/* The level of a long bracket "[==[" that begins here (2), or -1. */
static int long_bracket(const struct lexer *lx) {
  if (peek(lx, 0) != '[')
    return -1;
  size_t level = 0;
  while (peek(lx, level + 1) == '=')
    level++;
  return peek(lx, level + 1) == '[' && level < 1000 ? (int)level : -1;
}

/* From "[==[" to after "]==]" or the end; the text in between. */
static struct token read_long(struct lexer *lx, int level) {
  struct token t = {TOKEN_TEXT, lx->line, NULL, 0};
  size_t closing = (size_t)level + 2;
  lx->at += closing;
  t.start = lx->at;
  while (lx->at < lx->end) {
    bool closes = peek(lx, 0) == ']' && peek(lx, closing - 1) == ']';
    for (size_t i = 1; closes && i + 1 < closing; i++)
      closes = peek(lx, i) == '=';
    if (closes) {
      t.length = (size_t)(lx->at - t.start);
      lx->at += closing;
      return t;
    }
    skip(lx);
  }
  t.length = (size_t)(lx->at - t.start);
  return t;
}

static struct token read_quoted(struct lexer *lx) {
  char quote = *lx->at++;
  struct token t = {TOKEN_TEXT, lx->line, lx->at, 0};
  /* A quoted string ends with its line, unless a backslash is before the line's end. */
  while (lx->at < lx->end && *lx->at != quote && *lx->at != '\n') {
    if (*lx->at == '\\' && lx->at + 1 < lx->end)
      lx->at++;
    skip(lx);
  }
  t.length = (size_t)(lx->at - t.start);
  if (lx->at < lx->end && *lx->at == quote)
    lx->at++;
  return t;
}

static void skip_space_and_comments(struct lexer *lx) {
  for (;;) {
    while (lx->at < lx->end && isspace((unsigned char)*lx->at))
      skip(lx);
    if (peek(lx, 0) != '-' || peek(lx, 1) != '-')
      return;
    lx->at += 2;
    int level = long_bracket(lx);
    if (level >= 0)
      read_long(lx, level);
    else
      while (lx->at < lx->end && *lx->at != '\n')
        lx->at++;
  }
}

static bool in_name(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

struct token lexer_next(struct lexer *lx) {
  skip_space_and_comments(lx);
  struct token t = {TOKEN_END, lx->line, lx->at, 0};
  if (lx->at == lx->end)
    return t;
  int level = long_bracket(lx);
  if (level >= 0)
    return read_long(lx, level);
  char c = *lx->at;
  if (c == '"' || c == '\'')
    return read_quoted(lx);
  if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)peek(lx, 1)))) {
    t.kind = TOKEN_NUMBER;
    while (lx->at < lx->end &&
           (in_name(*lx->at) || *lx->at == '.' ||
            ((*lx->at == '+' || *lx->at == '-') && strchr("eEpP", lx->at[-1]) && lx->at > t.start)))
      lx->at++;
  } else if (in_name(c)) {
    t.kind = TOKEN_NAME;
    while (lx->at < lx->end && in_name(*lx->at))
      lx->at++;
  } else {
    t.kind = TOKEN_SYMBOL;
    lx->at++;
    /* Of those of more than one character only these matter: `==` is no assignment. */
    if (strchr("=~<>", c) && peek(lx, 0) == '=')
      lx->at++;
  }
  t.length = (size_t)(lx->at - t.start);
  return t;
}
