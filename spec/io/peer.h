/* peer: the servers of peer.js, in a process of their own, for the specs of io/ and its bindings.
 */
#pragma once

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
  char directory[64];
  pid_t pid;
  int input;
  int http, six, https, dns;
};

static inline int peer_open(struct peer *p) {
  strcpy(p->directory, "/tmp/perigee-io-XXXXXX");
  if (!mkdtemp(p->directory))
    return -1;
  char command[512];
  snprintf(command, sizeof command, "sh spec/io/certificates.sh %s", p->directory);
  int in[2], out[2];
  if (system(command) != 0 || pipe(in) < 0 || pipe(out) < 0)
    return -1;
  p->pid = fork();
  if (p->pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    close(in[1]);
    close(out[0]);
    execlp("node", "node", "spec/io/peer.js", p->directory, (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  p->input = in[1];
  FILE *line = fdopen(out[0], "r");
  int n = fscanf(line, "{\"http\":%d,\"six\":%d,\"https\":%d,\"dns\":%d}", &p->http, &p->six,
                 &p->https, &p->dns);
  fclose(line);
  return n == 4 ? 0 : -1;
}

/* A port of somebody's who does not listen, until what is returned is closed; < 0: there is none.
 */
static inline int bind_deaf(int *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, (struct sockaddr *)&at, size) < 0 ||
      getsockname(fd, (struct sockaddr *)&at, &size) < 0)
    return -1;
  *port = ntohs(at.sin_port);
  return fd;
}

static inline void peer_close(struct peer *p) {
  close(p->input);
  waitpid(p->pid, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", p->directory);
  if (system(command) != 0)
    fprintf(stderr, "%s is left\n", p->directory);
}
