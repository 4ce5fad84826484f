#include "serve/http/port_holder.h"

#include "base/clock.h"

#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_BYTES = 65536, PATIENCE_MS = 3000 };

static const char request[] = "GET /v1/agent/self HTTP/1.0\r\nHost: localhost\r\n\r\n";

/* An address that stands for all of this host's is asked on loopback. */
static int connect_to(const struct sockaddr *address, socklen_t length) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
  } sa;
  memcpy(&sa, address, length);
  if (sa.any.sa_family == AF_INET && sa.v4.sin_addr.s_addr == htonl(INADDR_ANY))
    sa.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (sa.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sa.v6.sin6_addr))
    sa.v6.sin6_addr = in6addr_loopback;
  int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  (void)connect(fd, &sa.any, length); /* how it went is seen by the first send */
  return fd;
}

/* False: the time is over. */
static bool wait_for(int fd, short events, int64_t until_ns) {
  int64_t left_ms = (until_ns - clock_now_ns()) / 1000000;
  struct pollfd p = {.fd = fd, .events = events};
  return left_ms > 0 && poll(&p, 1, (int)left_ms) == 1;
}

static size_t ask(int fd, char *answer, size_t size) {
  int64_t until = clock_now_ns() + (int64_t)PATIENCE_MS * 1000000;
  size_t got = 0;
  if (!wait_for(fd, POLLOUT, until) ||
      send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
    return 0;
  while (got < size - 1 && wait_for(fd, POLLIN, until)) {
    ssize_t n = recv(fd, answer + got, size - 1 - got, 0);
    if (n <= 0)
      break;
    got += (size_t)n;
  }
  return got;
}

void port_holder_name(const struct sockaddr *address, socklen_t length, char *name, size_t size) {
  static char answer[ANSWER_BYTES];
  int fd = connect_to(address, length);
  size_t got = fd < 0 ? 0 : ask(fd, answer, sizeof answer);
  answer[got] = 0;
  if (fd >= 0)
    close(fd);
  /* The body may come in chunks or be cut off: from the first brace on, as much as is an object. */
  const char *body = strchr(answer, '{');
  json_t *self = body ? json_loads(body, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
  const char *node =
      json_string_value(json_object_get(json_object_get(self, "Config"), "NodeName"));
  bool perigee = json_object_get(json_object_get(self, "DebugConfig"), "Perigee") != NULL;
  if (node)
    snprintf(name, size, "%s (node %.200s)", perigee ? "another perigee" : "a Consul agent", node);
  else
    snprintf(name, size, "another program");
  json_decref(self);
}
