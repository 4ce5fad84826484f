#include "vm/pick/pick_view.h"

#include "select/group.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"

#include <lauxlib.h>
#include <string.h>

/* Compiled code calls these directly: they raise nothing, and trust no number that they are given.
 */
static bool row_of(struct pick_page *page, int32_t i, const struct pick_view **v, uint32_t *row) {
  *v = (const struct pick_view *)page;
  *row = (*v)->first + (uint32_t)i;
  return i >= 0 && i < page->count;
}

static struct select_sample sample_of(struct pick_page *page, int32_t i) {
  struct pick_view *own = (struct pick_view *)page;
  const struct pick_view *v;
  uint32_t row;
  if (!row_of(page, i, &v, &row))
    return (struct select_sample){0};
  if (!own->now_ns)
    own->now_ns = select_now_ns();
  const struct select_place place = select_row_find(v->state, v->view, row);
  return select_row_load(v->view, row, &place, v->now_ns);
}

static int32_t in_flight(struct pick_page *page, int32_t i) {
  uint32_t n = sample_of(page, i).in_flight;
  return n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

static double latency(struct pick_page *page, int32_t i) {
  return (double)sample_of(page, i).latency_ns / 1e9;
}

/* Into the page's `text`; its length. What does not fit is no id and no zone. */
static int32_t copy_text(struct pick_page *page, int32_t i, int32_t kind) {
  const struct pick_view *v;
  struct catalog_text text;
  uint32_t row;
  if (!row_of(page, i, &v, &row) ||
      !catalog_view_text(v->view, row, kind == 0 ? CATALOG_ID : CATALOG_ZONE, 0, &text) ||
      text.length > sizeof page->text)
    return 0;
  catalog_view_copy(v->view, text, page->text);
  return (int32_t)text.length;
}

static bool has_tag(struct pick_page *page, int32_t i, const char *tag, size_t length) {
  const struct pick_view *v;
  struct catalog_text text;
  uint32_t row;
  if (!row_of(page, i, &v, &row))
    return false;
  for (uint32_t n = 0; catalog_view_text(v->view, row, CATALOG_TAG, n, &text); n++)
    if (catalog_view_equals(v->view, text, tag, length))
      return true;
  return false;
}

static void set_pointer(lua_State *L, const char *name, const void *p) {
  lua_pushlightuserdata(L, (void *)p);
  lua_setfield(L, -2, name);
}

/* view.lua is run with what only it may have; then `pick`, the view and the options are made one
 * function. */
static int make_run(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, 2);
  lua_call(L, 3, 1);
  return 1;
}

void pick_view_open(lua_State *L, struct pick_view *v) {
  lua_newtable(L);
  library_push_ffi(L);
  lua_setfield(L, -2, "ffi");
  lua_pushliteral(L, PICK_PAGE_CDEF);
  lua_setfield(L, -2, "page_types");
  set_pointer(L, "page", &v->page);
  set_pointer(L, "in_flight", (const void *)(uintptr_t)in_flight);
  set_pointer(L, "latency", (const void *)(uintptr_t)latency);
  set_pointer(L, "copy_text", (const void *)(uintptr_t)copy_text);
  set_pointer(L, "has_tag", (const void *)(uintptr_t)has_tag);
  lua_newuserdata(L, 0); /* the view: all that it shows is in the methods' page */
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "methods");
  lua_setmetatable(L, -2);
  lua_insert(L, -2);
  library_run(L, "view");
  lua_getfield(L, -1, "run");
  lua_remove(L, -2);
  lua_insert(L, -2);
  lua_pushcclosure(L, make_run, 2);
}

void pick_view_begin(struct pick_view *v, const struct pick_asked *asked) {
  v->state = asked->state;
  v->view = asked->view;
  v->first = asked->first;
  v->now_ns = 0;
  v->page.rows = (const struct pick_row *)(asked->view->rows + asked->first);
  v->page.key = asked->key;
  v->page.key_length =
      asked->key && asked->key_length < INT32_MAX ? (int32_t)asked->key_length : -1;
  v->page.hash = (double)(asked->bits >> 11) * 0x1.0p-53;
  v->page.count = asked->count < INT32_MAX ? (int32_t)asked->count : INT32_MAX;
}

void pick_view_end(struct pick_view *v) {
  v->page.count = 0;
  v->page.key_length = -1;
}
