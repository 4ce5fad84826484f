#include "base/text.h"
#include "base/fault.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct unit {
  const char *name;
  int64_t ns;
} units[] = {
    /* a longer name before the one it begins with */
    {"ns", 1},         {"us", 1000},       {"\u00b5s", 1000},    {"ms", 1000000},
    {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000},
};

static const struct unit *find_unit(const char *text) {
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (strncmp(text, units[i].name, strlen(units[i].name)) == 0)
      return &units[i];
  return NULL;
}

/* "90", "1.5", ".5" at `*text`; moves `*text` on. */
static int read_decimal(const char **text, double *out) {
  const char *p = *text;
  double n = 0, scale = 1;
  int digits = 0;
  for (; isdigit((unsigned char)*p); p++, digits++)
    n = n * 10 + (*p - '0');
  if (*p == '.')
    for (p++; isdigit((unsigned char)*p); p++, digits++)
      n += (*p - '0') * (scale /= 10);
  *text = p;
  *out = n;
  return digits && digits < 40 ? 0 : -EINVAL;
}

int duration_parse(const char *text, int64_t *ns, struct fault *f) {
  if (strcmp(text, "0") == 0) {
    *ns = 0;
    return 0;
  }
  double total = 0;
  const char *p = text;
  do {
    double n;
    if (read_decimal(&p, &n) < 0)
      return fault_set(f, -EINVAL,
                       "\"%.40s\" is not a duration: write \"500ms\", \"2s\", \"1m30s\"", text);
    const struct unit *u = find_unit(p);
    if (!u && *p == 0)
      return fault_set(f, -EINVAL, "\"%.40s\" has no unit: write \"%.40ss\" for seconds", text,
                       text);
    if (!u)
      return fault_set(f, -EINVAL,
                       "\"%.40s\" has an unknown unit: ns, us, ms, s, m, h and d are known", text);
    total += n * (double)u->ns;
    p += strlen(u->name);
  } while (*p);
  if (total >= 0x1p63)
    return fault_set(f, -EINVAL, "\"%.40s\" is too long: at most 292 years", text);
  *ns = (int64_t)(total + 0.5);
  return 0;
}

int size_parse(const char *text, uint64_t *bytes, struct fault *f) {
  static const struct {
    const char *name;
    int shift;
  } powers[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
  char *end = NULL;
  errno = 0;
  unsigned long long n = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
  for (size_t i = 0; end && !errno && i < sizeof powers / sizeof *powers; i++)
    if (strcmp(end, powers[i].name) == 0 && n <= UINT64_MAX >> powers[i].shift) {
      *bytes = (uint64_t)n << powers[i].shift;
      return 0;
    }
  return fault_set(f, -EINVAL, "\"%.40s\" is not a size: write \"512KiB\", \"16MiB\" or bytes",
                   text);
}

static int refuse_address(const char *text, struct fault *f, const char *why) {
  return fault_set(f, -EINVAL, "\"%.100s\" is not an address: %s", text, why);
}

static int read_port(const char *digits, uint16_t *port) {
  unsigned n = 0;
  size_t length = strspn(digits, "0123456789");
  if (length == 0 || length > 5 || digits[length])
    return -EINVAL;
  for (const char *p = digits; *p; p++)
    n = n * 10 + (unsigned)(*p - '0');
  if (n > 65535)
    return -EINVAL;
  *port = (uint16_t)n;
  return 0;
}

int address_parse(const char *text, char *host, size_t host_size, uint16_t *port, struct fault *f) {
  const char *start = text, *end, *colon;
  if (*text == '[') {
    start = text + 1;
    end = strchr(start, ']');
    if (!end || end[1] != ':')
      return refuse_address(text, f, "write \"[::1]:80\" for IPv6");
    colon = end + 1;
  } else {
    end = colon = strrchr(text, ':');
    if (!colon)
      return refuse_address(text, f, "the port is missing: write \"127.0.0.1:80\"");
    if (memchr(text, ':', (size_t)(colon - text)))
      return refuse_address(text, f, "IPv6 goes in brackets: \"[::1]:80\"");
  }
  size_t length = (size_t)(end - start);
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)start[i] <= ' ' || start[i] == '/' || start[i] == 0x7f)
      return refuse_address(text, f, "a host has no spaces and no slashes");
  if (length >= host_size || length > 255)
    return refuse_address(text, f, "the host is too long");
  if (read_port(colon + 1, port) < 0)
    return refuse_address(text, f, "a port is a number from 0 to 65535");
  memcpy(host, start, length);
  host[length] = 0;
  struct in6_addr six;
  if (*text == '[' && inet_pton(AF_INET6, host, &six) != 1)
    return refuse_address(text, f, "what is in the brackets is not IPv6");
  return 0;
}

size_t utf8_length(const unsigned char *s, size_t left) {
  if (s[0] < 0x80)
    return 1;
  size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4 || n > left)
    return 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80)
      return 0;
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
      (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
    return 0;
  return n;
}

bool text_is_utf8(const char *text) {
  const unsigned char *s = (const unsigned char *)text;
  size_t left = strlen(text), n = 1;
  for (; left && n; s += n, left -= n)
    n = utf8_length(s, left);
  return n > 0;
}

bool name_valid(const char *name, size_t length) {
  if (length < 1 || length > 255)
    return false;
  const unsigned char *s = (const unsigned char *)name;
  for (size_t i = 0, n; i < length; i += n) {
    n = utf8_length(s + i, length - i);
    /* U+0080 to U+009F are control characters too. */
    if (!n || s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && s[i + 1] < 0xa0))
      return false;
  }
  return true;
}

bool word_is_one_of(const char *word, const char *const *words) {
  for (; *words; words++)
    if (strcmp(word, *words) == 0)
      return true;
  return false;
}

enum { WORD_MAX = 64 };

static int least(int a, int b) {
  return a < b ? a : b;
}

static int edit_distance(const char *a, const char *b) {
  int n = (int)strlen(a), m = (int)strlen(b);
  int row[3][WORD_MAX + 1]; /* the one being made, the last, the one before it */
  if (n > WORD_MAX || m > WORD_MAX)
    return INT_MAX;
  for (int j = 0; j <= m; j++)
    row[0][j] = j;
  for (int i = 1; i <= n; i++) {
    int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= m; j++) {
      int other = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
      now[j] = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + other);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = least(now[j], before[j - 2] + 1);
    }
  }
  return row[n % 3][m];
}

const char *nearest_word(const char *word, const char *const *known, size_t count) {
  const char *best = NULL;
  /* A third of the letters may be wrong, and always one. */
  int length = (int)strlen(word), allowed = length < 3 ? 1 : (length + 2) / 3,
      least_seen = allowed + 1;
  for (size_t i = 0; i < count; i++) {
    int d = edit_distance(word, known[i]);
    if (d < least_seen && d < length) {
      least_seen = d;
      best = known[i];
    }
  }
  return best;
}
