/* limits: what a client of the server may ask of it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Zero means the default in brackets. */
struct server_limits {
  unsigned connections;            /* in all [8192]: the next gets 503 */
  unsigned connections_per_client; /* of one address [200]: the next gets 429 */
  uint32_t header_ms;              /* first byte to last header [10000]: 408 */
  uint32_t body_ms;                /* headers to the body's last byte [30000]: 408 */
  uint32_t idle_ms;                /* between requests [60000]: closed */
  uint32_t write_ms;               /* a client that does not read its answer [30000]: closed */
  size_t head_bytes;               /* request line and headers [16384]: 414 or 431 */
  size_t body_bytes;               /* [524288]: 413 */
  size_t output_bytes; /* answered and not yet sent, a connection [262144]: not read on */
};
