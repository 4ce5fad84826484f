/* value: a tree of plain data (nil, boolean, number, text, table) that no Lua state owns, with the
 * place in a file where each part was written. Configuration and options travel in it from one
 * Lua state to another, and to C. Immutable once built, counted by references; any thread may
 * read, and take or drop references. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum value_kind { VALUE_NIL, VALUE_BOOLEAN, VALUE_NUMBER, VALUE_TEXT, VALUE_TABLE };

struct value; /* opaque; NULL reads as nil everywhere below */

struct value *value_nil(void);
struct value *value_boolean(bool b);
struct value *value_number(double n);
struct value *value_text(const char *text, size_t length); /* copies; may hold NUL bytes */
/* Text that is never shown: JSON has "(secret)" for it, and its memory is wiped. */
struct value *value_secret(const char *text, size_t length);
bool value_is_secret(const struct value *v);
struct value *value_table(void);
void value_be_list(
    struct value *table); /* while building only: as JSON it is [] when it is empty */

/* Every constructor returns NULL when there is no memory; value_set and value_append then say
 * -ENOMEM, so that a caller may check once. Depth is what the builder allows: readers of foreign
 * data stop at 100, since these functions recurse.
 *
 * While building only. A table has named fields, in the order they were set, and a list part
 * (1, 2, ...). Both take `v` over, also when they fail: 0, -ENOMEM (also for a NULL `v`), -EINVAL
 * (not a table). Setting a field again replaces it. */
int value_set(struct value *table, const char *key, struct value *v);
int value_append(struct value *table, struct value *v);
/* Where it was written, also while building only. `file` is copied once for the whole process.
 * Line 0 = unknown. */
void value_place(struct value *v, const char *file, int line);

struct value *value_ref(const struct value *v);
void value_unref(struct value *v);

enum value_kind value_kind(const struct value *v);
bool value_as_boolean(const struct value *v, bool otherwise);
double value_as_number(const struct value *v, double otherwise);
const char *value_as_text(const struct value *v, const char *otherwise); /* NUL-terminated, v's */
size_t value_text_length(const struct value *v);

const struct value *value_get(const struct value *table, const char *key); /* NULL if absent */
size_t value_length(const struct value *table);                            /* of the list part */
const struct value *value_at(const struct value *table, size_t i);         /* 0-based */
size_t value_fields(const struct value *table);                            /* of the named part */
const struct value *value_field(const struct value *table, size_t i, const char **key);

const char *value_file(const struct value *v); /* "" when unknown */
int value_line(const struct value *v);

bool value_equal(const struct value *a, const struct value *b); /* places do not count */
/* A table with only a list part is an array, any other an object (its list part as "1", "2"...). */
void value_to_json(const struct value *v, struct buf *out);
