#include "agent/registries/registrar.h"

#include "agent/registries/attends.h"
#include "agent/registries/held.h"
#include "agent/registries/reference.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t call_ns = 15 * INT64_C(1000000000); /* longer than a lease is not waited for */

/* One call, and the operation that it is for. `list` has no entry. */
struct errand {
  struct errand *next, **link;
  struct registrar *registrar;
  struct desired_entry *entry;
  enum operation op;
  const struct value *lease; /* the entry's, which does not change meanwhile; NULL: a new one */
  double ttl;
  struct call *call;
  bool opens; /* the call is `open`; the operation's own comes after it */
};

struct registrar {
  struct registry_use use; /* its options are a reference */
  char *name, *owner;
  struct reconciler *reconciler;
  struct attachment *attachment; /* NULL until it is opened */
  int connection;                /* what `open` returned: a reference in the isolate */
  bool opened, doubted;          /* doubted: opened anew when nothing runs */
  struct errand *errands;
  struct attends *attends;
  struct withdrawn *withdrawn;
};

/* ---- errands ---- */

static void errand_end(struct errand *e) {
  *e->link = e->next;
  if (e->next)
    e->next->link = e->link;
  free(e);
}

struct answer {
  int status;
  const char *why;
  struct value *lease, *list;
  double ttl;
};

/* `answer->lease` is handed on. */
static void errand_answer(struct errand *e, const struct answer *answer) {
  struct reconciler *to = e->registrar->reconciler;
  struct desired_entry *entry = e->entry;
  errand_end(e);
  if (entry)
    reconciler_done(to, entry, answer->status, answer->why, answer->lease, answer->ttl);
  else
    reconciler_listed(to, answer->status, answer->why, answer->list);
}

/* The errno names that mean something to the reconciler; all others are "try again". */
static int code_of(const char *name) {
  static const struct {
    const char *name;
    int code;
  } known[] = {
      {"ENOENT", -ENOENT}, {"EACCES", -EACCES}, {"ENOTSUP", -ENOTSUP}, {"EEXIST", -EEXIST}};
  for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0)
      return known[i].code;
  return -EIO;
}

/* nil, message, code, or how the call ended. 0: there is a first result, at `*first`. */
static int read_outcome(const struct call_result *result, int *first, const char **why) {
  *first = -result->results;
  if (result->status != 0) {
    *why = result->fault->text;
    return result->status;
  }
  if (result->results > 0 && lua_toboolean(result->L, *first))
    return 0;
  *why = call_text(result, 2);
  if (!*why)
    *why = "the plugin returned nothing";
  return code_of(call_text(result, 3));
}

static int read_answer(const struct errand *e, const struct call_result *result, int first,
                       struct answer *out, struct fault *f) {
  lua_State *L = result->L;
  if (e->op == OPERATION_RENEW) {
    out->ttl = lua_tonumber(L, first);
    out->why = call_text(result, 2);
    return 0;
  }
  if (e->op == OPERATION_DEREGISTER)
    return 0;
  struct value *got = NULL;
  int rc = read_value(L, first, &got, f);
  if (rc != 0)
    return rc;
  if (e->op == OPERATION_REGISTER) {
    out->lease = got;
    out->ttl = value_as_number(value_get(got, "ttl"), 0);
  } else {
    out->list = got;
  }
  return 0;
}

static void on_answered(void *arg, const struct call_result *result) {
  struct errand *e = arg;
  struct registrar *r = e->registrar;
  struct answer answer = {0};
  struct fault f = {0};
  int first;
  e->call = NULL;
  if (result->status == -ECANCELED) {
    errand_end(e);
    return;
  }
  answer.status = read_outcome(result, &first, &answer.why);
  if (answer.status == 0 && (answer.status = read_answer(e, result, first, &answer, &f)) != 0)
    answer.why = f.text;
  if (answer.status == -EACCES)
    r->doubted = true;
  errand_answer(e, &answer);
  value_unref(answer.list);
}

/* ---- the calls' arguments ---- */

static void push_wanted(lua_State *L, const struct errand *e) {
  lua_createtable(L, 0, 3);
  lua_pushnumber(L, e->ttl);
  lua_setfield(L, -2, "ttl");
  lua_pushstring(L, e->registrar->owner);
  lua_setfield(L, -2, "owner");
  if (e->entry->lease) {
    push_value(L, e->entry->lease);
    lua_setfield(L, -2, "before");
  }
}

