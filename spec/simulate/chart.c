#include "chart.h"

#include <errno.h>
#include <stdio.h>

/* In pixels. */
enum { LABEL = 150, PANEL = 250, GAP = 70, LEGEND = 200, TOP = 60, BAR = 11, ROW = 44 };

struct panel {
  const char *title, *unit;
  double (*value)(const struct run_result *r);
};

static double p50(const struct run_result *r) {
  return r->p50_ms;
}
static double p99(const struct run_result *r) {
  return r->p99_ms;
}
static double lost(const struct run_result *r) {
  return r->calls ? 100.0 * (double)(r->errors + r->timeouts) / (double)r->calls : 0;
}

static const struct panel panels[] = {
    {"p50", "ms", p50}, {"p99", "ms", p99}, {"errors", "%", lost}};
enum { PANELS = sizeof panels / sizeof *panels };

static void draw_bar(FILE *f, const char *class, unsigned x, unsigned y, double value,
                     double largest) {
  double width = largest > 0 ? PANEL * value / largest : 0;
  fprintf(f, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%.1f\" height=\"%d\"/>\n", class, x, y,
          width, BAR);
  fprintf(f, "<text class=\"figure\" x=\"%.1f\" y=\"%u\">%.3g</text>\n", x + width + 4, y + BAR - 2,
          value);
}

static void draw_panel(FILE *f, unsigned number, const struct chart_line *lines, unsigned count) {
  const struct panel *panel = &panels[number];
  unsigned x = LABEL + number * (PANEL + GAP);
  double largest = 0;
  for (unsigned i = 0; i < count; i++) {
    for (int kind = 0; kind < RUN_KINDS; kind++) {
      double value = panel->value(&lines[i].results[kind]);
      largest = value > largest ? value : largest;
    }
  }
  fprintf(f, "<text class=\"title\" x=\"%u\" y=\"%d\">%s, %s</text>\n", x, TOP - 12, panel->title,
          panel->unit);
  for (unsigned i = 0; i < count; i++) {
    for (unsigned kind = 0; kind < RUN_KINDS; kind++)
      draw_bar(f, run_names[kind], x, TOP + i * ROW + kind * (BAR + 1),
               panel->value(&lines[i].results[kind]), largest);
  }
}

static const char *const legend[RUN_KINDS] = {"each process alone", "feedback of the whole host",
                                              "and outliers ejected"};

int chart_write(const char *path, const struct chart_line *lines, unsigned count) {
  FILE *f = fopen(path, "w");
  if (!f)
    return -errno;
  fprintf(f,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\">\n"
          "<style>text { font: 12px sans-serif } .title { font-weight: bold } .figure { font-size: "
          "10px } .alone { fill: #c9a227 } .host { fill: #2a6f97 } .ejects { fill: #52796f }"
          "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
          LABEL + PANELS * (PANEL + GAP), TOP + count * ROW + 10);
  for (unsigned kind = 0; kind < RUN_KINDS; kind++)
    fprintf(f,
            "<rect class=\"%s\" x=\"%u\" y=\"12\" width=\"12\" height=\"12\"/>"
            "<text x=\"%u\" y=\"22\">%s</text>\n",
            run_names[kind], LABEL + kind * LEGEND, LABEL + 18 + kind * LEGEND, legend[kind]);
  for (unsigned i = 0; i < count; i++)
    fprintf(f, "<text x=\"8\" y=\"%u\">%s</text>\n", TOP + i * ROW + BAR + 4, lines[i].name);
  for (unsigned i = 0; i < PANELS; i++)
    draw_panel(f, i, lines, count);
  fputs("</svg>\n", f);
  int failed = ferror(f);
  return fclose(f) != 0 || failed ? -EIO : 0;
}
