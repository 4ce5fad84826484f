/* backoff: how long to wait before what failed is tried again: 1 s, then 1.6 times as long each
 * time, 20 s at most. Half as much and half as much again by chance: of many hosts that lost the
 * same registry in the same moment, each comes back at a time of its own. */
#pragma once

/* Seconds, after so many failures in a row (from 1 on). */
double backoff_s(unsigned failures);
