#include "agent/feedback.h"

#include "agent/live.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "catalog/feedback_sums.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  PERIOD_MS = 4,
  RESTS = 9,          /* times as long as a reading took */
  QUIET_PERIODS = 50, /* so many without a change, and nothing runs until somebody wakes us */
  PROCESSES_MAX = 4096,
  PROCESSES_OF_USER = 1024, /* so that one user cannot take all the places */
  BACKLOG = 128,
};

/* A process that has connected. */
struct guest {
  struct feedback *feedback;
  struct guest *next;
  struct feedback_source *source; /* NULL until it has sent its page */
  uv_poll_t talk, life;           /* its socket; its pidfd, where there is one */
  int socket, pidfd;
  unsigned closing; /* handles that are */
  uid_t user;
  ino_t page;
};

struct feedback {
  struct live *live;
  struct guest *guests;
  uv_poll_t door;
  uv_timer_t timer;
  int listener;
  unsigned quiet; /* periods without a change */
  unsigned closing;
  struct feedback_stats stats;
  size_t places;
  void (*wished)(void *arg, const char *service); /* NULL: nobody listens */
  void *wished_arg;
};

/* ---- reading ---- */

/* As often as PERIOD_MS, and where that is much to read, so that it takes a tenth of the time. */
static void on_period(uv_timer_t *timer) {
  struct feedback *f = timer->data;
  int64_t begun = clock_now_ns();
  f->quiet = live_collect(f->live) ? 0 : f->quiet + 1;
  if (f->quiet < QUIET_PERIODS) {
    int64_t rest_ms = (clock_now_ns() - begun) * RESTS / 1000000;
    uv_timer_start(timer, on_period, rest_ms > PERIOD_MS ? (uint64_t)rest_ms : PERIOD_MS, 0);
    return;
  }
  /* Who writes after the word is stored wakes us; who wrote before is met by this reading. */
  live_collecting(f->live, false);
  if (live_collect(f->live)) {
    f->quiet = 0;
    live_collecting(f->live, true);
    uv_timer_start(timer, on_period, PERIOD_MS, 0);
  }
}

static void wake(struct feedback *f) {
  f->quiet = 0;
  if (uv_is_active((uv_handle_t *)&f->timer))
    return;
  live_collecting(f->live, true);
  uv_timer_start(&f->timer, on_period, 0, 0);
}

void feedback_tick(struct feedback *f) {
  if (f && !uv_is_active((uv_handle_t *)&f->timer) && live_collect(f->live))
    wake(f);
}

/* ---- processes ---- */

static void guest_closed(uv_handle_t *handle) {
  struct guest *g = handle->data;
  if (--g->closing)
    return;
  close(g->socket);
  if (g->pidfd >= 0)
    close(g->pidfd);
  free(g);
}

/* It has gone, or is sent away: what it had in flight is not in flight any more. */
static void guest_end(struct guest *g) {
  struct feedback *f = g->feedback;
  struct guest **at = &f->guests;
  while (*at != g)
    at = &(*at)->next;
  *at = g->next;
  f->places--;
  if (g->source) {
    feedback_sums_drop(live_sums(f->live), g->source);
    f->stats.processes--;
    live_collect(f->live);
  }
  g->closing = g->pidfd >= 0 ? 2 : 1;
  uv_close((uv_handle_t *)&g->talk, guest_closed);
  if (g->pidfd >= 0)
    uv_close((uv_handle_t *)&g->life, guest_closed);
}

static void on_death(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  guest_end(poll->data);
}

/* The descriptor that came with a message; more than one are closed. -1: none. */
static int take_descriptor(struct msghdr *message) {
  int taken = -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (taken < 0)
        taken = fd;
      else
        close(fd);
    }
  }
  return taken;
}

/* The same page by another connection: the process has lost the first. */
static void send_twin_away(struct guest *g) {
  for (struct guest *other = g->feedback->guests; other; other = other->next)
    if (other != g && other->source && other->page == g->page) {
      guest_end(other);
      return;
    }
}

static int attach(struct guest *g, const struct feedback_hello *hello, int fd) {
  struct feedback_page *page = NULL;
  struct stat st;
  if (g->source || hello->magic != FEEDBACK_MAGIC || hello->layout != FEEDBACK_LAYOUT)
    return -EPROTO;
  int r = fstat(fd, &st) < 0 ? -errno : feedback_page_open(fd, &page);
  if (r < 0)
    return r;
  g->page = st.st_ino;
  send_twin_away(g);
  g->source = feedback_sums_add(live_sums(g->feedback->live), page, hello->counted != 0);
  if (!g->source) {
    feedback_page_close(page);
    return -ENOMEM;
  }
  g->feedback->stats.processes++;
  return 0;
}

/* A wish is all that its connection is for. */
static int take_wish(struct feedback *f, const struct feedback_wish *wish, size_t length) {
  char name[CATALOG_NAME_MAX + 1] = "";
  memcpy(name, wish->name, length - offsetof(struct feedback_wish, name));
  if (f->wished)
    f->wished(f->wished_arg, name);
  return -EPIPE;
}

