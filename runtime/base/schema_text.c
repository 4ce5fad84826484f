/* Options that can only be written as text, in a target's query. */
#include "base/schema_rule.h"

#include <stdlib.h>
#include <string.h>

static struct value *value_of_text(const struct rule *r, const char *text);

static struct value *list_of_text(const struct rule *r, const char *text) {
  struct value *list = value_table();
  int failed = !list;
  for (const char *p = text; !failed && *text; p++) {
    size_t length = strcspn(p, ",");
    char *one = strndup(p, length);
    failed = !one || value_append(list, value_of_text(r->of, one)) < 0;
    free(one);
    p += length;
    if (!*p)
      break;
  }
  if (!failed)
    return list;
  value_unref(list);
  return NULL;
}

static struct value *value_of_text(const struct rule *r, const char *text) {
  bool yes = !*text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
  bool no = strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
  char *end;
  if (r && r->type == RULE_BOOLEAN && (yes || no))
    return value_boolean(yes);
  if (r && (r->type == RULE_NUMBER || r->type == RULE_INTEGER)) {
    double n = strtod(text, &end);
    if (end != text && !*end)
      return value_number(n);
  }
  if (r && r->type == RULE_LIST)
    return list_of_text(r, text);
  return value_text(text, strlen(text));
}

static const struct rule *rule_of(const struct schema *s, const char *option) {
  size_t i = 0;
  while (i < s->root.count && strcmp(s->root.names[i], option) != 0)
    i++;
  return i < s->root.count ? &s->root.of[i] : NULL;
}

struct value *schema_value_of_text(const struct schema *s, const char *option, const char *text) {
  return value_of_text(rule_of(s, option), text);
}

const struct value *schema_default(const struct schema *s, const char *option) {
  const struct rule *r = rule_of(s, option);
  return r ? r->fallback : NULL;
}
