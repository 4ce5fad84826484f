#include "chart.h"

#include <errno.h>
#include <stdio.h>

/* In pixels. */
enum { LABEL = 150, PANEL = 250, GAP = 70, TOP = 60, ROW = 34, BAR = 12 };

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
    double a = panel->value(&lines[i].shared), b = panel->value(&lines[i].alone);
    largest = a > largest ? a : largest;
    largest = b > largest ? b : largest;
  }
  fprintf(f, "<text class=\"title\" x=\"%u\" y=\"%d\">%s, %s</text>\n", x, TOP - 12, panel->title,
          panel->unit);
  for (unsigned i = 0; i < count; i++) {
    unsigned y = TOP + i * ROW;
    draw_bar(f, "shared", x, y, panel->value(&lines[i].shared), largest);
    draw_bar(f, "alone", x, y + BAR + 1, panel->value(&lines[i].alone), largest);
  }
}

int chart_write(const char *path, const struct chart_line *lines, unsigned count) {
  FILE *f = fopen(path, "w");
  if (!f)
    return -errno;
  fprintf(f,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\">\n"
          "<style>text { font: 12px sans-serif } .title { font-weight: bold } .figure { font-size: "
          "10px } .shared { fill: #2a6f97 } .alone { fill: #c9a227 }</style>\n"
          "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
          "<rect class=\"shared\" x=\"%d\" y=\"12\" width=\"12\" height=\"12\"/>"
          "<text x=\"%d\" y=\"22\">feedback of the whole host</text>\n"
          "<rect class=\"alone\" x=\"%d\" y=\"12\" width=\"12\" height=\"12\"/>"
          "<text x=\"%d\" y=\"22\">each process alone</text>\n",
          LABEL + PANELS * (PANEL + GAP), TOP + count * ROW + 10, LABEL, LABEL + 18, LABEL + 220,
          LABEL + 238);
  for (unsigned i = 0; i < count; i++)
    fprintf(f, "<text x=\"8\" y=\"%u\">%s</text>\n", TOP + i * ROW + BAR + 4, lines[i].name);
  for (unsigned i = 0; i < PANELS; i++)
    draw_panel(f, i, lines, count);
  fputs("</svg>\n", f);
  int failed = ferror(f);
  return fclose(f) != 0 || failed ? -EIO : 0;
}