/* One message. 0; -EAGAIN: there is none; else it is to go. */
static int listen_to(struct guest *g) {
  union {
    struct feedback_hello hello;
    struct feedback_wish wish;
  } said = {0};
  struct iovec part = {&said, sizeof said};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(8 * sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  ssize_t n = recvmsg(g->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0)
    return -errno;
  int fd = take_descriptor(&message), r = n == 0 ? -EPIPE : 0;
  bool wish = fd < 0 && !g->source && n > (ssize_t)offsetof(struct feedback_wish, name) &&
              said.wish.magic == FEEDBACK_WISH;
  if (fd >= 0 && n == sizeof said.hello)
    r = attach(g, &said.hello, fd);
  else if (wish)
    r = take_wish(g->feedback, &said.wish, (size_t)n);
  else if (n > 0 && !g->source)
    r = -EPROTO;
  if (fd >= 0)
    close(fd);
  return r;
}

static void on_talk(uv_poll_t *poll, int status, int events) {
  struct guest *g = poll->data;
  int r = status;
  (void)events;
  for (int i = 0; r == 0 && i < 16; i++)
    r = listen_to(g);
  if (r != 0 && r != -EAGAIN) {
    if (r == -EPROTO || r == -ENOMEM) {
      g->feedback->stats.refused++;
      log_warn("a process's feedback page refused", LOG_I("uid", g->user),
               LOG_S("error", strerror(-r)));
    }
    guest_end(g);
    return;
  }
  wake(g->feedback);
}

/* A place for one more process of this user. */
static bool has_place(const struct feedback *f, uid_t user) {
  size_t of_user = 0;
  for (const struct guest *g = f->guests; g; g = g->next)
    of_user += g->user == user;
  return f->places < PROCESSES_MAX && (user == geteuid() || of_user < PROCESSES_OF_USER);
}

/* Death ends the connection too, unless a child inherited it: a pidfd says it in any case. The peer
 * of another pid namespace has none. */
static int open_life(int socket, pid_t pid) {
  int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
  struct pollfd gone = {.fd = socket, .events = POLLIN | POLLRDHUP};
  if (fd >= 0 && poll(&gone, 1, 0) == 1 && gone.revents & (POLLHUP | POLLRDHUP)) {
    close(fd); /* it had ended before: the number may be another's by now */
    return -1;
  }
  return fd;
}

static void welcome(struct feedback *f, int socket) {
  struct ucred peer = {0};
  socklen_t length = sizeof peer;
  struct guest *g = calloc(1, sizeof *g);
  if (!g || getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
      !has_place(f, peer.uid) || uv_poll_init(f->door.loop, &g->talk, socket) != 0) {
    f->stats.refused++;
    free(g);
    close(socket);
    return;
  }
  g->feedback = f;
  g->socket = socket;
  g->user = peer.uid;
  g->pidfd = open_life(socket, peer.pid);
  g->talk.data = g->life.data = g;
  if (g->pidfd >= 0 && uv_poll_init(f->door.loop, &g->life, g->pidfd) != 0) {
    close(g->pidfd);
    g->pidfd = -1;
  }
  g->next = f->guests;
  f->guests = g;
  f->places++;
  uv_poll_start(&g->talk, UV_READABLE, on_talk);
  if (g->pidfd >= 0)
    uv_poll_start(&g->life, UV_READABLE, on_death);
}

static void on_knock(uv_poll_t *poll, int status, int events) {
  struct feedback *f = poll->data;
  (void)events;
  for (int i = 0; status == 0 && i < BACKLOG; i++) {
    int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
      return;
    welcome(f, fd);
  }
}

/* ---- the door ---- */

/* Whoever may read the catalog may count: the socket has the file's readers. */
static int open_door(const char *run_dir, int *fd) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  char catalog[300];
  struct stat st;
  int n = snprintf(sa.sun_path, sizeof sa.sun_path, "%s/" FEEDBACK_SOCKET, run_dir);
  if (n < 0 || (size_t)n >= sizeof sa.sun_path)
    return -ENAMETOOLONG;
  snprintf(catalog, sizeof catalog, "%s/" CATALOG_FILE, run_dir);
  mode_t mode = stat(catalog, &st) == 0 && st.st_mode & S_IROTH ? 0666 : 0600;
  int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0)
    return -errno;
  /* fchmod first: Linux gives the new file the socket's own mode. */
  if (fchmod(s, mode) != 0 || (unlink(sa.sun_path) != 0 && errno != ENOENT) ||
      bind(s, (const struct sockaddr *)&sa, sizeof sa) != 0 || chmod(sa.sun_path, mode) != 0 ||
      listen(s, BACKLOG) != 0) {
    int r = -errno;
    close(s);
    return r;
  }
  *fd = s;
  return 0;
}

int feedback_new(uv_loop_t *loop, const char *run_dir, struct live *live, struct feedback **out,
                 struct fault *fault) {
  struct feedback *f = calloc(1, sizeof *f);
  *out = NULL;
  if (!f)
    return fault_set(fault, -ENOMEM, "out of memory");
  int r = open_door(run_dir, &f->listener);
  if (r < 0) {
    free(f);
    return fault_set(fault, r, "cannot listen on %s/" FEEDBACK_SOCKET ": %s", run_dir,
                     strerror(-r));
  }
  f->live = live;
  uv_poll_init(loop, &f->door, f->listener);
  uv_timer_init(loop, &f->timer);
  f->door.data = f->timer.data = f;
  uv_poll_start(&f->door, UV_READABLE, on_knock);
  *out = f;
  return 0;
}

void feedback_on_wish(struct feedback *f, void (*wished)(void *arg, const char *service),
                      void *arg) {
  f->wished = wished;
  f->wished_arg = arg;
}

static void door_closed(uv_handle_t *handle) {
  struct feedback *f = handle->data;
  if (--f->closing)
    return;
  close(f->listener);
  free(f);
}

void feedback_free(struct feedback *f) {
  if (!f)
    return;
  while (f->guests)
    guest_end(f->guests);
  live_collecting(f->live, false);
  f->closing = 2;
  uv_close((uv_handle_t *)&f->door, door_closed);
  uv_close((uv_handle_t *)&f->timer, door_closed);
}

void feedback_stats(const struct feedback *f, struct feedback_stats *out) {
  *out = f ? f->stats : (struct feedback_stats){0};
}
