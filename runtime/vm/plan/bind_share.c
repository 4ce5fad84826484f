/* endpoints:share: a part of the picks for some of the endpoints. */
#include "vm/plan/endpoints_inside.h"
#include "watch/balancer.h"

#include <float.h>
#include <lauxlib.h>
#include <stdlib.h>

/* share(test, fraction): of the picks that a tier gets, those endpoints get `fraction` that `test`
 * is true of: a tag, or a list that says it of each that is shown (lua/perigee/endpoints.lua asks a
 * function). Among themselves they keep their proportions,
 * and so do the others. Only what can be picked is counted, so that the fraction holds while some
 * are critical; where only one side can be, it has all. Returns how many can be picked that the
 * test is true of. */
struct side {
  double sum; /* of the weights of a tier's, over the largest weight */
  double factor;
};
struct part {
  uint16_t tier;
  uint32_t row;
  bool chosen, counts;
};

static int by_tier(const void *a, const void *b) {
  const struct part *x = a, *y = b;
  return x->tier != y->tier ? (x->tier < y->tier ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

static bool passes(lua_State *L, const char *tag, uint32_t row, uint32_t place) {
  if (tag)
    return instance_has_tag(facts_of(L, row)->instance, tag);
  lua_rawgeti(L, 2, (int)place);
  bool passed = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return passed;
}

static bool has_weight(const struct plan_row *p) {
  return !p->drop && p->weight > 0 && p->weight <= DBL_MAX;
}

/* Fills `parts`, sorted by tier; how many. */
static uint32_t divide(lua_State *L, const struct roster *r, const char *tag, struct part *parts) {
  const struct plan_run *run = now_of(L)->run;
  uint32_t count = 0, place = 0;
  bool any = false, sorted = true;
  for (uint32_t i = 0; i < r->count; i++) {
    if (!shown(run, i))
      continue;
    place++;
    if (run->rows[i].drop)
      continue;
    bool well = facts_of(L, i)->status != STATUS_CRITICAL && !live_of(L, i).ejected;
    bool counts = well && has_weight(&run->rows[i]);
    parts[count++] = (struct part){run->rows[i].tier, i, passes(L, tag, i, place), counts};
    any = any || counts;
    sorted = sorted && (count < 2 || parts[count - 2].tier <= parts[count - 1].tier);
  }
  for (uint32_t i = 0; !any && i < count; i++) /* picks fail open */
    parts[i].counts = has_weight(&run->rows[parts[i].row]);
  if (!sorted)
    qsort(parts, count, sizeof *parts, by_tier);
  return count;
}

static lua_Integer weigh(struct plan_row *rows, const struct part *parts, uint32_t count,
                         double fraction) {
  struct side sides[2] = {{0}};
  double largest = 0; /* a sum of the weights themselves may overflow */
  lua_Integer chosen = 0;
  for (uint32_t i = 0; i < count; i++)
    if (parts[i].counts && rows[parts[i].row].weight > largest)
      largest = rows[parts[i].row].weight;
  for (uint32_t i = 0; i < count; i++)
    if (parts[i].counts) {
      sides[parts[i].chosen].sum += rows[parts[i].row].weight / largest;
      chosen += parts[i].chosen;
    }
  if (!(sides[0].sum > 0 && sides[1].sum > 0))
    return chosen;
  double all = sides[0].sum + sides[1].sum;
  sides[0].factor = (1 - fraction) * all / sides[0].sum;
  sides[1].factor = fraction * all / sides[1].sum;
  for (uint32_t i = 0; i < count; i++) {
    rows[parts[i].row].weight *= sides[parts[i].chosen].factor;
    rows[parts[i].row].by = PLAN_BALANCER;
  }
  return chosen;
}

int roster_share(lua_State *L) {
  const struct roster *r = roster_check(L);
  const char *tag = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
  double fraction = luaL_checknumber(L, 3);
  lua_Integer chosen = 0;
  may_set(L, PLAN_WEIGHT, "weight");
  if (!tag)
    luaL_argcheck(L, lua_istable(L, 2), 2, "a tag or a function expected");
  luaL_argcheck(L, fraction >= 0 && fraction <= 1, 3, "a number from 0 to 1 is expected");
  struct part *parts = lua_newuserdata(L, (r->count + 1) * sizeof *parts);
  uint32_t count = divide(L, r, tag, parts);
  for (uint32_t i = 0, next; i < count; i = next) {
    for (next = i; next < count && parts[next].tier == parts[i].tier;)
      next++;
    chosen += weigh(now_of(L)->run->rows, parts + i, next - i, fraction);
  }
  lua_pushinteger(L, chosen);
  return 1;
}
