/* local: what the commands share that read the catalog, through libperigee as any process would.
 * They work while the agent is stopped. */
#pragma once

#include "base/buf.h"
#include "cli/arguments.h"
#include "client/perigee.h"

/* 0, or EXIT_FAILED after a sentence. */
int local_open(const struct arguments *a, struct perigee **p);

/* 0, or an exit code after a sentence. */
int local_service_open(const struct arguments *a, struct perigee *p, const char *name,
                       struct perigee_service **s);

/* Says that there is no such service, with the nearest name; EXIT_NOTHING. */
int local_no_service(const struct arguments *a, struct perigee *p, const char *name);

/* All endpoints of one snapshot, malloc'd; the count, or a negative errno. */
int local_list(struct perigee_service *s, struct perigee_endpoint **out);

/* "10.0.0.1:80", "[::1]:80", "unix:/path", or only the address when there is no port. */
void local_write_address(const struct perigee_endpoint *e, struct buf *out);

/* The endpoint's id, "" when it is gone by now. */
void local_endpoint_id(struct perigee_service *s, const struct perigee_endpoint *e, char *id,
                       size_t size);

/* One JSON object without the closing brace's newline. */
void local_write_json(struct perigee_service *s, const char *service,
                      const struct perigee_endpoint *e, struct buf *out);

/* Of a service that is stale: that, and for how long, as members after others. */
void local_write_stale(struct perigee_service *s, struct buf *out);

const char *local_status_name(int status); /* "passing", ... */
