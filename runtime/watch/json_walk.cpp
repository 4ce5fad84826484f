#include "watch/json_walk.h"

#include <errno.h>
#include <string.h>
#include <simdjson.h>

extern "C" {
#include "base/fault.h"
}

static_assert(JSON_PADDING >= simdjson::SIMDJSON_PADDING, "simdjson reads that far");

namespace {

namespace od = simdjson::ondemand;

/* What simdjson found wrong, and what `tell` returned, are told apart by `stopped`. */
class walker {
public:
  walker(const json_step *known, json_tell_fn listener, void *listener_arg)
      : steps(known), tell(listener), arg(listener_arg) {}

  simdjson::error_code document(od::parser &parser, const char *bytes, size_t length) {
    od::document root;
    escapes = memchr(bytes, '\\', length) != nullptr;
    SIMDJSON_TRY(parser.iterate(bytes, length, length + JSON_PADDING).get(root));
    od::value all;
    SIMDJSON_TRY(root.get_value().get(all));
    SIMDJSON_TRY(value(all, &steps[0], nullptr, {}, 0));
    bool ended = root.current_location().error() == simdjson::OUT_OF_BOUNDS;
    return stopped || ended ? simdjson::SUCCESS : simdjson::TRAILING_CONTENT;
  }

  int stopped = 0;

private:
  bool told(unsigned mark, const json_event &event) {
    if (mark && !stopped)
      stopped = tell(arg, mark, &event);
    return !stopped;
  }

  /* On the way by `to` (NULL: on none), or in the `any` object of `in` (NULL: in none). */
  simdjson::error_code value(od::value v, const json_step *to, const json_step *in,
                             std::string_view key, int depth) {
    od::json_type type;
    SIMDJSON_TRY(v.type().get(type));
    if (type == od::json_type::array)
      return to ? list(v, to, depth + 1) : simdjson::SUCCESS;
    if (type == od::json_type::object)
      return to ? object(v, to, depth + 1) : simdjson::SUCCESS;
    json_event event = {};
    SIMDJSON_TRY(scalar(v, type, event));
    if (in) {
      json_event named = event;
      named.key = key.data();
      named.key_length = key.size();
      told(in->mark, named);
    }
    if (to)
      told(to->mark, event);
    return simdjson::SUCCESS;
  }

  simdjson::error_code scalar(od::value v, od::json_type type, json_event &event) {
    std::string_view text;
    bool yes;
    switch (type) {
    case od::json_type::string:
      SIMDJSON_TRY(v.get_string().get(text));
      event.kind = JSON_TEXT;
      break;
    case od::json_type::number:
      text = v.raw_json_token();
      SIMDJSON_TRY(v.get_double().get(event.number));
      event.kind = JSON_NUMBER;
      break;
    case od::json_type::boolean:
      SIMDJSON_TRY(v.get_bool().get(yes));
      text = yes ? "true" : "false";
      event.number = yes;
      event.kind = JSON_BOOLEAN;
      break;
    default:
      SIMDJSON_TRY(v.is_null().get(yes));
      if (!yes)
        return simdjson::N_ATOM_ERROR;
      event.kind = JSON_NULL;
    }
    while (event.kind == JSON_NUMBER && !text.empty() && text.back() <= ' ')
      text.remove_suffix(1); /* the token reaches to the next one */
    event.text = text.data();
    event.length = text.size();
    return simdjson::SUCCESS;
  }

  simdjson::error_code list(od::value v, const json_step *to, int depth) {
    od::array items;
    json_event begins = {};
    begins.kind = JSON_LIST;
    if (depth > JSON_DEPTH)
      return simdjson::DEPTH_ERROR;
    if (!told(to->mark, begins))
      return simdjson::SUCCESS;
    SIMDJSON_TRY(v.get_array().get(items));
    for (auto item : items) {
      od::value one;
      SIMDJSON_TRY(std::move(item).get(one));
      SIMDJSON_TRY(value(one, to, nullptr, {}, depth));
      if (stopped)
        break;
    }
    return simdjson::SUCCESS;
  }

