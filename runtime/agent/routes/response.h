/* response: what a route plugin returned, as an HTTP answer. */
#pragma once

#include "base/buf.h"

struct call_result;
struct fault;
struct value;

struct response {
  int status;
  struct buf headers, body; /* headers: whole lines, terminated */
};

/* status, body[, headers]; or nil, message: 502. -EINVAL: it returned something else, which is the
 * plugin's fault; -ENOMEM. To be cleared in any case. */
int response_read(const struct call_result *result, struct response *out, struct fault *f);
/* The message of nil, message, valid as long as the result; NULL: it returned something else. */
const char *response_failure(const struct call_result *result);
void response_clear(struct response *r);

/* A table of texts as lines, Content-Type among them: `type` unless it is said. 0, -ENOMEM, or
 * -EINVAL: one cannot be a header, or is the host's to say. */
int response_headers(const struct value *headers, const char *type, struct buf *out,
                     struct fault *f);
