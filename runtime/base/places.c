#include "base/places.h"

#include "base/lexer.h"
#include "base/value.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Deeper tables take the place of what holds them. The reader of values stops at the same depth. */
enum { DEPTH_MAX = 100 };

/* A part of a table, or a variable: known by what it is part of, and its key or its index. Nodes
 * live as long as the places. */
struct place_node {
  struct place_node *chain; /* of the same bucket */
  struct place_node *older; /* of all nodes, to free them */
  struct place_node *parts; /* the newest of them; the next older one is `beside` it */
  struct place_node *beside;
  struct place_node *part_of; /* NULL: the file's variables */
  struct place_node *same_as; /* its value is that variable's */
  unsigned assigned;          /* how often: parts are of one assignment only */
  unsigned of_assigned;       /* part_of's, when this was made */
  size_t index;               /* 1-based in a list; 0: named */
  int line;
  char key[];
};

struct places {
  struct place_node *newest;
  struct place_node **buckets;
  size_t bucket_count, node_count; /* a power of two */
  struct place_node *root;         /* what the last return at the file's own level gives */
  int failed;
};

struct parser {
  struct lexer lx;
  struct token token; /* the current one */
  struct places *places;
  int depth;
};

/* What a node is found by. */
struct name {
  struct place_node *part_of;
  const char *key;
  size_t length, index;
};

/* FNV-1a (Fowler, Noll, Vo). */
static size_t hash_bytes(size_t hash, const void *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    hash = (hash ^ ((const unsigned char *)bytes)[i]) * (size_t)1099511628211u;
  return hash;
}

static size_t hash_name(const struct name *n) {
  size_t hash = (size_t)14695981039346656037u;
  hash = hash_bytes(hash, &n->part_of, sizeof n->part_of);
  hash = hash_bytes(hash, &n->index, sizeof n->index);
  return n->length ? hash_bytes(hash, n->key, n->length) : hash;
}

static struct place_node *find_node(const struct places *p, const struct name *name) {
  if (!p->bucket_count)
    return NULL;
  struct place_node *n = p->buckets[hash_name(name) & (p->bucket_count - 1)];
  for (; n; n = n->chain)
    if (n->part_of == name->part_of && n->index == name->index &&
        (!n->part_of || n->of_assigned == n->part_of->assigned) && strlen(n->key) == name->length &&
        (!name->length || memcmp(n->key, name->key, name->length) == 0))
      return n;
  return NULL;
}

static void grow_index(struct places *p) {
  size_t count = p->bucket_count ? p->bucket_count * 2 : 64;
  struct place_node **buckets = calloc(count, sizeof *buckets);
  if (!buckets) {
    p->failed = 1;
    return;
  }
  for (struct place_node *n = p->newest; n; n = n->older) {
    struct name name = {n->part_of, n->key, strlen(n->key), n->index};
    struct place_node **bucket = &buckets[hash_name(&name) & (count - 1)];
    n->chain = *bucket;
    *bucket = n;
  }
  free(p->buckets);
  p->buckets = buckets;
  p->bucket_count = count;
}

static struct place_node *node_new(struct places *p, const struct name *name) {
  if (p->node_count == p->bucket_count)
    grow_index(p);
  struct place_node *n = p->failed ? NULL : calloc(1, sizeof *n + name->length + 1);
  if (!n) {
    p->failed = 1;
    return NULL;
  }
  if (name->length)
    memcpy(n->key, name->key, name->length);
  /* A key with a NUL byte is cut here, and found by nobody. */
  n->part_of = name->part_of;
  if (name->part_of) {
    n->of_assigned = name->part_of->assigned;
    n->beside = name->part_of->parts;
    name->part_of->parts = n;
  }
  n->index = name->index;
  struct name stored = {n->part_of, n->key, strlen(n->key), n->index};
  struct place_node **bucket = &p->buckets[hash_name(&stored) & (p->bucket_count - 1)];
  n->chain = *bucket;
  *bucket = n;
  n->older = p->newest;
  p->node_count++;
  return p->newest = n;
}

/* `of` NULL in the next two: what is above is unknown, and so is this. */
static struct place_node *field_of(struct places *p, struct place_node *of,
                                   const struct token *key) {
  struct name name = {of, key->start, key->length, 0};
  struct place_node *n = of ? find_node(p, &name) : NULL;
  return n || !of ? n : node_new(p, &name);
}

