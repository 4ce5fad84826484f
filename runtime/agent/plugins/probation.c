#include "agent/plugins/probation.h"

#include "agent/plugins/quarantine.h"

void probation_begin(struct probation *p, int64_t now_ns) {
  *p = (struct probation){.until_ns = now_ns + PROBATION_NS};
}

void probation_note(struct probation *p, bool fault) {
  p->calls++;
  p->faults += fault;
}

/* What would put it in quarantine takes it back; and so does having failed more often than not,
 * where it is seldom called. */
enum probation_verdict probation_judge(const struct probation *p, int64_t now_ns) {
  if (p->until_ns == 0)
    return PROBATION_GOES_ON;
  bool time_is_up = now_ns >= p->until_ns;
  if ((p->faults >= QUARANTINE_FAULTS || time_is_up) && p->faults * 2 > p->calls)
    return PROBATION_FAILED;
  return p->calls - p->faults >= PROBATION_WELL || time_is_up ? PROBATION_PASSED
                                                              : PROBATION_GOES_ON;
}
