/* text: small readings of text that more than one folder needs. Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault;

/* "500ms", "2s", "1m30s", "1.5h" (Go's forms: ns, us, ms, s, m, h; and d) → nanoseconds, at most
 * 292 years. "0" may stand alone; any other bare number, a sign or a space is -EINVAL. */
int duration_parse(const char *text, int64_t *ns, struct fault *f);

/* "4096", "512KiB", "16MiB", "1GiB" → bytes; only whole numbers and powers of 1024. -EINVAL. */
int size_parse(const char *text, uint64_t *bytes, struct fault *f);

/* "127.0.0.1:80", "[::1]:80", ":80" (host "" ), "name:80" → host (without brackets) and port, 0 to
 * 65535. -EINVAL: not such an address, or `host` is too small for it. */
int address_parse(const char *text, char *host, size_t host_size, uint16_t *port, struct fault *f);

/* The length of the well-formed UTF-8 sequence at `s`, of whose bytes `left` >= 1 may be read
 * (RFC 3629: no overlong forms, no surrogates); 0 where there is none. */
size_t utf8_length(const unsigned char *s, size_t left);

bool text_is_utf8(const char *text);

/* A service's name or an instance's id: 1 to 255 bytes of UTF-8 without control characters. */
bool name_valid(const char *name, size_t length);

/* `words` ends with NULL. */
bool word_is_one_of(const char *word, const char *const *words);

/* The known word nearest to `word` by edit distance (insert, delete, replace, swap of neighbours:
 * optimal string alignment), or NULL when none is near enough to be what was meant. */
const char *nearest_word(const char *word, const char *const *known, size_t count);
