/* story: the acts of the show. Each does something, and is over when what must follow has been
 * seen, in the catalog and in the client's calls; when it has not in time, the show fails. */
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_S = 20, VICTIM = 1, SECOND_VICTIM = 2 };

struct story {
  size_t act;
  bool entered;
  double entered_at;
  struct calls before; /* the calls when the act began */
  int client_pid;      /* the one client's, for the whole story */
};

struct act {
  double least_s; /* so that a person can follow */
  void (*enter)(struct show *s);
  bool (*done)(struct show *s);
  const char *waits_for;
};

static bool passing(const struct show *s, int i) {
  return s->known[i] && s->seen[i].status == PERIGEE_PASSING;
}

static bool all_passing(struct show *s) {
  for (int i = 0; i < BACKENDS; i++)
    if (!passing(s, i))
      return false;
  return true;
}

static unsigned long since(const struct show *s, int i) {
  return s->calls.to[i] - s->story->before.to[i];
}

static unsigned long ok_since(const struct show *s) {
  return s->calls.ok - s->story->before.ok;
}

static bool each_called(struct show *s) {
  for (int i = 0; i < BACKENDS; i++)
    if (since(s, i) < 5)
      return false;
  return true;
}

/* Act: back ends. */
static void start_backends(struct show *s) {
  picture_event(s, "three back ends start, each a process of its own: web-1, web-2, web-3");
  for (int i = 0; i < BACKENDS; i++)
    stage_backend(s, i);
}
static bool backends_run(struct show *s) {
  return s->backend[0].pid && s->backend[1].pid && s->backend[2].pid;
}

/* Act: the agent. */
static void start_agent(struct show *s) {
  picture_event(s, "the agent starts: it registers them and checks each twice a second");
  stage_agent(s);
}

/* Act: the client. */
static void start_client(struct show *s) {
  picture_event(s, "all three are passing: a client starts; it picks by libperigee and calls");
  stage_client(s);
  s->story->client_pid = s->client.pid;
}

/* Acts: a back end dies and comes back. */
static void kill_second(struct show *s) {
  picture_event(s, "web-2 is killed (kill -9)");
  stage_kill(&s->backend[VICTIM]);
}
static bool second_critical(struct show *s) {
  return s->known[VICTIM] && s->seen[VICTIM].status == PERIGEE_CRITICAL;
}
static void watch_second(struct show *s) {
  picture_event(s, "web-2's check has failed: no pick names it any more");
}
static bool second_avoided(struct show *s) {
  /* What was picked before the change may still have been on its way: 10 calls of grace. */
  if (ok_since(s) < 10) {
    unsigned long tries = s->calls.failed_to[VICTIM];
    s->story->before.failed_to[VICTIM] = tries;
    return false;
  }
  return ok_since(s) > 60 && s->calls.failed_to[VICTIM] == s->story->before.failed_to[VICTIM];
}
static void restart_second(struct show *s) {
  picture_event(s, "web-2 starts again");
  stage_backend(s, VICTIM);
}
static bool second_back(struct show *s) {
  return passing(s, VICTIM) && since(s, VICTIM) > 5;
}

/* Acts: the agent dies and comes back. */
static void kill_agent(struct show *s) {
  picture_event(s, "web-2 is back. Now the agent is killed (kill -9); watch the calls");
  stage_kill(&s->agent);
}
static bool calls_go_on(struct show *s) {
  return !s->agent.pid && ok_since(s) > 100 && each_called(s) &&
         s->calls.failed == s->story->before.failed;
}
static void restart_agent(struct show *s) {
  picture_event(s, "%lu calls went well without an agent. It starts again", ok_since(s));
  stage_agent(s);
}
static bool agent_back(struct show *s) {
  return s->agent.pid && s->agent_alive && all_passing(s) && each_called(s);
}