static struct place_node *item_of(struct places *p, struct place_node *of, size_t index) {
  struct name name = {of, NULL, 0, index};
  return of && index ? node_new(p, &name) : NULL;
}

static struct place_node *variable(struct places *p, const struct token *key) {
  struct name name = {NULL, key->start, key->length, 0};
  struct place_node *n = find_node(p, &name);
  return n ? n : node_new(p, &name);
}

static void advance(struct parser *ps) {
  ps->token = lexer_next(&ps->lx);
}

static struct token look_ahead(const struct parser *ps) {
  struct lexer copy = ps->lx;
  return lexer_next(&copy);
}

static bool at(const struct parser *ps, const char *word) {
  return token_is(&ps->token, word);
}

/* Whether a token opens or closes a block or bracket. `for` and `while` open with their `do`. */
static int nesting(const struct token *t) {
  static const char *const open[] = {"{", "(", "[", "function", "do", "if", "repeat"};
  static const char *const close[] = {"}", ")", "]", "end", "until"};
  for (size_t i = 0; i < sizeof open / sizeof *open; i++)
    if (token_is(t, open[i]))
      return 1;
  for (size_t i = 0; i < sizeof close / sizeof *close; i++)
    if (token_is(t, close[i]))
      return -1;
  return 0;
}

/* To the `,`, `;` or `}` that ends an entry of a table. */
static void skip_entry(struct parser *ps) {
  int depth = 0;
  while (ps->token.kind != TOKEN_END) {
    if (depth == 0 && (at(ps, ",") || at(ps, ";") || at(ps, "}")))
      return;
    depth += nesting(&ps->token);
    advance(ps);
  }
}

/* From an opening bracket to after its closing one. */
static void skip_brackets(struct parser *ps) {
  int depth = 0;
  do {
    depth += nesting(&ps->token);
    advance(ps);
  } while (depth > 0 && ps->token.kind != TOKEN_END);
}

static void read_table(struct parser *ps, struct place_node *into);

/* A value: a table is read into `into`; a variable alone makes `into` the same as it. The rest of a
 * longer expression is left to the caller. */
static void read_expression(struct parser *ps, struct place_node *into) {
  if (into) {
    into->assigned++;
    into->same_as = NULL;
  }
  if (at(ps, "{")) {
    read_table(ps, into);
  } else if (ps->token.kind == TOKEN_NAME) {
    struct token next = look_ahead(ps);
    bool alone = next.kind == TOKEN_NAME || next.kind == TOKEN_END || token_is(&next, ",") ||
                 token_is(&next, ";") || token_is(&next, "}");
    if (alone && into)
      into->same_as =
          find_node(ps->places, &(struct name){NULL, ps->token.start, ps->token.length, 0});
    if (nesting(&ps->token) == 0)
      advance(ps);
  }
}

/* [ "key" ] or [ 3 ] before a `=`; anything else in the brackets is unknown until it runs. */
static struct place_node *read_bracket_key(struct parser *ps, struct place_node *into, int line) {
  struct place_node *child = NULL;
  struct token key = look_ahead(ps);
  struct lexer after = ps->lx;
  lexer_next(&after);
  struct token closing = lexer_next(&after), equals = lexer_next(&after);
  if (token_is(&closing, "]") && token_is(&equals, "=")) {
    if (key.kind == TOKEN_TEXT)
      child = field_of(ps->places, into, &key);
    else if (key.kind == TOKEN_NUMBER)
      child = item_of(ps->places, into, strtoul(key.start, NULL, 10));
  }
  if (child)
    child->line = line;
  skip_brackets(ps);
  if (at(ps, "="))
    advance(ps);
  return child;
}

static void read_entry(struct parser *ps, struct place_node *into, size_t *index) {
  struct token next = look_ahead(ps);
  struct place_node *child;
  int line = ps->token.line;
  if (ps->token.kind == TOKEN_NAME && token_is(&next, "=")) {
    child = field_of(ps->places, into, &ps->token);
    advance(ps);
    advance(ps);
  } else if (at(ps, "[")) {
    child = read_bracket_key(ps, into, line);
  } else {
    child = item_of(ps->places, into, ++*index);
  }
  if (child)
    child->line = line;
  read_expression(ps, child);
  skip_entry(ps);
}

static void read_table(struct parser *ps, struct place_node *into) {
  if (ps->depth >= DEPTH_MAX) {
    skip_brackets(ps);
    return;
  }
  ps->depth++;
  advance(ps);
  size_t index = 0;
  while (ps->token.kind != TOKEN_END && !at(ps, "}")) {
    read_entry(ps, into, &index);
    if (at(ps, ",") || at(ps, ";"))
      advance(ps);
  }
  advance(ps);
  ps->depth--;
}

