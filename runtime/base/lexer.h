/* lexer: Lua's tokens as LuaJIT cuts them, with their lines. Reads any bytes; what is no token is a
 * symbol of its own. A header line ("#!...") and a byte order mark are skipped, as Lua's loader
 * does. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_SYMBOL };

struct token {
  enum token_kind kind;
  int line;          /* where it begins, 1-based */
  const char *start; /* TOKEN_TEXT: between the quotes, escapes as written */
  size_t length;
};

struct lexer {
  const char *at, *end;
  int line;
};

void lexer_begin(struct lexer *lx, const char *source, size_t length);
struct token lexer_next(struct lexer *lx);

bool token_is(const struct token *t, const char *word); /* a name or symbol, never text */
