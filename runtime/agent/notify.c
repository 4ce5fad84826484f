#include "agent/notify.h"

#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t length = path ? strlen(path) : 0;
  if (length == 0 || length >= sizeof to.sun_path)
    return;
  memcpy(to.sun_path, path, length);
  if (path[0] == '@') /* an abstract one, whose name begins with a zero and ends with its length */
    to.sun_path[0] = '\0';
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || sendto(fd, state, strlen(state), 0, (struct sockaddr *)&to, size) < 0)
    log_warn("the service manager is not told", LOG_S("state", state), LOG_S("socket", path),
             LOG_S("error", strerror(errno)));
  if (fd >= 0)
    close(fd);
}
