/* perigee new: a plugin to begin with, and its spec, from lua/perigee/new/. */
#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/plugin_file.h"

#include "base/fault.h"
#include "base/file.h"
#include "base/text.h"
#include "config/directories.h"
#include "config/config.h"
#include "vm/plugin/plugin.h"
#include "watch/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What stands for the plugin's name in a template. */
static const char PLACE[] = "NAME";
enum { TEMPLATE_MAX = 1 << 16 };

static bool is_letter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static void write_filled(struct buf *out, const char *text, const char *name) {
  const char *at;
  for (; (at = strstr(text, PLACE)); text = at + strlen(PLACE)) {
    bool whole = (at == text || !is_letter(at[-1])) && !is_letter(at[strlen(PLACE)]);
    buf_add(out, text, (size_t)(at - text));
    buf_text(out, whole ? name : PLACE);
  }
  buf_text(out, text);
}

static int template_read(const char *path, const char *name, struct buf *out, struct fault *f) {
  struct buf text = {0};
  int code = file_read_whole(path, TEMPLATE_MAX, &text, NULL);
  if (code == 0)
    write_filled(out, text.data, name);
  code = code == 0 && out->failed ? -ENOMEM : code;
  if (code != 0)
    fault_set(f, code, "%s: %s", path, file_problem(code));
  buf_free(&text);
  return code;
}

/* Each directory of the path but the last part. */
static int directories_make(char *path, struct fault *f) {
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    int failed = mkdir(path, 0777) != 0 && errno != EEXIST ? errno : 0;
    if (failed)
      fault_set(f, -failed, "%s: %s", path, strerror(failed));
    *slash = '/';
    if (failed)
      return f->code;
  }
  return 0;
}

/* A new file, never over one that is there. */
static int file_make(const char *path, const struct buf *text, struct fault *f) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    return fault_set(f, -errno, "%s: %s", path,
                     errno == EEXIST ? "it is there already, and is left as it is"
                                     : strerror(errno));
  ssize_t n = write(fd, text->data, text->length);
  int error = n == (ssize_t)text->length ? 0 : n < 0 ? errno : ENOSPC;
  if (close(fd) != 0 && !error)
    error = errno;
  if (error)
    unlink(path);
  return error ? fault_set(f, -error, "%s: %s", path, strerror(error)) : 0;
}

struct plan {
  char *template, *path;
  struct buf text;
};

/* One that is mistyped would become a tree of its own. */
static int directory_check(const char *directory, struct fault *f) {
  struct stat st;
  if (!directory)
    return 0;
  if (stat(directory, &st) != 0)
    return fault_set(f, -errno, "--dir %s: %s", directory, strerror(errno));
  return S_ISDIR(st.st_mode) ? 0 : fault_set(f, -ENOTDIR, "--dir %s: no directory", directory);
}

static int plan_file(struct plan *p, const char *library, const char *directory, const char *kind,
                     const char *name, const char *end, struct fault *f) {
  if (asprintf(&p->template, "%s/lua/perigee/new/%s%s", library, kind, end) < 0) {
    p->template = NULL;
    return fault_set(f, -ENOMEM, "out of memory");
  }
  if (asprintf(&p->path, "%s%splugins/%s/%s%s", directory ? directory : "", directory ? "/" : "",
               kind, name, end) < 0) {
    p->path = NULL;
    return fault_set(f, -ENOMEM, "out of memory");
  }
  if (access(p->path, F_OK) == 0)
    return fault_set(f, -EEXIST, "%s: it is there already, and is left as it is", p->path);
  return template_read(p->template, name, &p->text, f);
}

/* Both files or none. */
static int make(struct plan files[2], struct fault *f) {
  int code = directories_make(files[0].path, f);
  code = code ? code : file_make(files[0].path, &files[0].text, f);
  if (code)
    return code;
  code = file_make(files[1].path, &files[1].text, f);
  if (code)
    unlink(files[0].path);
  return code;
}

static int check_names(const struct arguments *a, const char *library) {
  const char *kind = a->items[0], *name = a->items[1];
  const char *const directories[] = {library, NULL};
  struct fault f = {0};
  char *path = NULL;
  if (!word_is_one_of(kind, plugin_kinds)) {
    size_t kinds = 0;
    while (plugin_kinds[kinds])
      kinds++;
    const char *near = nearest_word(kind, plugin_kinds, kinds);
    return complain(a, EXIT_USAGE, "there is no kind \"%s\"%s%s%s", kind,
                    near ? "; did you mean \"" : ": check, registry, policy, balancer, hook, route",
                    near ? near : "", near ? "\"?" : "");
  }
  if (strcmp(kind, "check") == 0 && check_has_setting(name))
    return complain(a, EXIT_USAGE, "%s is a setting that every check has: choose another name",
                    name);
  if (strcmp(kind, "balancer") == 0 && stage_find(name))
    return complain(a, EXIT_USAGE, "%s is one of perigee's own balancers: choose another name",
                    name);
  int code = plugin_find(directories, kind, name, &path, &f);
  free(path);
  if (code == 0)
    return complain(a, EXIT_USAGE,
                    "a %s plugin \"%s\" ships with perigee: choose another name, or copy it and "
                    "say override = true",
                    kind, name);
  return code == -ENOENT ? EXIT_DONE : complain(a, EXIT_USAGE, "%s", f.text);
}

static int run(const struct arguments *a) {
  const char *directory = arguments_option(a, "dir");
  struct plan files[2] = {{0}, {0}};
  struct fault f = {0};
  char *library = directories_library();
  int status = library ? check_names(a, library) : complain(a, EXIT_FAILED, "out of memory");
  if (status == EXIT_DONE) {
    int code = directory_check(directory, &f);
    for (int i = 0; code == 0 && i < 2; i++)
      code = plan_file(&files[i], library, directory, a->items[0], a->items[1],
                       i ? "_spec.lua" : ".lua", &f);
    code = code ? code : make(files, &f);
    if (code)
      status = complain(a, EXIT_FAILED, "%s", f.text);
  }
  if (status == EXIT_DONE) {
    struct buf out = {0};
    buf_format(&out,
               "%s\n%s\n\nIts first lines say how it is used; its tests run with\n\n"
               "  perigee test %s\n",
               files[0].path, files[1].path, files[0].path);
    output_write(&out);
    buf_free(&out);
  }
  for (int i = 0; i < 2; i++) {
    free(files[i].template);
    free(files[i].path);
    buf_free(&files[i].text);
  }
  free(library);
  return status;
}

const struct command command_new = {
    .name = "new",
    .arguments = "KIND NAME",
    .summary = "Write a plugin to begin with, and its tests",
    .about = "Writes plugins/KIND/NAME.lua and plugins/KIND/NAME_spec.lua in the working "
             "directory, which should be the configuration's: the agent looks for plugins beside "
             "that. Nothing that is there is written over.\n\nThe kinds are check, registry, "
             "policy, balancer, hook and route. What is written works, and its tests pass.",
    .options =
        (const struct option[]){
            {"dir", 0, "DIR", "one that is there, instead of the working directory", false}, {0}},
    .examples = (const struct example[]){{"perigee new policy gate2 --dir /etc/perigee",
                                          "beside the host's configuration"},
                                         {0}},
    .arguments_min = 2,
    .arguments_max = 2,
    .complete = "check registry policy balancer hook route",
    .local = true,
    .run = run,
};
