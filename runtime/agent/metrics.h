/* metrics: what the control thread knows of itself, for Prometheus and for `perigee status`. */
#pragma once

struct agent;
struct buf;

void agent_metrics(struct agent *a, struct buf *out); /* Prometheus text */
void agent_status(struct agent *a, struct buf *out);  /* one JSON object */
