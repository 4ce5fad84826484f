/* stage: the processes of the show and the directory they live in. */
#include "show.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool port_is_free(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  bool is_free =
      fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
  if (fd >= 0)
    close(fd);
  return is_free;
}

/* Whether it is ours from here on, until this process ends: another show that begins at the same
 * time, and whose agent does not listen yet either, then takes another. */
static bool port_claim(int port) {
  struct sockaddr_un at = {.sun_family = AF_UNIX}; /* by a name that begins with NUL: no file */
  int length = snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "perigee-hello-%d", port);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, size) == 0)
    return true;
  if (fd >= 0)
    close(fd);
  return false;
}

/* The first of `count` free ports in a row: `wanted`, or else from 10000 higher on. 0: none. */
static int find_ports(int wanted, int count) {
  for (int first = wanted; first < 60000; first += first == wanted ? 10000 : 10) {
    int i = 0;
    while (i < count && port_is_free(first + i) && port_claim(first + i))
      i++;
    if (i == count)
      return first;
  }
  return 0;
}

int stage_open(struct show *s) {
  char self[300] = "";
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n <= 0 || !strrchr(self, '/'))
    return -errno;
  *strrchr(self, '/') = '\0';
  snprintf(s->programs, sizeof s->programs, "%s", self);
  snprintf(s->agent_program, sizeof s->agent_program, "%s/../../perigee", self);
  if (!s->config[0])
    snprintf(s->config, sizeof s->config, "examples/hello/perigee.lua");
  if (access(s->config, R_OK) != 0) {
    fprintf(stderr, "show: %s: %s; run it from the top of the tree\n", s->config, strerror(errno));
    return -errno;
  }

  s->http_port = find_ports(8500, 1);
  s->first_port = find_ports(8081, BACKENDS);
  if (!s->http_port || !s->first_port)
    return -EADDRINUSE;
  const char *tmp = getenv("TMPDIR");
  int length =
      snprintf(s->home, sizeof s->home, "%s/perigee-hello-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (length >= (int)sizeof s->home || !mkdtemp(s->home)) {
    int r = length >= (int)sizeof s->home ? -ENAMETOOLONG : -errno;
    fprintf(stderr, "show: %s: %s\n", s->home, strerror(-r));
    s->home[0] = '\0';
    return r;
  }
  snprintf(s->run_dir, sizeof s->run_dir, "%s/run", s->home);
  static const char *const names[BACKENDS] = {"web-1", "web-2", "web-3"};
  for (int i = 0; i < BACKENDS; i++)
    s->backend[i] = (struct actor){.name = names[i], .output = -1};
  s->agent = (struct actor){.name = "the agent", .output = -1};
  s->client = (struct actor){.name = "the client", .output = -1};
  return 0;
}

/* In the child: its own group, default signals, our end is its end, its output into the pipe. */
static void become(pid_t parent, int output, const char *const *argv,
                   const char *const *variables) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(127);
  int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  for (; variables && *variables; variables += 2)
    setenv(variables[0], variables[1], 1);
  execv(argv[0], (char *const *)argv);
  fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

static void start(struct show *s, struct actor *a, const char *const *argv,
                  const char *const *variables) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    picture_event(s, "%s cannot start: %s", a->name, strerror(errno));
    return;
  }
  pid_t parent = getpid(), pid = fork();
  if (pid == 0)
    become(parent, ends[1], argv, variables);
  close(ends[1]);
  if (pid < 0) {
    picture_event(s, "%s cannot start: %s", a->name, strerror(errno));
    close(ends[0]);
    return;
  }
  setpgid(pid, pid);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  if (a->output >= 0)
    close(a->output);
  a->output = ends[0];
  a->line_length = 0;
  a->pid = pid;
}

void stage_agent(struct show *s) {
  char http[40], data[264], ports[12];
  snprintf(http, sizeof http, "127.0.0.1:%d", s->http_port);
  snprintf(data, sizeof data, "%s/data", s->home);
  snprintf(ports, sizeof ports, "%d", s->first_port);
  start(s, &s->agent,
        (const char *[]){s->agent_program, "run", "-c", s->config, "--http", http, "--run-dir",
                         s->run_dir, "--data-dir", data, NULL},
        (const char *[]){"HELLO_PORT", ports, NULL});
}

