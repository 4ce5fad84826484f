/* pick_page: what C and the compiled view of lua/perigee/view.lua both read. Declared once, for the
 * compiler here and for LuaJIT's there. */
#pragma once

#include "catalog/layout.h"

#define PICK_PAGE                                                                                  \
  struct pick_row {                                                                                \
    uint32_t slot, slot_generation;                                                                \
    uint16_t port;                                                                                 \
    uint8_t family, status;                                                                        \
    float weight;                                                                                  \
    uint32_t rest[12];                                                                             \
  };                                                                                               \
  struct pick_page {                                                                               \
    const struct pick_row *rows;                                                                   \
    int32_t count;      /* of rows; 0 outside of a pick */                                         \
    int32_t key_length; /* -1: no key */                                                           \
    const char *key;                                                                               \
    double hash; /* of the key, or by chance: from 0 to less than 1 */                             \
    char text[256];                                                                                \
  };

PICK_PAGE

_Static_assert(sizeof(struct pick_row) == sizeof(struct catalog_row) &&
                   offsetof(struct pick_row, weight) == offsetof(struct catalog_row, weight) &&
                   offsetof(struct pick_row, status) == offsetof(struct catalog_row, status),
               "the catalog's rows, as they are");

#define PICK_PAGE_TEXT_(...) #__VA_ARGS__
#define PICK_PAGE_TEXT(page) PICK_PAGE_TEXT_(page)
#define PICK_PAGE_CDEF PICK_PAGE_TEXT(PICK_PAGE)
