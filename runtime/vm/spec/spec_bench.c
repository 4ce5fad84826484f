#include "vm/spec/spec_bench.h"
#include "base/fault.h"
#include "catalog/writer.h"
#include "client/perigee.h"
#include "vm/bind/bindings.h"
#include "vm/isolate/inside.h"
#include "vm/isolate/script.h"
#include "watch/set.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int directory_make(struct spec_bench *b, struct fault *f) {
  const char *tmp = getenv("TMPDIR");
  if (asprintf(&b->directory, "%s/perigee-test-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
    b->directory = NULL;
    return fault_set(f, -ENOMEM, "out of memory");
  }
  if (mkdtemp(b->directory))
    return 0;
  int error = errno;
  fault_set(f, -error, "%s: %s", b->directory, strerror(error));
  free(b->directory);
  b->directory = NULL;
  return -error;
}

/* With the files of a catalog in it; nothing else is there. */
static void directory_remove(char *path) {
  struct dirent *entry;
  DIR *d = opendir(path);
  while (d && (entry = readdir(d)))
    if (entry->d_name[0] != '.')
      unlinkat(dirfd(d), entry->d_name, 0);
  if (d)
    closedir(d);
  rmdir(path);
  free(path);
}

struct sets *bench_sets(struct spec_bench *b, struct fault *f) {
  if (b->sets)
    return b->sets;
  int code = b->directory ? 0 : directory_make(b, f);
  if (code == 0 && !b->catalog) {
    code = catalog_writer_open(b->directory, &b->catalog, NULL);
    if (code != 0)
      fault_set(f, code, "%s: %s", b->directory, strerror(-code));
  }
  if (code != 0)
    return NULL;
  b->sets = sets_new(b->catalog, NULL, NULL);
  free(b->vm->run_dir);
  b->vm->run_dir = strdup(b->directory);
  if (!b->sets || !b->vm->run_dir)
    fault_set(f, -ENOMEM, "out of memory");
  return b->sets;
}

void bench_clear(struct spec_bench *b) {
  struct vm *vm = b->vm;
  for (size_t i = 0; i < b->use_count; i++)
    attachment_free(b->uses[i]);
  for (size_t i = 0; i < b->set_count; i++)
    set_binding_revoke(b->bindings[i]);
  plugin_free(b->plugin);
  script_forget(vm);
  perigee_close(vm->catalog);
  vm->catalog = NULL;
  free(vm->run_dir);
  vm->run_dir = NULL;
  sets_free(b->sets);
  if (b->catalog)
    catalog_writer_close(b->catalog);
  if (b->directory)
    directory_remove(b->directory);
  *b = (struct spec_bench){.vm = vm};
}