void stage_backend(struct show *s, int i) {
  char program[440], port[12];
  snprintf(program, sizeof program, "%s/backend", s->programs);
  snprintf(port, sizeof port, "%d", s->first_port + i);
  start(s, &s->backend[i], (const char *[]){program, s->backend[i].name, port, NULL}, NULL);
}

void stage_client(struct show *s) {
  char program[440];
  snprintf(program, sizeof program, "%s/client", s->programs);
  start(s, &s->client, (const char *[]){program, "web", "50", NULL},
        (const char *[]){"PERIGEE_RUN_DIR", s->run_dir, NULL});
}

void stage_kill(struct actor *a) {
  if (a->pid)
    kill(-a->pid, SIGKILL);
}

struct actor *stage_actor(struct show *s, int i) {
  if (i < BACKENDS)
    return &s->backend[i];
  return i == BACKENDS ? &s->agent : i == BACKENDS + 1 ? &s->client : NULL;
}

void stage_read(struct show *s, struct actor *a,
                void (*line)(struct show *, struct actor *, char *)) {
  ssize_t n;
  while ((n = read(a->output, a->line + a->line_length, sizeof a->line - 1 - a->line_length)) > 0) {
    a->line_length += (size_t)n;
    a->line[a->line_length] = '\0';
    char *from = a->line, *end;
    while ((end = strchr(from, '\n')) != NULL) {
      *end = '\0';
      line(s, a, from);
      from = end + 1;
    }
    a->line_length -= (size_t)(from - a->line);
    memmove(a->line, from, a->line_length);
    if (a->line_length == sizeof a->line - 1)
      a->line_length = 0; /* no line of ours is that long: drop it */
  }
  if (n == 0) {
    close(a->output);
    a->output = -1;
  }
}

static void last_words(struct show *s, struct actor *a, char *line) {
  picture_event(s, "%s said: %s", a->name, line);
}

/* How one of ours ended. What nobody killed has a reason, and that is in its last lines. */
static void ended(struct show *s, struct actor *a, int status) {
  if (WIFSIGNALED(status)) {
    picture_event(s, "%s (pid %d) is dead: signal %d", a->name, (int)a->pid, WTERMSIG(status));
  } else {
    if (a->output >= 0)
      stage_read(s, a, last_words);
    picture_event(s, "%s (pid %d) ended with exit code %d", a->name, (int)a->pid,
                  WEXITSTATUS(status));
  }
  a->pid = 0;
}

void stage_reap(struct show *s) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    struct actor *a;
    for (int i = 0; (a = stage_actor(s, i)) != NULL; i++)
      if (a->pid == pid)
        ended(s, a, status);
  }
}

static int remove_one(const char *path, const struct stat *what, int kind, struct FTW *where) {
  return remove(path);
}

/* One that has only just begun may not listen for the signal yet: it dies of it. */
static bool ended_in_order(int status) {
  return status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* Asks the agent to end, and waits for that. */
static void dismiss_agent(struct show *s) {
  int status = 0;
  kill(s->agent.pid, SIGTERM);
  for (double limit = now_s() + 20; waitpid(s->agent.pid, &status, WNOHANG) == 0;) {
    if (now_s() > limit) {
      picture_event(s, "the agent does not end: it is killed");
      s->exit_code = 1;
      return;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
  if (!ended_in_order(status)) {
    s->exit_code = 1;
    ended(s, &s->agent, status);
  }
  s->agent.pid = 0;
}

void stage_close(struct show *s) {
  struct actor *a;
  if (!s->home[0])
    return; /* nothing was ever started */
  if (s->agent.pid)
    dismiss_agent(s);
  for (int i = 0; (a = stage_actor(s, i)) != NULL; i++) {
    stage_kill(a);
    if (a->pid)
      waitpid(a->pid, NULL, 0);
    if (a->output >= 0)
      close(a->output);
    a->pid = 0;
    a->output = -1;
  }
  nftw(s->home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
