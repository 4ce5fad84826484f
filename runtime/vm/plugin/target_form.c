#include "vm/plugin/target_form.h"

#include "base/fault.h"
#include "base/schema.h"
#include "base/text.h"
#include "base/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[] = {[TARGET_NONE] = "none",
                                    [TARGET_ANY] = "any",
                                    [TARGET_ADDRESS] = "address",
                                    [TARGET_ADDRESSES] = "addresses"};
enum { WORDS = sizeof words / sizeof *words };

static int read_part(const struct value *declared, const char *part, enum target_part first,
                     enum target_part otherwise, enum target_part *out, struct fault *f) {
  const struct value *v = value_get(declared, part);
  *out = otherwise;
  if (!v)
    return 0;
  for (int i = (int)first; i < WORDS; i++)
    if (strcmp(value_as_text(v, ""), words[i]) == 0) {
      *out = (enum target_part)i;
      return 0;
    }
  return fault_set(f, -EINVAL, "target.%s is \"%s\", \"any\", \"address\" or \"addresses\"", part,
                   words[first]);
}

static int add_options(struct value *all, const struct value *declared) {
  int r = 0;
  for (size_t i = 0; r == 0 && i < value_fields(declared); i++) {
    const char *key;
    const struct value *form = value_field(declared, i, &key);
    r = value_set(all, key, value_ref(form));
  }
  return r;
}

static int read_options(const struct value *declared, struct target_form *form, struct fault *f) {
  const struct value *servers = value_get(declared, "servers");
  struct value *all = value_table();
  int r = all ? add_options(all, value_get(declared, "options")) : -ENOMEM;
  r = r ? r : add_options(all, servers);
  r = r ? fault_set(f, r, "out of memory") : schema_new(all, &form->options, f);
  form->servers = servers ? value_ref(servers) : NULL;
  value_unref(all);
  return r;
}

static int read_form(const struct value *declared, struct target_form *form, struct fault *f) {
  static const char *const known[] = {"authority", "name", "options", "servers", NULL};
  for (size_t i = 0; i < value_fields(declared); i++) {
    const char *key;
    value_field(declared, i, &key);
    if (!word_is_one_of(key, known))
      return fault_set(f, -EINVAL,
                       "target has authority, name, options and servers; not \"%.100s\"", key);
  }
  int r = read_part(declared, "authority", TARGET_NONE, TARGET_NONE, &form->authority, f);
  if (r == 0)
    r = read_part(declared, "name", TARGET_ANY, TARGET_ANY, &form->name, f);
  return r ? r : read_options(declared, form, f);
}

int target_form_new(const struct value *declared, struct target_form **out, struct fault *f) {
  struct target_form *form = calloc(1, sizeof *form);
  int r = form ? 0 : fault_set(f, -ENOMEM, "out of memory");
  if (r == 0 && (value_kind(declared) != VALUE_TABLE || value_length(declared)))
    r = fault_set(f, -EINVAL, "target must be a table, as in { authority = \"addresses\" }");
  r = r ? r : read_form(declared, form, f);
  if (r == 0) {
    *out = form;
    return 0;
  }
  target_form_free(form);
  return r;
}

void target_form_free(struct target_form *form) {
  if (!form)
    return;
  schema_free(form->options);
  value_unref(form->servers);
  free(form);
}