void push_held(lua_State *L, const struct desired_entry *e) {
  char service[256];
  const char *id = desired_key_parse(e->key, service);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, service);
  lua_setfield(L, -2, "service");
  lua_pushstring(L, id);
  lua_setfield(L, -2, "id");
  push_value(L, e->lease);
  lua_setfield(L, -2, "lease");
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

static void push_one(void *L, const struct desired_entry *e) {
  push_held(L, e);
}

static int push_arguments(lua_State *L, void *arg) {
  const struct errand *e = arg;
  lua_rawgeti(L, LUA_REGISTRYINDEX, e->registrar->connection);
  if (!e->entry) {
    lua_pushstring(L, e->registrar->owner);
    lua_newtable(L);
    reconciler_each_held(e->registrar->reconciler, push_one, L);
    return 3;
  }
  if (e->op == OPERATION_REGISTER) {
    push_instance(L, e->entry->instance);
    lua_pushstring(L, status_name(e->entry->status));
    lua_setfield(L, -2, "status");
  }
  if (e->lease)
    push_value(L, e->lease);
  else
    push_wanted(L, e);
  return e->op == OPERATION_REGISTER ? 3 : 2;
}

static const char *function_of(const struct errand *e) {
  static const char *const names[] = {[OPERATION_NONE] = "list",
                                      [OPERATION_REGISTER] = "register",
                                      [OPERATION_RENEW] = "renew",
                                      [OPERATION_DEREGISTER] = "deregister"};
  return names[e->op];
}

static int errand_run(struct errand *e) {
  e->opens = false;
  return attachment_call(e->registrar->attachment, function_of(e), push_arguments, on_answered, e,
                         call_ns, &e->call);
}

/* ---- the connection ---- */

static void connection_forget(struct registrar *r) {
  attends_end(r->attends);
  reference_drop(plugin_isolate(r->use.plugin), r->connection);
  attachment_free(r->attachment);
  r->attachment = NULL;
  r->connection = LUA_REFNIL;
  r->opened = r->doubted = false;
}

static void on_opened(void *arg, const struct call_result *result);

static int errand_open(struct errand *e) {
  e->opens = true;
  return attachment_call(e->registrar->attachment, "open", NULL, on_opened, e, call_ns, &e->call);
}

/* ---- its plugin is reloaded ---- */

/* Operations end where they began; what only opens, opens in the new version. */
static void on_leaving(void *arg) {
  struct registrar *r = arg;
  attends_end(r->attends);
  for (struct errand *e = r->errands; e; e = e->next)
    if (e->opens && e->call) {
      call_cancel(e->call);
      e->call = NULL;
    }
  reference_drop(plugin_isolate(r->use.plugin), r->connection);
  r->connection = LUA_REFNIL;
}

static void on_arrived(void *arg) {
  struct registrar *r = arg;
  r->opened = !plugin_provides(r->use.plugin, "open");
  for (struct errand *e = r->errands, *next; e; e = next) {
    next = e->next;
    struct answer answer = {0};
    if (e->opens && !e->call)
      answer.status = r->opened ? errand_run(e) : errand_open(e);
    if (answer.status != 0)
      errand_answer(e, &answer);
  }
}

static const struct attachment_events reloading = {.leaving = on_leaving, .arrived = on_arrived};

/* Also reads the files that the options name. */
static int attach(struct registrar *r, struct fault *f) {
  struct findings findings = {0};
  int rc = plugin_attach(r->use.plugin, r->use.options, r->use.path, &r->attachment, &findings);
  if (rc != 0)
    fault_set(f, rc, "%s", findings.count ? findings.items[0].text : strerror(-rc));
  findings_free(&findings);
  if (rc == 0)
    attachment_follow(r->attachment, &reloading, r);
  r->opened = rc == 0 && !plugin_provides(r->use.plugin, "open");
  return rc;
}

