#include "agent/trim.h"

#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Only what nobody has written to: relocated data is in segments that can be written. */
static int trim_object(struct dl_phdr_info *object, size_t size, void *arg) {
  (void)size;
  uintptr_t page = *(const uintptr_t *)arg;
  if (strncmp(object->dlpi_name, "linux-vdso", 10) == 0)
    return 0;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || part->p_flags & PF_W)
      continue;
    uintptr_t from = (object->dlpi_addr + part->p_vaddr) & ~(page - 1);
    uintptr_t to = (object->dlpi_addr + part->p_vaddr + part->p_filesz) & ~(page - 1);
    if (to > from)
      madvise((void *)from, to - from, MADV_DONTNEED); // NOLINT(performance-no-int-to-ptr)
  }
  return 0;
}

void trim_after_start(void) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  dl_iterate_phdr(trim_object, &page);
}
