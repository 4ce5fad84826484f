/* json_instance: an instance's lists as JSON, alike in perigee's own answers and in Consul's. Each
 * appends one value. Any thread. */
#pragma once

struct buf;
struct instance;

void json_tags(struct buf *out, const struct instance *in); /* a list; [] when there are none */
void json_meta(struct buf *out, const struct instance *in); /* an object; {} likewise */
