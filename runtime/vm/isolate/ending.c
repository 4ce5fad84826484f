/* ending: the heap of an isolate that has ended. A full one takes a tenth of a second to free, for
 * which a thread of its own is started; nothing in it belongs to the loop any more, as what its
 * udata held was given back before. */
#include "base/value.h"
#include "vm/isolate/inside.h"

#include <stdlib.h>

enum { LITTLE = 1024 * 1024 }; /* takes no time to speak of */

static void heap_free(struct isolate *iso) {
  lua_close(iso->L);
  pool_free(&iso->pool);
  free(iso->own_library);
  free(iso->name);
  free(iso);
}

/* Until there is none left. */
static void free_heaps(void *endings) {
  struct endings *e = endings;
  uv_mutex_lock(&e->mutex);
  while (e->first) {
    struct isolate *iso = e->first;
    e->first = iso->next;
    uv_mutex_unlock(&e->mutex);
    heap_free(iso);
    uv_mutex_lock(&e->mutex);
  }
  e->runs = false;
  uv_mutex_unlock(&e->mutex);
}

static void thread_join(struct endings *e) {
  if (e->started)
    uv_thread_join(&e->thread);
  e->started = false;
}

static void heap_add(struct endings *e, struct isolate *iso) {
  uv_mutex_lock(&e->mutex);
  iso->next = e->first;
  e->first = iso;
  bool runs = e->runs;
  e->runs = true;
  uv_mutex_unlock(&e->mutex);
  if (runs)
    return;
  thread_join(e); /* of the one before, which has nothing to do any more */
  e->started = uv_thread_create(&e->thread, free_heaps, e) == 0;
  if (!e->started)
    free_heaps(e);
}

int endings_open(struct endings *e) {
  return uv_mutex_init(&e->mutex);
}

void endings_close(struct endings *e) {
  thread_join(e);
  uv_mutex_destroy(&e->mutex);
}

void heap_end(struct isolate *iso) {
  struct vm *vm = iso->vm;
  /* With the ffi a plugin has finalizers of its own. */
  bool stays = vm->scripted || value_as_boolean(value_get(iso->limits.grant, "ffi"), false);
  owned_end_all(iso);
  vm->memory -= iso->memory;
  iso->heap_ends = true;
  while (iso->required) {
    struct required *r = iso->required;
    iso->required = r->next;
    value_unref(r->text);
    free(r->name);
    free(r);
  }
  value_unref(iso->parts);
  value_unref(iso->host);
  value_unref((struct value *)iso->limits.grant);
  if (stays || iso->memory < LITTLE)
    heap_free(iso);
  else
    heap_add(&vm->endings, iso);
}
