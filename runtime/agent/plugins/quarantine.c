#include "agent/plugins/quarantine.h"

static const int64_t minute = 60 * 1000000000LL;
static const int64_t shortest = 10 * 1000000000LL, longest = 600 * 1000000000LL;

static void age(struct quarantine *q, int64_t now_ns) {
  if (!q->halved_ns)
    q->halved_ns = now_ns;
  for (; now_ns - q->halved_ns >= minute && q->calls > 0.01; q->halved_ns += minute) {
    q->calls /= 2;
    q->faults /= 2;
  }
  if (now_ns - q->halved_ns >= minute)
    q->halved_ns = now_ns;
}

bool quarantine_holds(const struct quarantine *q, int64_t now_ns) {
  return q->on_trial || now_ns < q->until_ns;
}

bool quarantine_allows(struct quarantine *q, int64_t now_ns) {
  if (quarantine_holds(q, now_ns))
    return false;
  q->on_trial = q->until_ns != 0;
  return true;
}

static void begin(struct quarantine *q, int64_t now_ns) {
  int64_t span = q->span_ns ? q->span_ns * 2 : shortest;
  q->span_ns = span < longest ? span : longest;
  q->until_ns = now_ns + q->span_ns;
  q->calls = q->faults = 0;
  q->times++;
}

bool quarantine_note(struct quarantine *q, bool fault, int64_t now_ns) {
  bool decides = q->on_trial;
  age(q, now_ns);
  q->on_trial = false;
  q->calls++;
  q->faults += fault;
  q->faults_total += fault;
  if (now_ns < q->until_ns)
    return false; /* a call that was under way when it began */
  if (decides && !fault)
    q->until_ns = 0;
  if (q->until_ns == 0 && !fault && q->faults < 1)
    q->span_ns = 0; /* well for some minutes: the next one begins short again */
  bool enough = q->faults >= QUARANTINE_FAULTS && q->faults * 2 > q->calls;
  if (fault && (decides || enough)) {
    begin(q, now_ns);
    return true;
  }
  return false;
}
