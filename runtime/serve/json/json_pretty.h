/* json_pretty: valid, compact JSON → indented by four blanks, as Consul's ?pretty has it. */
#pragma once

#include <stddef.h>

struct buf;

void json_indent(const char *json, size_t length, struct buf *out);