/* Acts: the client that never reopened anything follows the new agent. */
static void kill_third(struct show *s) {
  picture_event(s, "the agent is back, the client is the same. Now web-3 is killed");
  stage_kill(&s->backend[SECOND_VICTIM]);
}
static bool third_critical(struct show *s) {
  return s->known[SECOND_VICTIM] && s->seen[SECOND_VICTIM].status == PERIGEE_CRITICAL;
}
static void watch_third(struct show *s) {
  picture_event(s, "web-3's check has failed: the same client has heard of it from the new agent");
}
static bool third_avoided(struct show *s) {
  if (ok_since(s) < 10) {
    s->story->before.failed_to[SECOND_VICTIM] = s->calls.failed_to[SECOND_VICTIM];
    return false;
  }
  return ok_since(s) > 60 &&
         s->calls.failed_to[SECOND_VICTIM] == s->story->before.failed_to[SECOND_VICTIM] &&
         s->client.pid == s->story->client_pid;
}
static void restart_third(struct show *s) {
  picture_event(s, "web-3 starts again");
  stage_backend(s, SECOND_VICTIM);
}

static const struct act acts[] = {
    {0, start_backends, backends_run, "the back ends to run"},
    {1, start_agent, all_passing, "all three to be passing"},
    {3, start_client, each_called, "calls to each back end"},
    {0, kill_second, second_critical, "web-2 to be critical"},
    {1, watch_second, second_avoided, "calls that leave web-2 alone"},
    {2, restart_second, second_back, "web-2 to be passing and called"},
    {2, kill_agent, calls_go_on, "calls without an agent"},
    {1, restart_agent, agent_back, "the agent to be back"},
    {0, kill_third, third_critical, "web-3 to be critical"},
    {1, watch_third, third_avoided, "the client to leave web-3 alone"},
    {1, restart_third, all_passing, "web-3 to be passing"},
};
enum { ACTS = sizeof acts / sizeof *acts };

int story_new(struct show *s) {
  s->story = calloc(1, sizeof *s->story);
  return s->story ? 0 : -1;
}

void story_free(struct show *s) {
  free(s->story);
  s->story = NULL;
}

bool story_ended(const struct show *s) {
  return s->story->act == ACTS;
}

void story_tick(struct show *s) {
  struct story *t = s->story;
  if (story_ended(s))
    return;
  const struct act *act = &acts[t->act];
  if (!t->entered) {
    t->entered = true;
    t->entered_at = now_s();
    act->enter(s); /* may look back at the act before */
    t->before = s->calls;
    return;
  }
  double elapsed = now_s() - t->entered_at;
  if (elapsed >= act->least_s && act->done(s)) {
    t->entered = false;
    if (++t->act == ACTS)
      picture_event(s, "that was all; it goes on like this%s", s->once ? "" : " until Ctrl-C");
  } else if (elapsed > PATIENCE_S) {
    picture_event(s, "waited %d s in vain for %s", PATIENCE_S, act->waits_for);
    s->exit_code = 1;
    s->over = true;
  }
}

void story_look(struct show *s) {
  if (!s->perigee && perigee_open(&s->perigee, s->run_dir) != 0) {
    s->perigee = NULL;
    return;
  }
  if (!s->web && perigee_service_open(s->perigee, "web", &s->web) != 0) {
    s->web = NULL;
    return;
  }
  struct perigee_endpoint all[16];
  int count = perigee_list(s->web, all, 16);
  memset(s->known, 0, sizeof s->known);
  for (int i = 0; i < count && i < 16; i++) {
    int which = all[i].port - s->first_port;
    if (which >= 0 && which < BACKENDS) {
      s->seen[which] = all[i];
      s->known[which] = true;
    }
  }
  struct perigee_info info = {.size = sizeof info};
  s->agent_alive = perigee_info(s->perigee, &info) == 0 && info.agent_alive;
}

void story_call(struct show *s, struct actor *client, char *line) {
  struct calls *c = &s->calls;
  int number = 0, microseconds = 0;
  if (sscanf(line, "ok web-%d %*s %d us", &number, &microseconds) == 2 && number >= 1 &&
      number <= BACKENDS) {
    c->ok++;
    c->to[number - 1]++;
    c->recent[c->recent_next] = (signed char)(number - 1);
    c->recent_next = (c->recent_next + 1) % RECENT;
    c->recent_count += c->recent_count < RECENT;
    c->latency_us += (microseconds - c->latency_us) / 16;
  } else if (sscanf(line, "failed web-%d ", &number) == 1 && number >= 1 && number <= BACKENDS) {
    c->failed++;
    c->failed_to[number - 1]++;
  } else {
    picture_event(s, "%s says: %s", client->name, line);
  }
}
