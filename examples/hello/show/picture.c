/* picture: events as lines that stay, and below them, on a terminal, a picture that is redrawn in
 * place. Without a terminal: the events, and the shares of the calls every few seconds. */
#include "show.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { BAR = 24 };

struct picture {
  bool live, colour;
  int height; /* lines of the picture that stands below the events now */
  double last_summary;
  bool typing;
  struct termios before;
};

/* What the picture shows of an actor, in the order of `marks`. */
enum look { GOOD, DOUBTFUL, BAD, GONE };
static const struct {
  const char *colour, *mark;
} marks[] = {{"32", "●"}, {"33", "●"}, {"31", "●"}, {"2", "○"}};

int picture_new(struct show *s) {
  struct picture *p = calloc(1, sizeof *p);
  if (!p)
    return -1;
  s->picture = p;
  const char *terminal = getenv("TERM");
  p->live = isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
  p->colour = p->live && !getenv("NO_COLOR");
  p->last_summary = now_s();
  if (!p->live)
    return 0;
  printf("\33[?25l"); /* no cursor */
  /* Keys at once and not echoed; Ctrl-C stays a signal. */
  if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
      tcgetattr(STDIN_FILENO, &p->before) == 0) {
    struct termios keys = p->before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    p->typing = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
  }
  return 0;
}

void picture_free(struct show *s) {
  struct picture *p = s->picture;
  if (!p)
    return;
  if (p->typing)
    tcsetattr(STDIN_FILENO, TCSANOW, &p->before);
  if (p->live)
    printf("\33[?25h");
  fflush(stdout);
  free(p);
  s->picture = NULL;
}

bool picture_is_live(const struct show *s) {
  return s->picture->live;
}

static void paint_times(const struct picture *p, const char *colour, const char *text, int times) {
  if (p->colour)
    printf("\33[%sm", colour);
  for (int i = 0; i < times; i++)
    fputs(text, stdout);
  if (p->colour)
    fputs("\33[0m", stdout);
}

static void paint(const struct picture *p, const char *colour, const char *text) {
  paint_times(p, colour, text, 1);
}

static void erase(struct picture *p) {
  if (p->height > 0)
    printf("\33[%dA\r\33[J", p->height);
  p->height = 0;
}

void picture_event(struct show *s, const char *format, ...) {
  struct picture *p = s->picture;
  char stamp[24];
  erase(p);
  snprintf(stamp, sizeof stamp, "%6.1f s  ", now_s() - s->began);
  paint(p, "2", stamp);
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  putchar('\n');
  if (p->live)
    picture_draw(s);
  fflush(stdout);
}

/* Of the last calls that went well: the share that went to back end i, 0 to 1. */
static double share_of(const struct calls *c, int i) {
  unsigned count = 0;
  for (unsigned k = 0; k < c->recent_count; k++)
    count += c->recent[k] == i;
  return c->recent_count ? (double)count / c->recent_count : 0;
}

static void draw_bar(const struct picture *p, double share) {
  int full = (int)lround(share * BAR);
  paint_times(p, "36", "█", full);
  paint_times(p, "2", "·", BAR - full);
}

static void draw_name(const struct picture *p, enum look look, const char *name,
                      const char *state) {
  fputs("  ", stdout);
  paint(p, marks[look].colour, marks[look].mark);
  printf(" %-7s ", name);
  char padded[24];
  snprintf(padded, sizeof padded, "%-12s", state);
  paint(p, marks[look].colour, padded);
}

static void draw_backend(struct show *s, int i) {
  static const char *const words[] = {"passing", "warning", "critical"};
  const struct picture *p = s->picture;
  const struct perigee_endpoint *e = &s->seen[i];
  bool known = s->known[i] && e->status <= PERIGEE_CRITICAL;
  draw_name(p, known ? (enum look)e->status : GONE, s->backend[i].name,
            known ? words[e->status] : "unknown");
  draw_bar(p, share_of(&s->calls, i));
  printf(" %3.0f %%  %6lu calls  ", 100 * share_of(&s->calls, i), s->calls.to[i]);
  if (s->backend[i].pid)
    printf("pid %d", (int)s->backend[i].pid);
  else
    paint(p, "31", "not running");
  putchar('\n');
}

void picture_draw(struct show *s) {
  struct picture *p = s->picture;
  char text[340];
  if (!p->live) {
    if (now_s() - p->last_summary < 5 || s->calls.ok == 0)
      return;
    p->last_summary = now_s();
    picture_event(
        s, "calls: %.0f %% web-1, %.0f %% web-2, %.0f %% web-3; %lu went well, %lu tried again",
        100 * share_of(&s->calls, 0), 100 * share_of(&s->calls, 1), 100 * share_of(&s->calls, 2),
        s->calls.ok, s->calls.failed);
    return;
  }
  erase(p);
  printf("\33[?7l\n"); /* a narrow terminal cuts, it does not wrap: the height stays known */
  draw_name(p, s->agent.pid ? s->agent_alive ? GOOD : DOUBTFUL : BAD, "agent",
            s->agent.pid ? "running" : "dead");
  snprintf(text, sizeof text, "http://127.0.0.1:%d  %s", s->http_port, s->run_dir);
  puts(text);
  for (int i = 0; i < BACKENDS; i++)
    draw_backend(s, i);
  draw_name(p, s->client.pid ? GOOD : GONE, "client", s->client.pid ? "calling" : "not running");
  printf("%lu calls went well, %lu tried again, %ld us each\n\n", s->calls.ok, s->calls.failed,
         s->calls.latency_us);
  p->height = 3 + BACKENDS + 1;
  if (story_ended(s) && p->typing && !s->over) {
    snprintf(text, sizeof text, "  curl 127.0.0.1:%d/v1/pick/web\n", s->http_port);
    paint(p, "2", text);
    snprintf(text, sizeof text, "  build/perigee pick web --run-dir %s\n", s->run_dir);
    paint(p, "2", text);
    paint(p, "2", "  keys: 1 2 3 kill or start a back end, a the agent; q or Ctrl-C ends it all\n");
    p->height += 3;
  }
  printf("\33[?7h");
  fflush(stdout);
}
