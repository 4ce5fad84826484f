#include "client/wish.h"

#include "client/handle.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RETRY_NS = 1000000000 };

void wish_tell(struct perigee_service *s) {
  int64_t now = client_now_ns();
  if (s->wished_ns && now - s->wished_ns < RETRY_NS)
    return;
  s->wished_ns = now;
  struct feedback_wish wish = {.magic = FEEDBACK_WISH};
  int fd = lanes_dial(s->perigee->path);
  if (fd < 0)
    return;
  memcpy(wish.name, s->name, s->name_length);
  send(fd, &wish, offsetof(struct feedback_wish, name) + s->name_length,
       MSG_NOSIGNAL | MSG_DONTWAIT); /* it is read also after the connection's end */
  close(fd);
}
