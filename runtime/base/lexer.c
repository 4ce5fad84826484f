#include "base/lexer.h"

#include <string.h>

bool token_is(const struct token *t, const char *word) {
  return (t->kind == TOKEN_NAME || t->kind == TOKEN_SYMBOL) && strlen(word) == t->length &&
         memcmp(t->start, word, t->length) == 0;
}

static char peek(const struct lexer *lx, size_t ahead) {
  return (size_t)(lx->end - lx->at) > ahead ? lx->at[ahead] : 0;
}

/* Letters are ASCII's, whatever the locale; LuaJIT takes all that is above them as well. */
static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
         (unsigned char)c >= 0x80;
}
static bool ends_line(char c) {
  return c == '\n' || c == '\r';
}
static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One character, or the two of "\r\n" or "\n\r", which end one line. */
static void skip(struct lexer *lx) {
  char c = *lx->at++;
  if (!ends_line(c))
    return;
  lx->line++;
  if (ends_line(peek(lx, 0)) && peek(lx, 0) != c)
    lx->at++;
}

static void skip_line(struct lexer *lx) {
  while (lx->at < lx->end && !ends_line(*lx->at))
    lx->at++;
}

void lexer_begin(struct lexer *lx, const char *source, size_t length) {
  *lx = (struct lexer){source, source + length, 1};
  if (length >= 3 && memcmp(source, "\xef\xbb\xbf", 3) == 0)
    lx->at += 3;
  if (peek(lx, 0) == '#')
    skip_line(lx);
}

/* The level of a long bracket "[==[" that begins here (2), or -1. */
static long long_bracket(const struct lexer *lx) {
  if (peek(lx, 0) != '[')
    return -1;
  size_t level = 0;
  while (peek(lx, level + 1) == '=')
    level++;
  return peek(lx, level + 1) == '[' ? (long)level : -1;
}

/* From "[==[" to after "]==]" or the end; the text in between. */
static struct token read_long(struct lexer *lx, size_t level) {
  struct token t = {TOKEN_TEXT, lx->line, NULL, 0};
  size_t closing = level + 2;
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

/* What a backslash takes with it: "\z" all space that follows, else one character. */
static void skip_escape(struct lexer *lx) {
  lx->at++;
  bool space = peek(lx, 0) == 'z';
  if (lx->at < lx->end)
    skip(lx);
  while (space && lx->at < lx->end && is_space(*lx->at))
    skip(lx);
}

/* A quoted string ends with its line, unless a backslash is before the line's end. */
static struct token read_quoted(struct lexer *lx) {
  char quote = *lx->at++;
  struct token t = {TOKEN_TEXT, lx->line, lx->at, 0};
  while (lx->at < lx->end && *lx->at != quote && !ends_line(*lx->at)) {
    if (*lx->at == '\\')
      skip_escape(lx);
    else
      lx->at++;
  }
  t.length = (size_t)(lx->at - t.start);
  if (lx->at < lx->end && *lx->at == quote)
    lx->at++;
  return t;
}

static void skip_space_and_comments(struct lexer *lx) {
  for (;;) {
    while (lx->at < lx->end && is_space(*lx->at))
      skip(lx);
    if (peek(lx, 0) != '-' || peek(lx, 1) != '-')
      return;
    lx->at += 2;
    long level = long_bracket(lx);
    if (level >= 0)
      read_long(lx, (size_t)level);
    else
      skip_line(lx);
  }
}

/* All that may be of a number, as LuaJIT gathers it: "1..x" is one, and none. A sign is of it only
 * behind the exponent's letter, which is another for hexadecimal ones. */
static void skip_number(struct lexer *lx) {
  lx->at += *lx->at == '.';
  char before = *lx->at, exponent = before == '0' && (peek(lx, 1) | 0x20) == 'x' ? 'p' : 'e';
  while (lx->at < lx->end && (in_name(*lx->at) || *lx->at == '.' ||
                              ((*lx->at == '-' || *lx->at == '+') && (before | 0x20) == exponent)))
    before = *lx->at++;
}

static size_t symbol_length(const struct lexer *lx) {
  static const char *const longer[] = {"...", "..", "==", "~=", "<=", ">=", "::"};
  for (size_t i = 0; i < sizeof longer / sizeof *longer; i++) {
    size_t length = strlen(longer[i]);
    if ((size_t)(lx->end - lx->at) >= length && memcmp(lx->at, longer[i], length) == 0)
      return length;
  }
  return 1;
}

struct token lexer_next(struct lexer *lx) {
  skip_space_and_comments(lx);
  struct token t = {TOKEN_END, lx->line, lx->at, 0};
  if (lx->at == lx->end)
    return t;
  long level = long_bracket(lx);
  if (level >= 0)
    return read_long(lx, (size_t)level);
  char c = *lx->at;
  if (c == '"' || c == '\'')
    return read_quoted(lx);
  if (is_digit(c) || (c == '.' && is_digit(peek(lx, 1)))) {
    t.kind = TOKEN_NUMBER;
    skip_number(lx);
  } else if (in_name(c)) {
    t.kind = TOKEN_NAME;
    while (lx->at < lx->end && in_name(*lx->at))
      lx->at++;
  } else {
    t.kind = TOKEN_SYMBOL;
    lx->at += symbol_length(lx);
  }
  t.length = (size_t)(lx->at - t.start);
  return t;
}
