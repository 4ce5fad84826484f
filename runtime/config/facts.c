#include "config/facts.h"

#include "base/value.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

static struct value *text(const char *t) {
  return value_text(t, strlen(t));
}

static int cpus(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) ? CPU_COUNT(&set) : 1;
}

static const char *address_text(const struct sockaddr *a, char *out, socklen_t size) {
  if (a->sa_family == AF_INET)
    return inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, out, size);
  if (a->sa_family != AF_INET6)
    return NULL;
  const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(six) ? NULL : inet_ntop(AF_INET6, six, out, size);
}

static struct value *addresses(void) {
  struct value *list = value_table();
  struct ifaddrs *all = NULL;
  if (getifaddrs(&all) < 0)
    return list;
  for (struct ifaddrs *i = all; i; i = i->ifa_next) {
    char name[INET6_ADDRSTRLEN];
    if (!i->ifa_addr || i->ifa_flags & IFF_LOOPBACK || !(i->ifa_flags & IFF_UP))
      continue;
    const char *address = address_text(i->ifa_addr, name, sizeof name);
    if (address)
      value_append(list, text(address));
  }
  freeifaddrs(all);
  return list;
}

struct value *facts_read(void) {
  struct utsname u;
  struct value *t = value_table();
  long pages = sysconf(_SC_PHYS_PAGES);
  if (uname(&u) < 0 || value_set(t, "name", text(u.nodename)) < 0 ||
      value_set(t, "os", text("linux")) < 0 || value_set(t, "arch", text(u.machine)) < 0 ||
      value_set(t, "cpus", value_number(cpus())) < 0 ||
      value_set(t, "memory", value_number((double)pages * (double)sysconf(_SC_PAGESIZE))) < 0 ||
      value_set(t, "addresses", addresses()) < 0) {
    value_unref(t);
    return NULL;
  }
  return t;
}
