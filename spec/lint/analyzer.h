/* For clang-tidy only, which sees one file at a time: what it cannot know of the others. */
#pragma once

#include "base/fault.h"

#include <errno.h>
#include <lauxlib.h>

/* It raises, whatever its type says. */
int luaL_error(lua_State *L, const char *format, ...) __attribute__((noreturn));

/* fault_set fills the fault and returns the code that it was given, so a failure stays one. */
static inline int analyzer_fault(struct fault *f, int code) {
  if (f)
    f->code = code;
  return code;
}
#define fault_set(f, code, ...)                                                                    \
  ((void)fault_set((f), (code), __VA_ARGS__), analyzer_fault((f), (code)))

/* errno is read after a call that failed, and then it is not 0: these stand for all. */
int analyzer_any(void);
static inline int *analyzer_errno(void) {
  static int value;
  value = analyzer_any() ? EINTR : analyzer_any() ? EAGAIN : EIO;
  return &value;
}
#undef errno
#define errno (*analyzer_errno())
