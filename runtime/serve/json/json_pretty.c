#include "serve/json/json_pretty.h"

#include "base/buf.h"

static void new_line(struct buf *out, unsigned depth) {
  buf_char(out, '\n');
  for (unsigned i = 0; i < depth; i++)
    buf_add(out, "    ", 4);
}

/* The string that begins at `i`, with its quotes; returns the place after it. */
static size_t copy_string(const char *json, size_t length, size_t i, struct buf *out) {
  size_t end = i + 1;
  while (end < length && json[end] != '"')
    end += json[end] == '\\' ? 2 : 1;
  end = end < length ? end + 1 : length;
  buf_add(out, json + i, end - i);
  return end;
}

void json_indent(const char *json, size_t length, struct buf *out) {
  unsigned depth = 0;
  for (size_t i = 0; i < length;) {
    char c = json[i], next = i + 1 < length ? json[i + 1] : 0;
    if (c == '"') {
      i = copy_string(json, length, i, out);
      continue;
    }
    if ((c == '{' && next == '}') || (c == '[' && next == ']')) {
      buf_add(out, json + i, 2);
      i += 2;
      continue;
    }
    if (c == '}' || c == ']')
      new_line(out, --depth);
    buf_char(out, c);
    if (c == '{' || c == '[')
      new_line(out, ++depth);
    else if (c == ',')
      new_line(out, depth);
    else if (c == ':')
      buf_char(out, ' ');
    i++;
  }
}
