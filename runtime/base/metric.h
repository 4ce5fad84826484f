/* metric: Prometheus' text format: families, each with its samples after it. */
#pragma once

#include <stdint.h>

struct buf;

/* `type`: "gauge", "counter" or "histogram". */
void metric_family(struct buf *out, const char *name, const char *type, const char *help);
/* A sample of the family that was begun last, told from its others by a label. */
void metric_sample(struct buf *out, const char *name, const char *label, const char *labelled,
                   double value);

/* A family of one sample, without a label. */
void metric_gauge(struct buf *out, const char *name, const char *help, double value);
void metric_counter(struct buf *out, const char *name, const char *help, uint64_t value);
