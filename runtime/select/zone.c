#include "select/shape.h"

bool select_zone_shares(const double *upstream, const double *clients, uint32_t count, uint32_t own,
                        double *shares) {
  double over = 0;
  for (uint32_t i = 0; i < count; i++) {
    shares[i] = upstream[i] > clients[i] && i != own ? upstream[i] - clients[i] : 0;
    over += shares[i];
  }
  double here = upstream[own] >= clients[own] ? 1 : upstream[own] / clients[own];
  if (here < 1 && over <= 0)
    return false;
  for (uint32_t i = 0; i < count; i++)
    shares[i] = here < 1 ? shares[i] / over * (1 - here) : 0;
  shares[own] = here;
  return true;
}
