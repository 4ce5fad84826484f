#include "client/lanes.h"

#include "client/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RETRY_NS = 1000000000 };

static void hang_up(struct lanes *l) {
  if (l->socket >= 0)
    close(l->socket);
  l->socket = -1;
}

void lanes_forget(struct lanes *l) {
  hang_up(l);
  if (l->fd >= 0)
    close(l->fd);
  *l = (struct lanes){.fd = -1, .socket = -1}; /* the mapping was not inherited */
}

void lanes_end(struct lanes *l) {
  if (l->page)
    feedback_page_close(l->page);
  lanes_forget(l);
}

/* The socket beside the catalog. */
int lanes_dial(const char *catalog) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  int length = (int)(strlen(catalog) - strlen(CATALOG_FILE));
  int n = snprintf(sa.sun_path, sizeof sa.sun_path, "%.*s" FEEDBACK_SOCKET, length, catalog);
  if (n < 0 || (size_t)n >= sizeof sa.sun_path)
    return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -errno;
  if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0)
    return fd;
  int r = -errno;
  close(fd);
  return r;
}

static int send_page(int to, int page, bool counted) {
  struct feedback_hello hello = {FEEDBACK_MAGIC, FEEDBACK_LAYOUT, counted};
  struct iovec part = {&hello, sizeof hello};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.head), &page, sizeof page);
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.room,
                           .msg_controllen = sizeof control.room};
  return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void attach(struct perigee *p) {
  struct lanes *l = &p->lanes;
  int64_t now = client_now_ns();
  if (l->tried_ns && now - l->tried_ns < RETRY_NS && l->agent == p->mapping->map.inode)
    return;
  hang_up(l);
  l->tried_ns = now;
  l->agent = p->mapping->map.inode;
  int fd = lanes_dial(p->path);
  if (fd < 0)
    return;
  l->socket = fd;
  if (send_page(fd, l->fd, l->counted) < 0)
    hang_up(l);
  else
    l->counted = true;
}

void lanes_tell(struct perigee_service *s) {
  struct perigee *p = s->perigee;
  struct lanes *l = &p->lanes;
  pthread_mutex_lock(&p->page->lock);
  bool ours = l->socket >= 0 && l->agent == p->mapping->map.inode;
  if (ours && send(l->socket, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN) {
    hang_up(l);
    ours = false;
  }
  if (!ours && l->fd >= 0)
    attach(p);
  pthread_mutex_unlock(&p->page->lock);
}

static struct feedback_page *page_of(struct lanes *l) {
  if (!l->page) {
    l->taken = 1; /* lane 0 is nobody's own */
    l->page = feedback_page_make(&l->fd);
  }
  return l->page;
}

static struct feedback_lane *use_lane(struct perigee_service *s, struct feedback_page *page,
                                      uint32_t number) {
  s->shared = &page->lanes[0];
  s->total = &s->tally->counts.totals[number];
  s->load.own = page->lanes[number].cells;
  s->load.own_count = FEEDBACK_SLOTS;
  atomic_fetch_or(&s->tally->counts.lanes, 1u << number);
  return s->lane = &page->lanes[number];
}

struct feedback_lane *lanes_join(struct perigee_service *s) {
  struct lanes *l = &s->perigee->lanes;
  pthread_mutex_lock(&s->perigee->page->lock);
  struct feedback_page *page = page_of(l);
  if (page) {
    uint32_t left = ~l->taken & ((1u << FEEDBACK_LANES) - 1);
    uint32_t number = left ? (uint32_t)__builtin_ctz(left) : 0;
    l->taken |= 1u << number;
    s->lane_number = number;
    use_lane(s, page, number);
  }
  pthread_mutex_unlock(&s->perigee->page->lock);
  if (page)
    lanes_tell(s);
  return s->lane;
}

struct feedback_lane *lanes_shared(struct perigee_service *s) {
  struct feedback_lane *shared = atomic_load_explicit(&s->shared, memory_order_acquire);
  if (shared)
    return shared;
  pthread_mutex_lock(&s->perigee->page->lock);
  struct feedback_page *page = page_of(&s->perigee->lanes);
  if (page)
    s->shared = shared = &page->lanes[0];
  pthread_mutex_unlock(&s->perigee->page->lock);
  return shared;
}

/* Of all that the handle may have in its own lane. */
static void for_each_slot(struct perigee_service *s,
                          void (*what)(struct perigee_service *s, uint32_t slot,
                                       uint32_t generation)) {
  for (uint32_t i = 0; i < s->view.count; i++) {
    uint32_t slot = catalog_load32(&s->view.rows[i].slot);
    if (slot < FEEDBACK_SLOTS)
      what(s, slot, catalog_load32(&s->view.rows[i].slot_generation));
  }
}

struct feedback_lane *lanes_share(struct perigee_service *s) {
  for_each_slot(s, report_share);
  report_share_total(s);
  return use_lane(s, s->perigee->lanes.page, 0);
}

void lanes_leave(struct perigee_service *s) {
  struct perigee *p = s->perigee;
  if (!s->lane || client_forked(s))
    return;
  if (s->strays && s->lane != s->shared)
    lanes_share(s);
  if (s->lane != s->shared) {
    for_each_slot(s, report_forget);
    report_forget_total(s);
  }
  pthread_mutex_lock(&p->page->lock);
  if (s->lane_number) {
    atomic_fetch_and(&s->tally->counts.lanes, ~(1u << s->lane_number));
    p->lanes.taken &= ~(1u << s->lane_number);
  }
  pthread_mutex_unlock(&p->page->lock);
}