  /* Most of the time goes here, and a third of that into calls of simdjson's that are not inlined
   * unless asked for. */
  __attribute__((flatten)) simdjson::error_code object(od::value v, const json_step *to,
                                                       int depth) {
    od::object fields;
    json_event event = {};
    event.kind = JSON_OBJECT;
    if (depth > JSON_DEPTH)
      return simdjson::DEPTH_ERROR;
    if (!told(to->mark, event))
      return simdjson::SUCCESS;
    SIMDJSON_TRY(v.get_object().get(fields));
    unsigned left = to->children;
    for (auto each : fields) {
      od::field field;
      std::string_view key;
      SIMDJSON_TRY(std::move(each).get(field));
      const json_step *child = below(to, field.key());
      if (to->any || (!child && is_escaped(field.key()))) {
        SIMDJSON_TRY(field.unescaped_key().get(key));
        child = child ? child : below(to, key);
      }
      if (child || to->any)
        SIMDJSON_TRY(value(field.value(), child, to->any ? to : nullptr, key, depth));
      if (stopped)
        return simdjson::SUCCESS;
      if (child && --left == 0 && !to->any && depth > 1)
        break; /* the rest is skipped at once; of the document itself its end is wanted */
    }
    event.kind = JSON_END;
    told(to->mark, event);
    return simdjson::SUCCESS;
  }

  /* By the key as it is written: a step's has no quote, so that no comparison runs over the end. */
  const json_step *below(const json_step *to, od::raw_json_string key) const {
    for (uint16_t i = to->child; i; i = steps[i].sibling) {
      size_t n = 0;
      while (n < steps[i].length && key.raw()[n] == static_cast<uint8_t>(steps[i].key[n]))
        n++;
      if (n == steps[i].length && key.raw()[n] == '"')
        return &steps[i];
    }
    return nullptr;
  }

  const json_step *below(const json_step *to, std::string_view key) const {
    for (uint16_t i = to->child; i; i = steps[i].sibling)
      if (key == std::string_view(steps[i].key, steps[i].length))
        return &steps[i];
    return nullptr;
  }

  bool is_escaped(od::raw_json_string key) const {
    auto at = key.raw();
    if (!escapes)
      return false;
    while (*at != '"' && *at != '\\')
      at++;
    return *at == '\\';
  }

  const json_step *steps;
  json_tell_fn tell;
  void *arg;
  bool escapes = false; /* there is a backslash somewhere */
};

} // namespace

int json_walk(const char *bytes, size_t length, const struct json_step *steps, json_tell_fn tell,
              void *arg, struct fault *f) {
  if (length > JSON_MOST)
    return fault_set(f, -E2BIG, "more than %d MiB of JSON", JSON_MOST >> 20);
  if (length == 0)
    return fault_set(f, -EPROTO, "there is nothing in it");
  /* Its memory is fresh from the system, and half the time goes into that: it is kept, within
   * limits.
   */
  static od::parser *parser;
  if (!parser && !(parser = new (std::nothrow) od::parser))
    return fault_set(f, -ENOMEM, "out of memory");
  walker walk(steps, tell, arg);
  simdjson::error_code error = walk.document(*parser, bytes, length);
  if (length > JSON_KEPT || error == simdjson::MEMALLOC) {
    delete parser;
    parser = nullptr;
  }
  if (walk.stopped)
    return walk.stopped;
  if (error == simdjson::MEMALLOC)
    return fault_set(f, -ENOMEM, "out of memory");
  if (error == simdjson::SCALAR_DOCUMENT_AS_VALUE)
    return fault_set(f, -EPROTO, "it is no list and no object");
  if (error)
    return fault_set(f, -EPROTO, "%s", simdjson::error_message(error));
  return 0;
}
