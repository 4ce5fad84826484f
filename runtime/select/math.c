#include "select/math.h"

#include <stdint.h>
#include <string.h>

/* By squaring: (e^(-x / 1024))^1024, the inner one by its series. */
double select_exp_minus(double x) {
  if (!(x < 700))
    return 0;
  double y = x / 1024, e = 1 - y * (1 - y / 2 * (1 - y / 3 * (1 - y / 4 * (1 - y / 5))));
  for (int i = 0; i < 10; i++)
    e *= e;
  return e;
}

/* The exponent's part is exact; the mantissa's is 2 artanh((m - 1) / (m + 1)) by its series. */
double select_ln(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52 & 2047) - 1023;
  bits = (bits & 0xfffffffffffffu) | 1023ull << 52;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m /= 2;
    exponent++;
  }
  double z = (m - 1) / (m + 1), z2 = z * z, sum = 0;
  for (int k = 13; k >= 1; k -= 2)
    sum = sum * z2 + 1.0 / k;
  return exponent * 0.69314718055994531 + 2 * z * sum;
}
