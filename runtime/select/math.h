/* math: what the balancers need of libm, without it: a client links libc and nothing else. The same
 * to the last bit on every machine with IEEE doubles, which the hashing ones rely on. */
#pragma once

/* e^-x for x >= 0, within 1e-9 of it. */
double select_exp_minus(double x);
/* The natural logarithm of a normal x > 0, within 1e-9. */
double select_ln(double x);
