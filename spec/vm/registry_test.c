/* perigee.register, renew, deregister and pick, against a registry that the test answers for. */
#include "vm/fixture.h"

#include "catalog/writer.h"

/* What was asked last, and whom to answer. */
struct desk {
  int adds, removes, renewals, refuse_with;
  char text[400];
  vm_reply reply;
  void *to;
};

static int take(struct desk *d, const char *text, vm_reply reply, void *to, struct fault *f) {
  snprintf(d->text, sizeof d->text, "%s", text);
  if (d->refuse_with)
    return fault_set(f, d->refuse_with, "the desk is closed");
  assert_null(d->to);
  d->reply = reply;
  d->to = to;
  return 0;
}

static int desk_add(void *arg, const char *json, size_t length, char **id, vm_reply reply, void *to,
                    struct fault *f) {
  struct desk *d = arg;
  d->adds++;
  assert_int_equal(strlen(json), length);
  *id = strdup("given-1");
  return take(d, json, reply, to, f);
}

static int desk_remove(void *arg, const char *id, vm_reply reply, void *to, struct fault *f) {
  struct desk *d = arg;
  d->removes++;
  return take(d, id, reply, to, f);
}

static int desk_renew(void *arg, const char *id, vm_reply reply, void *to, struct fault *f) {
  struct desk *d = arg;
  d->renewals++;
  return take(d, id, reply, to, f);
}

static struct vm_registry desk_of(struct desk *d) {
  return (struct vm_registry){
      .arg = d, .add = desk_add, .remove = desk_remove, .renew = desk_renew};
}

static void desk_answer(struct desk *d, int status, const char *text) {
  void *to = d->to;
  assert_non_null(to);
  d->to = NULL;
  d->reply(to, status, text);
}

/* The fixture's vm with that registry and a catalog; all isolates have ended by then. */
static void open_desk(struct fixture *fx, const struct vm_registry *r, const char *run_dir) {
  struct vm_config config = {
      .loop = &fx->loop, .io = fx->io, .library = ".", .registry = r, .run_dir = run_dir};
  struct fault f;
  vm_free(fx->vm);
  assert_int_equal(vm_new(&config, &fx->vm, &f), 0);
}

struct asking {
  struct plugin *plugin;
  struct attachment *use;
  struct answer answer;
};

static void begin(struct fixture *fx, struct asking *a, const char *body, int64_t deadline_ns) {
  char source[1000];
  struct findings findings = {0};
  struct fault f;
  snprintf(source, sizeof source,
           "return { kind = 'check', summary = 's', run = function() return %s end }", body);
  *a = (struct asking){0};
  if (load(fx, "check", source, NULL, &a->plugin, &f) != 0)
    fail_msg("%s", f.text);
  assert_int_equal(plugin_attach(a->plugin, NULL, "x", &a->use, &findings), 0);
  assert_int_equal(attachment_call(a->use, "run", NULL, answer_take, &a->answer, deadline_ns, NULL),
                   0);
}

static void end(struct asking *a) {
  attachment_free(a->use);
  plugin_free(a->plugin);
}

/* Runs until the desk has been asked. */
static void until_asked(struct fixture *fx, struct desk *d) {
  for (int turn = 0; turn < 1000 && !d->to; turn++)
    uv_run(&fx->loop, UV_RUN_NOWAIT);
  assert_non_null(d->to);
}

static void a_change_is_answered(void **state) {
  struct fixture *fx = *state;
  struct desk d = {0};
  const struct vm_registry r = desk_of(&d);
  struct asking a;
  open_desk(fx, &r, NULL);

  begin(fx, &a, "perigee.register{ service = 'web', port = 8081, lease = '30s', tags = {} }", 0);
  until_asked(fx, &d);
  assert_non_null(strstr(d.text, "\"Name\":\"web\""));
  assert_non_null(strstr(d.text, "\"ID\":\"web-127.0.0.1-8081\""));
  assert_non_null(strstr(d.text, "\"Tags\":[]"));
  assert_non_null(strstr(d.text, "{\"Lease\":\"30s\"}"));
  assert_false(a.answer.over); /* not before it is durable */
  desk_answer(&d, 0, "");
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "given-1");
  end(&a);

  begin(fx, &a, "perigee.renew('given-1')", 0);
  until_asked(fx, &d);
  desk_answer(&d, -ENOENT, "unknown instance id given-1");
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "nil|unknown instance id given-1|ENOENT");
  end(&a);

  begin(fx, &a, "perigee.deregister('given-1')", 0);
  until_asked(fx, &d);
  desk_answer(&d, -ENOSPC, NULL);
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "nil|No space left on device|ENOSPC");
  end(&a);

  d.refuse_with = -EPERM;
  begin(fx, &a, "perigee.register{ service = 'web', port = 1 }", 0);
  run_until(fx, &a.answer.over);
  assert_string_equal(a.answer.text, "nil|the desk is closed|EPERM");
  end(&a);
  assert_int_equal(d.adds + d.renewals + d.removes, 4);
}

