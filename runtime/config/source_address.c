#include "config/source_address.h"

#include "base/text.h"
#include "base/value.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Stands for "somewhere on the network" (RFC 5737). */
static const char elsewhere[] = "192.0.2.1";

/* The host and port of "scheme://host:port/path" or "host:port"; 0: no port in it. */
static uint16_t host_of(const char *url, char *host, size_t size) {
  char authority[300];
  uint16_t port = 0;
  const char *scheme = strstr(url, "://");
  const char *start = scheme ? scheme + 3 : url;
  snprintf(authority, sizeof authority, "%.*s", (int)strcspn(start, "/?"), start);
  if (address_parse(authority, host, size, &port, NULL) == 0)
    return port;
  size_t length = strlen(authority);
  bool brackets = length > 2 && authority[0] == '[' && authority[length - 1] == ']';
  snprintf(host, size, "%.*s", (int)(brackets ? length - 2 : length), authority + brackets);
  return 0;
}

const struct value *registry_servers(const struct value *registry) {
  const struct value *all = value_get(registry, "endpoints");
  return all ? all : value_get(registry, "address");
}

/* The i-th one's text, or NULL. */
static const char *server_at(const struct value *servers, size_t i) {
  if (value_kind(servers) == VALUE_TABLE)
    return value_as_text(value_at(servers, i), NULL);
  return i == 0 ? value_as_text(servers, NULL) : NULL;
}

bool address_is_loopback(const char *address) {
  struct in_addr four;
  struct in6_addr six;
  if (inet_pton(AF_INET, address, &four) == 1)
    return ntohl(four.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, address, &six) == 1)
    return IN6_IS_ADDR_LOOPBACK(&six);
  return strcmp(address, "localhost") == 0;
}

bool address_is_any(const char *address) {
  struct in_addr four;
  struct in6_addr six;
  if (inet_pton(AF_INET, address, &four) == 1)
    return four.s_addr == htonl(INADDR_ANY);
  return inet_pton(AF_INET6, address, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six);
}

bool registry_is_local(const struct value *registry) {
  const char *url;
  char host[256];
  for (size_t i = 0; (url = server_at(registry_servers(registry), i)); i++) {
    host_of(url, host, sizeof host);
    if (!address_is_loopback(host))
      return false;
  }
  return true;
}

uint16_t servers_port(const struct value *servers) {
  const char *url;
  char host[256];
  uint16_t port = 0;
  for (size_t i = 0; port == 0 && (url = server_at(servers, i)); i++)
    port = host_of(url, host, sizeof host);
  return port;
}

bool servers_are_here(const struct value *servers, uint16_t port, const char *http) {
  const char *url;
  char host[256], own[256];
  uint16_t own_port;
  if (!http || address_parse(http, own, sizeof own, &own_port, NULL) != 0 || own_port == 0)
    return false;
  bool any = own[0] == '\0' || address_is_any(own);
  for (size_t i = 0; (url = server_at(servers, i)); i++) {
    uint16_t said = host_of(url, host, sizeof host);
    bool same =
        strcmp(host, own) == 0 || (address_is_loopback(host) && (any || address_is_loopback(own)));
    if (same && (said ? said : port) == own_port)
      return true;
  }
  return false;
}

/* What connect() would bind to; a datagram socket sends nothing for that. */
static bool route_source(const char *host, char *out, size_t size) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(9)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
  bool is_six = inet_pton(AF_INET6, host, &six.sin6_addr) == 1;
  if (!is_six && inet_pton(AF_INET, host, &four.sin_addr) != 1)
    return false;
  struct sockaddr *to = is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
  socklen_t length = is_six ? sizeof six : sizeof four;
  int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool found = fd >= 0 && connect(fd, to, length) == 0 && getsockname(fd, to, &length) == 0 &&
               inet_ntop(to->sa_family, is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr,
                         out, (socklen_t)size);
  if (fd >= 0)
    close(fd);
  return found;
}

void source_address(const struct value *registry, char *out, size_t size) {
  char host[256] = "127.0.0.1";
  const char *url = server_at(registry_servers(registry), 0);
  if (url)
    host_of(url, host, sizeof host);
  bool local = strcmp(host, "localhost") == 0;
  if (local || (!route_source(host, out, size) && !route_source(elsewhere, out, size)))
    snprintf(out, size, "127.0.0.1");
}
