#include "serve/json/json_instance.h"

#include "base/buf.h"
#include "watch/instance.h"

void json_tags(struct buf *out, const struct instance *in) {
  buf_char(out, '[');
  for (unsigned i = 0; i < in->tag_count; i++) {
    if (i)
      buf_char(out, ',');
    buf_json_text(out, in->tags[i]);
  }
  buf_char(out, ']');
}

void json_meta(struct buf *out, const struct instance *in) {
  buf_char(out, '{');
  for (unsigned i = 0; i < in->meta_count; i++) {
    if (i)
      buf_char(out, ',');
    buf_json_text(out, in->meta[i].key);
    buf_char(out, ':');
    buf_json_text(out, in->meta[i].value);
  }
  buf_char(out, '}');
}