static void on_opened(void *arg, const struct call_result *result) {
  struct errand *e = arg;
  struct registrar *r = e->registrar;
  struct answer answer = {0};
  struct fault f = {0};
  int first;
  e->call = NULL;
  if (result->status == -ECANCELED) {
    errand_end(e);
    return;
  }
  answer.status = read_outcome(result, &first, &answer.why);
  if (answer.status == 0 && !r->opened) { /* another errand may have been faster */
    answer.status =
        reference_keep(plugin_isolate(r->use.plugin), result->L, first, &r->connection, &f);
    answer.why = f.text;
    r->opened = answer.status == 0;
  }
  if (answer.status == 0 && (answer.status = errand_run(e)) == 0)
    return;
  if (answer.status == -EACCES)
    r->doubted = true;
  errand_answer(e, &answer);
}

static int begin(struct registrar *r, const struct errand *draft) {
  struct fault f;
  r->doubted |= r->attachment && attachment_aged(r->attachment);
  if (r->doubted && !r->errands)
    connection_forget(r);
  int rc = r->attachment ? 0 : attach(r, &f);
  struct errand *e = rc == 0 ? malloc(sizeof *e) : NULL;
  if (!e)
    return rc ? rc : -ENOMEM;
  *e = *draft;
  rc = r->opened ? errand_run(e) : errand_open(e);
  if (rc != 0) {
    free(e);
    return rc;
  }
  e->next = r->errands;
  e->link = &r->errands;
  if (e->next)
    e->next->link = &e->next;
  r->errands = e;
  return 0;
}

static int do_operate(void *arg, struct desired_entry *entry, enum operation op,
                      const struct value *lease, double ttl) {
  struct registrar *r = arg;
  const struct errand draft = {
      .registrar = r, .entry = entry, .op = op, .lease = lease, .ttl = ttl};
  return begin(r, &draft);
}

static int do_list(void *arg) {
  struct registrar *r = arg;
  const struct errand draft = {.registrar = r};
  return plugin_provides(r->use.plugin, "list") ? begin(r, &draft) : -ENOSYS;
}

static void do_attend(void *arg) {
  struct registrar *r = arg;
  if (r->opened && !r->doubted && plugin_provides(r->use.plugin, "attend"))
    attends_ask(r->attends, r->attachment, r->connection);
}

static void do_gone(void *arg, const struct desired_entry *e) {
  struct registrar *r = arg;
  withdrawn_add(r->withdrawn, e->key);
}

static const struct reconciler_registry hands = {
    .operate = do_operate, .list = do_list, .attend = do_attend, .gone = do_gone};

/* ---- its beginning and its end ---- */

struct registrar *registrar_new(uv_loop_t *loop, const char *name, const struct registry_use *use,
                                const char *owner, double ttl, struct store *store,
                                struct withdrawn *withdrawn) {
  struct registrar *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  *r = (struct registrar){.use = *use, .connection = LUA_REFNIL, .withdrawn = withdrawn};
  r->use.options = value_ref(use->options);
  r->name = strdup(name);
  r->owner = strdup(owner);
  if (r->name && r->owner)
    r->reconciler = reconciler_new(loop, name, ttl, store, &hands, r);
  r->attends = r->reconciler ? attends_new(loop, r->reconciler) : NULL;
  if (r->attends) {
    reconciler_change_retry(r->reconciler, use->retry_s);
    return r;
  }
  registrar_free(r);
  return NULL;
}

void registrar_configure(struct registrar *r, const struct registry_use *use) {
  reconciler_change_ttl(r->reconciler, use->ttl_s);
  reconciler_change_retry(r->reconciler, use->retry_s);
  if (value_equal(r->use.options, use->options))
    return;
  value_unref(r->use.options);
  r->use = *use;
  r->use.options = value_ref(use->options);
  r->doubted = true;
  reconciler_renew_all(r->reconciler);
}

void registrar_free(struct registrar *r) {
  if (!r)
    return;
  attends_free(r->attends);
  r->attends = NULL;
  connection_forget(r);
  reconciler_free(r->reconciler);
  value_unref(r->use.options);
  free(r->name);
  free(r->owner);
  free(r);
}

const char *registrar_name(const struct registrar *r) {
  return r->name;
}

const char *registrar_adapter(const struct registrar *r) {
  return plugin_name(r->use.plugin);
}

struct reconciler *registrar_reconciler(struct registrar *r) {
  return r->reconciler;
}
