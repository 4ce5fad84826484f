#include "select/shape.h"

static double least_of(double a, double b) {
  return a < b ? a : b;
}

static double health_of(const struct select_tier *t, double overprovision) {
  return t->healthy ? least_of(1, overprovision * t->healthy / t->total) : 0;
}

void select_tier_loads(struct select_tier *tiers, uint32_t count, double overprovision,
                       double panic) {
  double health = 0, left = 1;
  for (uint32_t i = 0; i < count; i++)
    health += health_of(&tiers[i], overprovision);
  for (uint32_t i = 0; i < count; i++) {
    struct select_tier *t = &tiers[i];
    t->load = health > 0 ? health_of(t, overprovision) / least_of(1, health) : i == 0;
    t->load = least_of(t->load, left);
    left -= t->load;
    /* Sums of thirds and the like: what is left by rounding is nothing. */
    left = left < 1e-12 ? 0 : left;
    t->panics = health <= 0 || (health < 1 && t->healthy < panic * t->total);
  }
}
