/* text: small readings of text that more than one folder needs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault;

/* "500ms", "2s", "1m30s", "1.5h" (Go's forms) → nanoseconds; a bare number is refused. */
int duration_parse(const char *text, int64_t *ns, struct fault *f);

/* "127.0.0.1:80", "[::1]:80", ":80" (host "" ), "name:80" → host (without brackets) and port. */
int address_parse(const char *text, char *host, size_t host_size, uint16_t *port, struct fault *f);

/* A service's name or an instance's id: 1 to 255 bytes of UTF-8 without control characters. */
bool name_valid(const char *name, size_t length);
