// What simdjson itself takes to decode a document, whole and into nothing but its own tree, whose
// memory it has already.
#include <simdjson.h>

extern "C" bool simdjson_decodes(const char *bytes, size_t length, size_t room) {
  static simdjson::dom::parser parser;
  simdjson::dom::element root;
  return length + simdjson::SIMDJSON_PADDING <= room &&
         parser.parse(bytes, length, false).get(root) == simdjson::SUCCESS;
}
