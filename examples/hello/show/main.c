/* show [--for TIME] [--once]: the main loop. Ends on Ctrl-C, after TIME ("20s"), and with --once
 * (or CI=true) when the story does; whatever it started ends with it. Exit code 0; 1 when what the
 * story shows did not come true. */
#include "show.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { FRAME_MS = 100, ACTORS = BACKENDS + 2 };

/* "20s", "2m", "20" → seconds; 0 when it is none of them. */
static double read_time(const char *text) {
  char *end;
  double n = strtod(text, &end);
  double unit = *end == '\0' || strcmp(end, "s") == 0 ? 1 : strcmp(end, "m") == 0 ? 60 : 0;
  return n > 0 && n <= 86400 ? n * unit : 0;
}

static int read_arguments(struct show *s, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--once") == 0) {
      s->once = true;
    } else if (strcmp(argv[i], "--for") == 0 && i + 1 < argc && read_time(argv[i + 1]) > 0) {
      s->ends = s->began + read_time(argv[++i]);
    } else {
      fprintf(stderr, "usage: show [--for TIME] [--once]   (TIME: 20s, 2m)\n");
      return 2;
    }
  }
  const char *ci = getenv("CI");
  if (ci && strcmp(ci, "true") == 0 && s->ends == 0)
    s->once = true;
  return 0;
}

/* Of the agent's log, and of what the back ends say, only what is wrong is worth a line here. */
static void actor_spoke(struct show *s, struct actor *a, char *line) {
  bool usual = strstr(line, " listens on ") || strstr(line, "level=info");
  const char *event = strstr(line, "event="); /* without the time and the level */
  if (a == &s->client)
    story_call(s, a, line);
  else if (!usual)
    picture_event(s, "%s says: %s", a->name, event ? event + strlen("event=") : line);
}

static void key_pressed(struct show *s, char key) {
  if (key == 'q')
    s->over = true;
  if (!story_ended(s))
    return; /* the story is told first */
  if (key >= '1' && key < '1' + BACKENDS) {
    struct actor *a = &s->backend[key - '1'];
    picture_event(s, "%s is %s", a->name, a->pid ? "killed (kill -9)" : "started");
    if (a->pid)
      stage_kill(a);
    else
      stage_backend(s, key - '1');
  } else if (key == 'a') {
    picture_event(s, "the agent is %s", s->agent.pid ? "killed (kill -9)" : "started");
    if (s->agent.pid)
      stage_kill(&s->agent);
    else
      stage_agent(s);
  }
}

static void signal_arrived(struct show *s, int signals) {
  struct signalfd_siginfo got;
  while (read(signals, &got, sizeof got) == sizeof got) {
    if (got.ssi_signo == SIGCHLD)
      stage_reap(s);
    else
      s->over = true;
  }
}

/* One turn: waits for whatever happens first, at most a frame. */
static void turn(struct show *s, int signals) {
  struct pollfd from[ACTORS + 2];
  for (int i = 0; i < ACTORS; i++)
    from[i] = (struct pollfd){.fd = stage_actor(s, i)->output, .events = POLLIN};
  from[ACTORS] = (struct pollfd){.fd = signals, .events = POLLIN};
  from[ACTORS + 1] =
      (struct pollfd){.fd = picture_is_live(s) ? STDIN_FILENO : -1, .events = POLLIN};
  poll(from, ACTORS + 2, FRAME_MS);
  for (int i = 0; i < ACTORS; i++)
    if (from[i].revents)
      stage_read(s, stage_actor(s, i), actor_spoke);
  if (from[ACTORS].revents)
    signal_arrived(s, signals);
  char key;
  if ((from[ACTORS + 1].revents & POLLIN) && read(STDIN_FILENO, &key, 1) == 1)
    key_pressed(s, key);
}

static void play(struct show *s, int signals) {
  double drawn = 0;
  while (!s->over) {
    turn(s, signals);
    if (now_s() - drawn >= FRAME_MS / 1000.0) {
      drawn = now_s();
      story_look(s);
      story_tick(s);
      picture_draw(s);
    }
    s->over = s->over || (s->ends > 0 && now_s() >= s->ends) || (s->once && story_ended(s));
  }
}

int main(int argc, char **argv) {
  static struct show s;
  s.began = now_s();
  int r = read_arguments(&s, argc, argv);
  if (r != 0)
    return r;
  sigset_t ours;
  sigemptyset(&ours);
  for (const int *signal = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD, 0}; *signal;
       signal++)
    sigaddset(&ours, *signal);
  sigprocmask(SIG_BLOCK, &ours, NULL);
  signal(SIGPIPE, SIG_IGN); /* somebody who reads us went away: clean up all the same */
  int signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signals < 0 || story_new(&s) != 0 || picture_new(&s) != 0 || stage_open(&s) != 0) {
    fprintf(stderr, "show: cannot start\n");
    s.exit_code = 1;
  } else {
    if (s.http_port != 8500)
      picture_event(&s, "port 8500 is taken: the agent listens on %d", s.http_port);
    if (s.first_port != 8081)
      picture_event(&s, "ports 8081 to 8083 are not free: the back ends take %d to %d",
                    s.first_port, s.first_port + BACKENDS - 1);
    play(&s, signals);
    picture_event(&s, "everything ends: %lu calls went well, %lu were tried again", s.calls.ok,
                  s.calls.failed);
  }
  perigee_service_close(s.web);
  perigee_close(s.perigee);
  stage_close(&s);
  if (s.picture)
    picture_free(&s);
  story_free(&s);
  return s.exit_code;
}
