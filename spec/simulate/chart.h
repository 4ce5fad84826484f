/* chart: the results as an SVG of bars, one panel a figure. */
#pragma once

#include "run.h"

struct chart_line {
  const char *name;
  struct run_result results[RUN_KINDS];
};

/* 0 or a negative errno. */
int chart_write(const char *path, const struct chart_line *lines, unsigned count);
