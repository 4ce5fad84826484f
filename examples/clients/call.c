/* call SERVICE [CALLS-A-SECOND]: calls a service over HTTP, choosing an endpoint for each call by
 * libperigee. A call that fails is tried again on another endpoint, twice at most.
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

/* One GET / of an IPv4 endpoint. 0 or a negative errno. */
static int get(const struct perigee_endpoint *e) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(e->port)};
  struct timeval patience = {.tv_sec = PATIENCE_S};
  char answer[16];
  if (inet_pton(AF_INET, e->address, &to.sin_addr) != 1)
    return -EAFNOSUPPORT;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int r = 0;
  if (connect(fd, (const struct sockaddr *)&to, sizeof to) < 0 ||
      send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
    r = -errno;
  else if (recv(fd, answer, 13, MSG_WAITALL) != 13 || memcmp(answer, "HTTP/1.1 200 ", 13) != 0)
    r = -EPROTO;
  close(fd);
  return r;
}

/* Whether it is one of the endpoints that this call has tried. */
static bool was_tried(const struct perigee_endpoint *e, const uint32_t *slots, int count) {
  bool found = false;
  for (int i = 0; i < count; i++)
    found |= slots[i] == e->slot;
  return found;
}

static void call(struct perigee_service *service) {
  struct perigee_endpoint e;
  uint32_t tried[TRIES];
  char id[ID_SIZE];
  for (int try = 0; try < TRIES; try++) {
    int r, again = 2 * TRIES; /* after that there is no other */
    do
      r = perigee_pick_id(service, NULL, &e, id, sizeof id);
    while (r == 0 && was_tried(&e, tried, try) && again--);
    if (r < 0) {
      printf("nothing %s\n", strerror(-r));
      return;
    }
    r = get(&e);
    if (r == 0) {
      printf("ok %s:%d %s\n", e.address, e.port, id);
      return;
    }
    printf("failed %s:%d %s\n", e.address, e.port, strerror(-r));
    tried[try] = e.slot;
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
