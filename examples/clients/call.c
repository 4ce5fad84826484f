/* call SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each try by
 * libperigee, which is told how it went. A call that fails is tried again on another endpoint,
 * twice at most, and as far as the host's budget for retries goes.
 *
 *     cc -o call call.c -lperigee */
#include "perigee.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 3, PATIENCE_S = 1, ID_SIZE = 64 };

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Sends a request and reads how the answer begins. What became of the call. */
static int exchange(int fd, const struct sockaddr_in *to) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  static const char success[] = "HTTP/1.1 200 ";
  char answer[sizeof success - 1];
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 ||
      send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
    return errno == EINPROGRESS || errno == EAGAIN ? PERIGEE_TIMEOUT : PERIGEE_CONNECT_FAILURE;
  ssize_t length = recv(fd, answer, sizeof answer, MSG_WAITALL);
  if (length < 0)
    return errno == EAGAIN ? PERIGEE_TIMEOUT : PERIGEE_CONNECT_FAILURE;
  bool well = length == sizeof answer && memcmp(answer, success, sizeof answer) == 0;
  return well ? PERIGEE_SUCCESS : PERIGEE_SERVER_ERROR;
}

/* One GET / of an IPv4 endpoint. */
static int get(const struct perigee_endpoint *e) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(e->port)};
  struct timeval patience = {.tv_sec = PATIENCE_S};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return PERIGEE_CONNECT_FAILURE;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int outcome = inet_pton(AF_INET, e->address, &to.sin_addr) == 1 ? exchange(fd, &to)
                                                                  : PERIGEE_CONNECT_FAILURE;
  close(fd);
  return outcome;
}

static void call(struct perigee_service *service) {
  static const char *const why[] = {[PERIGEE_SERVER_ERROR] = "it answered with an error",
                                    [PERIGEE_TIMEOUT] = "no answer in time",
                                    [PERIGEE_CONNECT_FAILURE] = "not reached"};
  struct perigee_endpoint tried[TRIES];
  char id[ID_SIZE];
  for (int i = 0; i < TRIES; i++) {
    struct perigee_pick_options options = {.size = sizeof options,
                                           .flags = i ? PERIGEE_RETRY : PERIGEE_TRACK,
                                           .avoid = tried,
                                           .avoid_count = (size_t)i};
    struct perigee_endpoint *e = &tried[i];
    int r = perigee_pick_id(service, &options, e, id, sizeof id);
    if (r < 0) {
      printf("nothing %s\n", strerror(-r));
      return;
    }
    uint64_t begun = now_ns();
    int outcome = get(e);
    perigee_done(service, e, outcome, now_ns() - begun);
    if (outcome == PERIGEE_SUCCESS) {
      printf("ok %s:%d %s\n", e->address, e->port, id);
      return;
    }
    printf("failed %s:%d %s\n", e->address, e->port, why[outcome]);
  }
}

int main(int argc, char **argv) {
  double rate = argc == 3 ? strtod(argv[2], NULL) : 10;
  if (argc < 2 || argc > 3 || !(rate >= 0.1 && rate <= 1000)) {
    fprintf(stderr, "usage: call SERVICE [CALLS-A-SECOND]\n");
    return 2;
  }
  struct perigee *perigee;
  struct perigee_service *service;
  int r = perigee_open(&perigee, NULL);
  if (r == 0)
    r = perigee_service_open(perigee, argv[1], &service);
  if (r < 0) {
    fprintf(stderr, "call: no agent here: %s\n", strerror(-r));
    return 1;
  }
  struct timespec pause = {(time_t)(1 / rate), (long)(1e9 / rate) % 1000000000};
  for (;;) {
    call(service);
    fflush(stdout);
    nanosleep(&pause, NULL);
  }
}
