#include "serve/http/listen.h"

#include "base/fault.h"
#include "base/text.h"
#include "serve/http/port_holder.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct bind_address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage room;
  } sa;
  socklen_t length;
};

static int address_resolve(const char *text, struct bind_address *out, struct fault *f) {
  char host[256], port_text[8];
  uint16_t port;
  int r = address_parse(text, host, sizeof host, &port, f);
  if (r != 0)
    return r;
  snprintf(port_text, sizeof port_text, "%u", port);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found;
  int e = getaddrinfo(*host ? host : NULL, port_text, &hints, &found);
  if (e != 0)
    return fault_set(f, -EINVAL, "http = \"%s\": %s", text, gai_strerror(e));
  memcpy(&out->sa, found->ai_addr, found->ai_addrlen);
  out->length = found->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}

static uint16_t port_of(const struct bind_address *a) {
  return ntohs(a->sa.any.sa_family == AF_INET6 ? a->sa.v6.sin6_port : a->sa.v4.sin_port);
}

/* A bound socket in *fd, or a negative errno. */
static int socket_bind(const struct bind_address *a, int share, int *fd) {
  int one = 1, s = socket(a->sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0)
    return -errno;
  if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      (share && setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
      bind(s, &a->sa.any, a->length) != 0) {
    int r = -errno;
    close(s);
    return r;
  }
  *fd = s;
  return 0;
}

/* Workers share the port; another program must not share it with us, and would, silently, if it
 * also asked for SO_REUSEPORT as the same user. So first bind it, and listen, without. */
static int port_claim(struct bind_address *a) {
  int fd, r = socket_bind(a, 0, &fd);
  if (r != 0)
    return r;
  if (listen(fd, 1) != 0 || getsockname(fd, &a->sa.any, &a->length) != 0)
    r = -errno;
  close(fd);
  return r;
}

static int explain(const char *address, const struct bind_address *a, int r, struct fault *f) {
  char holder[300];
  switch (r) {
  case -EADDRINUSE:
    port_holder_name(&a->sa.any, a->length, holder, sizeof holder);
    return fault_set(f, r,
                     "%s is taken by %s. Stop that one, or give perigee another address: --http "
                     "HOST:PORT, or http = \"HOST:PORT\" in its configuration.",
                     address, holder);
  case -EADDRNOTAVAIL:
    return fault_set(f, r, "%s is not an address of this host.", address);
  case -EACCES:
    return fault_set(f, r, "%s may not be bound by this user: use a port above 1023.", address);
  default:
    return fault_set(f, r, "cannot listen on %s: %s.", address, strerror(-r));
  }
}

int listen_tcp(const char *address, uint16_t ours, int *fds, unsigned count, uint16_t *port,
               struct fault *f) {
  struct bind_address a;
  int r = address_resolve(address, &a, f);
  if (r != 0)
    return r;
  if (!ours || port_of(&a) != ours)
    r = port_claim(&a);
  unsigned made = 0;
  while (r == 0 && made < count && (r = socket_bind(&a, 1, &fds[made])) == 0)
    made++;
  if (r == 0) {
    *port = port_of(&a);
    return 0;
  }
  while (made > 0)
    close(fds[--made]);
  return explain(address, &a, r, f);
}

int listen_more(int like, int *fds, unsigned count, struct fault *f) {
  struct bind_address a = {.length = sizeof a.sa};
  unsigned made = 0;
  int r = getsockname(like, &a.sa.any, &a.length) == 0 ? 0 : -errno;
  while (r == 0 && made < count && (r = socket_bind(&a, 1, &fds[made])) == 0)
    made++;
  if (r == 0)
    return 0;
  while (made > 0)
    close(fds[--made]);
  return fault_set(f, r, "cannot listen once more: %s.", strerror(-r));
}

int listen_unix(const char *path, int *fd, struct fault *f) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof sa.sun_path)
    return fault_set(f, -ENAMETOOLONG,
                     "%s: the path of a unix socket has at most %zu bytes. Use a shorter run "
                     "directory.",
                     path, sizeof sa.sun_path - 1);
  strcpy(sa.sun_path, path);
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s < 0)
    return fault_set(f, -errno, "cannot make a unix socket: %s.", strerror(errno));
  /* Linux gives the new file the socket's own mode: no moment at which others may connect. */
  if (fchmod(s, 0600) != 0 || (unlink(path) != 0 && errno != ENOENT) ||
      bind(s, (const struct sockaddr *)&sa, sizeof sa) != 0) {
    int r = fault_set(f, -errno, "cannot listen on %s: %s.", path, strerror(errno));
    close(s);
    return r;
  }
  *fd = s;
  return 0;
}
