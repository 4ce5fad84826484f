/* call SERVICE [CALLS-A-SECOND]: calls a service over HTTP by perigee_call, which chooses an
 * endpoint for each try, reports how it went, and goes on to another endpoint when it failed: twice
 * at most, within a second, and as far as the host's budget for retries goes.
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

enum { PATIENCE_MS = 1000, ID_SIZE = 64, NS_PER_S = 1000000000 };

/* What is left until the deadline; not 0, which would be for ever. */
static struct timeval time_left(uint64_t deadline_ns) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  uint64_t now = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
  uint64_t us = deadline_ns > now + 1000 ? (deadline_ns - now) / 1000 : 1;
  return (struct timeval){.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
}

/* Sends a request and reads how the answer begins. */
static int exchange(int fd, const struct sockaddr_in *to, char *message, size_t size) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  static const char success[] = "HTTP/1.1 200 ";
  char answer[sizeof success - 1];
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) {
    snprintf(message, size, "%s", strerror(errno));
    return errno == EINPROGRESS ? PERIGEE_TIMEOUT : PERIGEE_CONNECT_FAILURE;
  }
  ssize_t length = send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
  if (length > 0)
    length = recv(fd, answer, sizeof answer, MSG_WAITALL);
  if (length == sizeof answer && memcmp(answer, success, sizeof answer) == 0)
    return PERIGEE_SUCCESS;
  bool late = length < 0 && errno == EAGAIN;
  snprintf(message, size, "%s", length < 0 ? strerror(errno) : "not the answer that was hoped for");
  return late ? PERIGEE_TIMEOUT : PERIGEE_SERVER_ERROR;
}

/* One GET / of an IPv4 endpoint: what perigee_call calls for each try. */
static int get(void *arg, const struct perigee_endpoint *e, uint64_t deadline_ns, char *message,
               size_t size) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(e->port)};
  struct timeval left = time_left(deadline_ns);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || inet_pton(AF_INET, e->address, &to.sin_addr) != 1) {
    snprintf(message, size, "%s", fd < 0 ? strerror(errno) : "not an IPv4 address");
    if (fd >= 0)
      close(fd);
    return PERIGEE_CONNECT_FAILURE;
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof left);
  int outcome = exchange(fd, &to, message, size);
  close(fd);
  return outcome;
}

static void call(struct perigee_service *service) {
  struct perigee_call_options options = {
      .size = sizeof options, .flags = PERIGEE_IDEMPOTENT, .timeout_ms = PATIENCE_MS};
  struct perigee_tries t;
  char id[ID_SIZE] = "";
  int r = perigee_call(service, &options, get, NULL, &t);
  for (uint32_t i = 0; i < t.count; i++) {
    const struct perigee_endpoint *e = &t.endpoints[i];
    if (t.tries[i].outcome != PERIGEE_SUCCESS) {
      printf("failed %s:%d %s\n", e->address, e->port, t.tries[i].message);
      continue;
    }
    perigee_endpoint_text(service, e, "id", id, sizeof id);
    printf("ok %s:%d %s\n", e->address, e->port, id);
  }
  if (r < 0)
    printf("nothing %s\n", strerror(-r));
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
