#include "serve/http/admission.h"

#include "serve/http/worker.h"

#include <unistd.h>

static bool peer_of(const uv_handle_t *handle, struct ucred *peer) {
  socklen_t size = sizeof *peer;
  uv_os_fd_t fd;
  return uv_fileno(handle, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) == 0;
}

/* The file's mode says so too; this holds where somebody changed that. */
static bool peer_allowed(const uv_handle_t *handle) {
  struct ucred peer;
  return peer_of(handle, &peer) && (peer.uid == 0 || peer.uid == geteuid());
}

bool admission_operates(const uv_handle_t *handle) {
  struct ucred peer;
  return peer_of(handle, &peer) && peer.pid != getpid();
}

int admission(struct worker *w, const uv_handle_t *handle, bool unix_socket, struct client **client,
              const char **text) {
  if (atomic_load(&w->commons->connections) > atomic_load(&w->commons->connections_most)) {
    counter_add(w->site.counters, COUNTER_OVER_TOTAL, 1);
    *text = "This agent has as many connections as it serves (limits.http_max_conns): close some, "
            "or try again.";
    return 503;
  }
  if (unix_socket) {
    *text = "This socket is for the user whom the agent runs as, and root.";
    return peer_allowed(handle) ? 0 : 403;
  }
  struct sockaddr_storage address;
  int size = sizeof address;
  bool full;
  if (uv_tcp_getpeername((const uv_tcp_t *)handle, (struct sockaddr *)&address, &size) != 0) {
    *text = "The connection is gone.";
    return 400;
  }
  *client = client_enter(w->commons->clients, (struct sockaddr *)&address,
                         atomic_load(&w->commons->per_client_most), &full);
  if (*client)
    return 0;
  if (full)
    counter_add(w->site.counters, COUNTER_OVER_CLIENT, 1);
  *text = full ? "This client has as many connections as one client may have "
                 "(limits.http_max_conns_per_client): reuse or close some."
               : "Out of memory.";
  return full ? 429 : 503;
}