/* The answer comes to a task, and an isolate, that is no more. */
static void who_asked_may_be_gone(void **state) {
  struct fixture *fx = *state;
  struct desk d = {0};
  const struct vm_registry r = desk_of(&d);
  struct asking a;
  open_desk(fx, &r, NULL);
  begin(fx, &a, "perigee.register{ service = 'web', port = 1 }", 1000000000);
  until_asked(fx, &d);
  run_until(fx, &a.answer.over);
  assert_int_equal(a.answer.status, -ETIMEDOUT);
  desk_answer(&d, 0, "");
  end(&a);

  begin(fx, &a, "perigee.deregister('x')", 0);
  until_asked(fx, &d);
  end(&a);
  assert_int_equal(a.answer.status, -ECANCELED);
  desk_answer(&d, -ECANCELED, "the agent stops");
}

/* Nothing is asked for by what could not wait for the answer. */
static void where_nobody_can_wait_nothing_is_asked(void **state) {
  struct fixture *fx = *state;
  struct desk d = {0};
  const struct vm_registry r = desk_of(&d);
  struct plugin *p;
  struct fault f;
  assert_non_null(strstr(ask(fx, "return pcall(perigee.renew, 'x')"), "there is no registry here"));
  open_desk(fx, &r, NULL);
  assert_int_equal(load(fx, "check",
                        "perigee.register{ service = 'web', port = 1 }\n"
                        "return { kind = 'check', summary = 's', run = function() end }",
                        NULL, &p, &f),
                   -EFAULT);
  assert_int_equal(d.adds, 0);
}

static void picks_come_from_the_catalog(void **state) {
  struct fixture *fx = *state;
  char run_dir[] = "/tmp/perigee-picks-XXXXXX", file[80];
  struct catalog_writer *w;
  uint64_t version;
  assert_non_null(mkdtemp(run_dir));
  open_desk(fx, NULL, run_dir);
  assert_string_equal(ask(fx, "return perigee.pick('web')"),
                      "nil|web: there is no such service|ENOENT");

  const struct catalog_port ports[] = {{"admin", 81}};
  struct catalog_endpoint e = {
      .id = "web-1", .address = "::1", .port = 80, .weight = 2.5, .ports = ports, .port_count = 1};
  assert_int_equal(catalog_writer_open(run_dir, &w, NULL), 0);
  assert_int_equal(catalog_slot_take(w, &e.slot, &e.slot_generation), 0);
  struct catalog_snapshot s = {.service = "web", .endpoints = &e, .count = 1, .moves_version = 1};
  assert_int_equal(catalog_publish(w, &s, &version), 0);
  assert_string_equal(
      ask(fx, "local e = perigee.pick('web') return e.id, e.address, e.port, e.status, e.weight"),
      "web-1|::1|80|passing|2.5");
  assert_string_equal(ask(fx, "return perigee.pick('web', { port = 'admin', key = 'k' }).port"),
                      "81");
  assert_non_null(strstr(ask(fx, "return perigee.pick('web', { port = 'none' })"), "|ENXIO"));
  assert_non_null(strstr(ask(fx, "return perigee.pick('')"), "|EINVAL"));
  assert_non_null(strstr(ask(fx, "return pcall(perigee.pick, 'web', { prt = 'x' })"),
                         "did you mean \"port\"?"));
  /* A handle that is kept follows what is published; many are not kept for ever. */
  const struct isolate_limits patient = {.turn_ns = 20000000000};
  assert_string_equal(ask_within(fx,
                                 "for i = 1, 20000 do perigee.pick('s' .. i) end "
                                 "return perigee.pick('web').id",
                                 &patient),
                      "web-1");
  s.count = 0;
  assert_int_equal(catalog_publish(w, &s, &version), 0);
  assert_non_null(strstr(ask(fx, "return perigee.pick('web')"), "|EHOSTUNREACH"));
  catalog_writer_close(w);
  snprintf(file, sizeof file, "%s/catalog", run_dir);
  unlink(file);
  snprintf(file, sizeof file, "%s/lock", run_dir);
  unlink(file);
  assert_int_equal(rmdir(run_dir), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      FIXTURE_TEST(a_change_is_answered),
      FIXTURE_TEST(who_asked_may_be_gone),
      FIXTURE_TEST(where_nobody_can_wait_nothing_is_asked),
      FIXTURE_TEST(picks_come_from_the_catalog),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
