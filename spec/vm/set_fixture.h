/* set_fixture: a registry plugin's `watch` for a set, and what it answers. */
#pragma once

#include "fixture.h"
#include "vm/bind/bindings.h"
#include "watch/set.h"

struct probe {
  struct answer answer; /* first: answer_take gets it */
  struct set *set;
  struct set_binding *binding;
};

static int push_it(lua_State *L, void *probe) {
  struct probe *p = probe;
  p->binding = push_set(L, p->set);
  return 1;
}

/* What `watch(set)` with this body answers; the set is revoked after. */
static const char *watch(struct fixture *fx, struct set *set, const char *body) {
  static struct probe probe;
  struct buf source = {0};
  struct plugin *p;
  struct attachment *use;
  struct findings findings = {0};
  struct fault f;
  probe = (struct probe){.set = set};
  buf_format(&source,
             "return { kind = 'registry', summary = 's', watch = function(set, _, ctx)\n%s\nend }",
             body);
  if (load(fx, "registry", source.data, NULL, &p, &f) != 0)
    fail_msg("%s", f.text);
  buf_free(&source);
  assert_int_equal(plugin_attach(p, NULL, "x", &use, &findings), 0);
  assert_int_equal(attachment_call(use, "watch", push_it, answer_take, &probe, 0, NULL), 0);
  run_until(fx, &probe.answer.over);
  set_binding_revoke(probe.binding);
  attachment_free(use);
  plugin_free(p);
  return probe.answer.text;
}
