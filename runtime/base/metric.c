#include "base/metric.h"

#include "base/buf.h"

void metric_family(struct buf *out, const char *name, const char *type, const char *help) {
  buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_sample(struct buf *out, const char *name, const char *label, const char *labelled,
                   double value) {
  buf_format(out, "%s{%s=", name, label);
  buf_json_text(out, labelled); /* quoted as a label is */
  buf_text(out, "} ");
  buf_json_number(out, value);
  buf_char(out, '\n');
}

void metric_gauge(struct buf *out, const char *name, const char *help, double value) {
  metric_family(out, name, "gauge", help);
  buf_format(out, "%s ", name);
  buf_json_number(out, value);
  buf_char(out, '\n');
}

void metric_counter(struct buf *out, const char *name, const char *help, uint64_t value) {
  metric_family(out, name, "counter", help);
  buf_format(out, "%s %llu\n", name, (unsigned long long)value);
}
