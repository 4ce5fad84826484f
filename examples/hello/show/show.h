/* show: what `make run` shows. It starts the agent, three back ends and a client as processes of
 * their own, kills some of them, and draws what the catalog and the client say about it. One
 * thread. main.c is the loop, stage.c the processes, story.c what happens when, picture.c the
 * terminal. */
#pragma once

#include "perigee.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { BACKENDS = 3, RECENT = 128 };

/* A process in a group of its own; it dies with us whatever happens to us. */
struct actor {
  const char *name;
  pid_t pid;  /* 0: not running */
  int output; /* a pipe with its standard output and error; -1: none */
  char line[512];
  size_t line_length;
};

struct calls {
  unsigned long ok, failed; /* tries, in all */
  unsigned long to[BACKENDS];
  unsigned long failed_to[BACKENDS];
  signed char recent[RECENT]; /* the last ones that went well: whose they were */
  unsigned recent_count, recent_next;
  long latency_us; /* an average that forgets */
};

struct show {
  char home[256];     /* the scratch directory that everything is in, removed at the end */
  char run_dir[264];  /* home/run */
  char programs[400]; /* where backend and client are */
  char agent_program[400], config[400];
  int http_port, first_port; /* of the agent; of web-1 */
  struct actor agent, client, backend[BACKENDS];

  struct perigee *perigee;
  struct perigee_service *web;
  struct perigee_endpoint seen[BACKENDS]; /* what the catalog says of each */
  bool known[BACKENDS];
  bool agent_alive;
  struct calls calls;

  double began, ends; /* seconds; ends 0: on Ctrl-C */
  bool once;          /* end when the story does */
  bool over;
  int exit_code;
  struct story *story;
  struct picture *picture;
};

double now_s(void); /* monotonic */

/* stage.c. Failing to start is reported as an event, and by `pid` 0. */
int stage_open(struct show *s);   /* finds programs, makes the scratch directory, free ports */
void stage_close(struct show *s); /* ends every process and removes the directory */
void stage_agent(struct show *s);
void stage_backend(struct show *s, int i);
void stage_client(struct show *s);
void stage_kill(struct actor *a); /* kill -9 */
void stage_reap(struct show *s);  /* after SIGCHLD */
/* Reads what an actor wrote; calls `line` for each whole line. */
void stage_read(struct show *s, struct actor *a,
                void (*line)(struct show *, struct actor *, char *));
struct actor *stage_actor(struct show *s, int i); /* the i-th of all, NULL after the last */

/* story.c: acts, each with what it does, what it then waits for, and for how long at most. */
int story_new(struct show *s);
void story_free(struct show *s);
void story_tick(struct show *s);
bool story_ended(const struct show *s);
void story_look(struct show *s); /* asks the catalog */
void story_call(struct show *s, struct actor *client, char *line);

/* picture.c. An event is one line that stays; the picture is redrawn below the events. */
int picture_new(struct show *s);
void picture_free(struct show *s);
void picture_event(struct show *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void picture_draw(struct show *s);
bool picture_is_live(const struct show *s);
