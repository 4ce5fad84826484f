/* client SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each call by
 * libperigee. A call that fails is tried again on another endpoint, twice at most. One line a try:
 *
 *     ok web-1 127.0.0.1:8081 212 us
 *     failed web-2 127.0.0.1:8082 Connection refused
 *
 * It opens its handles once: what happens to the agent afterwards is the library's business. */
#include "perigee.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 3, PATIENCE_S = 1 };

static long microseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Reads to the peer's end. 0 when it said 200, or a negative errno. */
static int read_answer(int fd) {
  char answer[1024];
  size_t length = 0;
  ssize_t n;
  while ((n = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0 &&
         (length += (size_t)n) < sizeof answer - 1)
    ;
  if (n < 0)
    return errno == EAGAIN ? -ETIMEDOUT : -errno;
  answer[length] = '\0';
  return strncmp(answer, "HTTP/1.1 200 ", 13) == 0 ? 0 : -EPROTO;
}

/* One GET / of an IPv4 endpoint. 0 or a negative errno. */
static int call(const struct perigee_endpoint *e) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(e->port)};
  struct timeval patience = {.tv_sec = PATIENCE_S};
  if (inet_pton(AF_INET, e->address, &to.sin_addr) != 1)
    return -EAFNOSUPPORT;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int r = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
                  send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == sizeof request - 1
              ? read_answer(fd)
              : -errno;
  close(fd);
  return r;
}

/* A pick whose endpoint is not one of the `tried`, if there is another. */
static int pick_another(struct perigee_service *s, const struct perigee_endpoint *tried, int count,
                        struct perigee_endpoint *e) {
  int r = 0;
  for (int attempt = 0; attempt < 2 * TRIES; attempt++) {
    r = perigee_pick(s, NULL, e);
    int again = 0;
    for (int i = 0; r == 0 && i < count; i++)
      again |= tried[i].slot == e->slot;
    if (!again)
      break;
  }
  return r;
}

static void call_once(struct perigee_service *s) {
  struct perigee_endpoint tried[TRIES];
  for (int i = 0; i < TRIES; i++) {
    struct perigee_endpoint *e = &tried[i];
    int r = pick_another(s, tried, i, e);
    if (r != 0) {
      printf("nothing to pick: %s\n", strerror(-r));
      break;
    }
    char id[64] = "?";
    perigee_endpoint_text(s, e, "id", id, sizeof id);
    long begun = microseconds();
    r = call(e);
    if (r == 0) {
      printf("ok %s %s:%d %ld us\n", id, e->address, e->port, microseconds() - begun);
      break;
    }
    printf("failed %s %s:%d %s\n", id, e->address, e->port, strerror(-r));
  }
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: client SERVICE [CALLS-A-SECOND]\n");
    return 2;
  }
  double rate = argc == 3 ? strtod(argv[2], NULL) : 10;
  if (!(rate >= 0.1 && rate <= 1000)) {
    fprintf(stderr, "client: between 0.1 and 1000 calls a second\n");
    return 2;
  }

  struct perigee *p;
  struct perigee_service *service;
  int r = perigee_open(&p, NULL);
  if (r == 0)
    r = perigee_service_open(p, argv[1], &service);
  if (r != 0) {
    fprintf(stderr, "client: no agent here: %s\n", strerror(-r));
    return 1;
  }

  signal(SIGPIPE, SIG_DFL);
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (;;) {
    call_once(service);
    next.tv_nsec += (long)(1e9 / rate) % 1000000000;
    next.tv_sec += (time_t)(1 / rate) + next.tv_nsec / 1000000000;
    next.tv_nsec %= 1000000000;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
}
