/* log_budget: how much an isolate may log. How many lines that left out is told with its next line,
 * or at its end. */
#include "base/clock.h"
#include "base/log.h"
#include "vm/isolate/inside.h"

void log_budget_settle(struct isolate *iso) {
  if (!iso->log_unreported)
    return;
  log_warn("lines left out: the plugin logs too much", LOG_S("plugin", iso->name),
           LOG_I("lines", iso->log_unreported));
  iso->log_unreported = 0;
}

/* A bucket that holds one second's worth. */
bool log_budget_take(struct isolate *iso) {
  int64_t now = clock_now_ns();
  double rate = iso->limits.log_lines_per_s;
  if (iso->log_refilled_ns)
    iso->log_tokens += (double)(now - iso->log_refilled_ns) / 1e9 * rate;
  iso->log_refilled_ns = now;
  if (iso->log_tokens > rate)
    iso->log_tokens = rate;
  if (iso->log_tokens < 1) {
    iso->log_suppressed++;
    iso->log_unreported++;
    return false;
  }
  iso->log_tokens -= 1;
  return true;
}
