/* probation: the first calls of a plugin's new version, while the old one is kept for the case that
 * it fails. It is well after some calls, or when most of the few of a time went well. Plain data;
 * the control thread's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PROBATION_NS (INT64_C(10) * 1000000000)
enum { PROBATION_WELL = 5 }; /* calls */

struct probation {
  int64_t until_ns; /* 0: there is none */
  unsigned calls, faults;
};

enum probation_verdict { PROBATION_GOES_ON, PROBATION_PASSED, PROBATION_FAILED };

void probation_begin(struct probation *p, int64_t now_ns);
void probation_note(struct probation *p, bool fault);
enum probation_verdict probation_judge(const struct probation *p, int64_t now_ns);
