/* backoff: how long to wait before what failed is tried again: any time up to 0.3 of the longest
 * wait, then 1.6 times as much each time up to that, and half of it at least. Many hosts that lost
 * the same registry in the same moment come back evenly spread, after an outage of a second as
 * after one of an hour. */
#pragma once

/* The longest wait where nobody says another: 6 s at first. */
#define BACKOFF_LONGEST_S 20.0

/* Seconds, after so many failures in a row (from 1 on). */
double backoff_s(unsigned failures, double longest_s);
