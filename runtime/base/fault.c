#include "base/fault.h"

#include <stdio.h>

int fault_set(struct fault *f, int code, const char *format, ...) {
  if (f) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
    f->code = code;
  }
  return code;
}
