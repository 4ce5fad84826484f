/* backoff: how long to wait before what failed is tried again: any time up to 6 s, then 1.6 times
 * as much each time, 20 s at most, and half of it at least. Many hosts that lost the same registry
 * in the same moment come back evenly spread, after an outage of a second as after one of an hour.
 */
#pragma once

/* Seconds, after so many failures in a row (from 1 on). */
double backoff_s(unsigned failures);
