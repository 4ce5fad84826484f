#include "base/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool wrong_at(struct server_wrong *w, size_t at, const char *what) {
  *w = (struct server_wrong){what, at};
  return false;
}

static const char host_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789.-_";

/* How much of `one` is the host; 0: it is none. */
static size_t host_length(const char *one, struct server_wrong *w) {
  char six[64];
  struct in6_addr ignored;
  if (*one != '[') {
    size_t length = strspn(one, host_letters), end = strcspn(one, ":,");
    const char *second = one[end] == ':' ? strpbrk(one + end + 1, ":,") : NULL;
    if (second && *second == ':')
      wrong_at(w, 0, "an IPv6 address is written in brackets, as in [::1]:80");
    else if (length < end)
      wrong_at(w, length, "no character of a host's name");
    else if (length == 0)
      wrong_at(w, 0, "expected a host");
    else
      return length;
    return 0;
  }
  size_t inside = strcspn(one + 1, "],");
  if (one[inside + 1] != ']')
    return wrong_at(w, inside + 1, "expected \"]\" after an IPv6 address");
  snprintf(six, sizeof six, "%.*s", (int)strcspn(one + 1, "]%,"), one + 1);
  if (inet_pton(AF_INET6, six, &ignored) != 1)
    return wrong_at(w, 1, "expected an IPv6 address between the brackets");
  return inside + 2;
}

static bool port_is_right(const char *one, size_t length, size_t at, struct server_wrong *w) {
  unsigned port = 0;
  for (size_t i = at; i < length; i++) {
    if (one[i] < '0' || one[i] > '9' || (port = port * 10 + (unsigned)(one[i] - '0')) > 65535)
      return wrong_at(w, at, "expected a port from 1 to 65535");
  }
  return port ? true : wrong_at(w, at, "expected a port from 1 to 65535");
}

bool servers_are_right(const char *text, bool several, bool needs_port, struct server_wrong *w) {
  const char *one = text;
  for (;; one++) {
    size_t length = strcspn(one, ","), host = host_length(one, w);
    bool right = host != 0;
    if (right && host < length && one[host] != ':')
      right = wrong_at(w, host, "expected \":\" and a port");
    else if (right && host == length && needs_port)
      right = wrong_at(w, host, "expected \":\" and a port, as in host:80");
    else if (right && host < length)
      right = port_is_right(one, length, host + 1, w);
    if (right && one[length] && !several)
      right = wrong_at(w, length, "one address is expected");
    if (!right)
      w->at += (size_t)(one - text);
    one += length;
    if (!right || !*one)
      return right;
  }
}

static size_t scheme_length(const char *text) {
  static const char *const schemes[] = {"http://", "https://"};
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
    if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
      return strlen(schemes[i]);
  return 0;
}

bool server_is_right(const char *text, struct server_wrong *w) {
  char one[300];
  size_t scheme = scheme_length(text), length = strlen(text);
  const char *odd = strstr(text, "://");
  if (odd && !scheme)
    return wrong_at(w, 0, "expected http:// or https://");
  if (strchr(text, '@'))
    return wrong_at(w, scheme, "no user and no password here: they have options of their own");
  if (length > scheme && text[length - 1] == '/')
    length--;
  const char *slash = memchr(text + scheme, '/', length - scheme);
  if (slash)
    return wrong_at(w, (size_t)(slash - text), "no path: what is asked for is the adapter's");
  if (length - scheme >= sizeof one)
    return wrong_at(w, 0, "too long");
  snprintf(one, sizeof one, "%.*s", (int)(length - scheme), text + scheme);
  if (servers_are_right(one, false, false, w))
    return true;
  w->at += scheme;
  return false;
}