/* NAME, NAME.field, NAME["field"], ... before a `=`: the node that is assigned to, or NULL. */
static struct place_node *read_variable(struct parser *ps) {
  struct place_node *n = variable(ps->places, &ps->token);
  int line = ps->token.line;
  advance(ps);
  while (at(ps, ".") || at(ps, "[")) {
    /* What is set in one variable is seen in those that are the same. */
    if (n && n->same_as)
      n = n->same_as;
    if (at(ps, "[")) {
      struct token key = look_ahead(ps);
      bool literal = key.kind == TOKEN_TEXT;
      skip_brackets(ps);
      n = literal ? field_of(ps->places, n, &key) : NULL;
    } else {
      advance(ps);
      if (ps->token.kind != TOKEN_NAME)
        return NULL;
      n = field_of(ps->places, n, &ps->token);
      advance(ps);
    }
    if (n && !n->line)
      n->line = line;
  }
  if (!at(ps, "="))
    return NULL;
  advance(ps);
  if (n)
    n->line = line;
  return n;
}

static void read_return(struct parser *ps) {
  /* A variable without a name: nothing else finds it. */
  struct place_node *root = node_new(ps->places, &(struct name){0});
  if (!root)
    return;
  root->line = ps->token.line;
  advance(ps);
  read_expression(ps, root);
  ps->places->root = root;
}

static bool begins_name(const struct token *t) {
  static const char *const reserved[] = {"and",   "break", "do",       "else",   "elseif", "end",
                                         "false", "for",   "function", "if",     "in",     "local",
                                         "nil",   "not",   "or",       "repeat", "return", "then",
                                         "true",  "until", "while"};
  if (t->kind != TOKEN_NAME)
    return false;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (token_is(t, reserved[i]))
      return false;
  return true;
}

static void read_file(struct parser *ps) {
  int blocks = 0;
  while (ps->token.kind != TOKEN_END && !ps->places->failed) {
    if (at(ps, "return") && blocks == 0) {
      read_return(ps);
    } else if (begins_name(&ps->token)) {
      struct place_node *n = read_variable(ps);
      if (n)
        read_expression(ps, n);
    } else if (at(ps, "{") || at(ps, "(") || at(ps, "[")) {
      skip_brackets(ps);
    } else {
      blocks += nesting(&ps->token);
      advance(ps);
    }
  }
}

struct places *places_read(const char *source, size_t length) {
  struct places *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  struct parser ps = {.places = p};
  lexer_begin(&ps.lx, source, length);
  advance(&ps);
  read_file(&ps);
  if (p->failed) {
    places_free(p);
    return NULL;
  }
  return p;
}

void places_free(struct places *p) {
  while (p && p->newest) {
    struct place_node *n = p->newest;
    p->newest = n->older;
    free(n);
  }
  if (p)
    free(p->buckets);
  free(p);
}

/* Variables may be the same as each other in a circle (a = b; b = a): a few steps are enough. */
static struct place_node *resolve(struct place_node *n) {
  for (int i = 0; n && n->same_as && i < 16; i++)
    n = n->same_as;
  return n;
}

static struct place_cursor below(struct place_cursor at, struct place_node *child) {
  bool literal = at.literal && child && !child->same_as;
  return (struct place_cursor){at.places, resolve(child), child ? child->line : at.line, literal};
}

struct place_cursor places_root(const struct places *p) {
  return below((struct place_cursor){.places = p, .line = 1, .literal = true}, p->root);
}

struct place_cursor place_field(struct place_cursor at, const char *key) {
  struct name name = {at.node, key, strlen(key), 0};
  return below(at, at.node ? find_node(at.places, &name) : NULL);
}

struct place_cursor place_item(struct place_cursor at, size_t i) {
  struct name name = {at.node, NULL, 0, i};
  return below(at, at.node ? find_node(at.places, &name) : NULL);
}

const char *place_without_value(struct place_cursor at, const struct value *table) {
  const char *first = NULL;
  for (const struct place_node *n = at.literal ? at.node->parts : NULL; n; n = n->beside)
    if (n->of_assigned == at.node->assigned && *n->key && !strchr(n->key, '\\') &&
        !value_get(table, n->key))
      first = n->key;
  return first;
}
