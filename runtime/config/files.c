#include "config/files.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/findings.h"
#include "base/text.h"
#include "base/value.h"
#include "config/facts.h"
#include "config/sandbox.h"

#include <errno.h>
#include <glob.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_FILE_MAX = 4 << 20 };

struct files {
  const char *main, *text; /* what `main` has, where it is no file; else NULL */
  EVP_MD_CTX *hash;
  struct value *host, *merged, *read;
  struct findings *findings;
  int failed;
};

static const char *const sections[] = {"services", "watches", "registries",
                                       "hooks",    "routes",  "plugins"};
enum { SECTIONS = sizeof sections / sizeof *sections };

static void hash_bytes(struct files *all, const char *bytes, size_t length) {
  all->failed |= EVP_DigestUpdate(all->hash, bytes, length) != 1;
}

static void note_path(struct files *all, const char *path) {
  all->failed |= value_append(all->read, value_text(path, strlen(path))) < 0;
}

static void on_read(void *arg, const char *path, const char *bytes, size_t length) {
  note_path(arg, path);
  hash_bytes(arg, bytes, length);
}

static struct value *run_file(struct files *all, const char *path, const char *text,
                              size_t length) {
  struct sandbox_source source = {path, text, length, all->host, on_read, all};
  on_read(all, path, text, length);
  return sandbox_run(&source, all->findings);
}

static struct value *read_file(struct files *all, const char *path, const struct value *where) {
  struct buf text = {0};
  int status = file_read_whole(path, CONFIG_FILE_MAX, &text, NULL);
  if (status < 0) {
    buf_free(&text);
    findings_add(all->findings, where, where ? "include" : "", "cannot read %s: %s", path,
                 status == -EFBIG ? "larger than 4 MiB" : file_problem(status));
    return NULL;
  }
  struct value *v = run_file(all, path, text.data, text.length);
  buf_free(&text);
  return v;
}

static bool is_section(const char *key) {
  for (size_t i = 0; i < SECTIONS; i++)
    if (strcmp(sections[i], key) == 0)
      return true;
  return false;
}

/* Adds the entries of one section to the merged one, which is of our own making. */
static void merge_section(struct files *all, const char *name, const struct value *from) {
  struct value *into = (struct value *)value_get(all->merged, name);
  for (size_t i = 0; i < value_fields(from); i++) {
    const char *key;
    const struct value *entry = value_field(from, i, &key), *other = value_get(into, key);
    char path[600];
    snprintf(path, sizeof path, "%s.%s", name, key);
    if (other)
      findings_add(all->findings, entry, path, "is also in %s:%d: a name is configured once",
                   value_file(other), value_line(other));
    else
      all->failed |= value_set(into, key, value_ref(entry)) < 0;
  }
  for (size_t i = 0; i < value_length(from); i++)
    all->failed |= value_append(into, value_ref(value_at(from, i))) < 0;
}

/* A section that can be merged gets a table of its own to merge into; all else is shared. */
static void take_main(struct files *all, const struct value *root) {
  all->merged = value_table();
  value_place(all->merged, value_file(root), value_line(root));
  for (size_t i = 0; i < value_fields(root); i++) {
    const char *key;
    const struct value *v = value_field(root, i, &key);
    if (is_section(key) && value_kind(v) == VALUE_TABLE) {
      struct value *own = value_table();
      value_place(own, value_file(v), value_line(v));
      all->failed |= value_set(all->merged, key, own) < 0;
      merge_section(all, key, v);
    } else {
      all->failed |= value_set(all->merged, key, value_ref(v)) < 0;
    }
  }
  for (size_t i = 0; i < value_length(root); i++)
    all->failed |= value_append(all->merged, value_ref(value_at(root, i))) < 0;
}

static void merge_included(struct files *all, const struct value *root) {
  for (size_t i = 0; i < value_fields(root); i++) {
    const char *key;
    const struct value *v = value_field(root, i, &key);
    if (!is_section(key)) {
      const char *near = nearest_word(key, sections, SECTIONS);
      if (near)
        findings_add(all->findings, v, key, "unknown key; did you mean \"%s\"?", near);
      else
        findings_add(
            all->findings, v, key,
            "an included file has services, watches, registries, hooks, routes and plugins; "
            "this belongs to %s",
            all->main);
      continue;
    }
    if (value_kind(v) != VALUE_TABLE) {
      findings_add(all->findings, v, key, "expected a table");
      continue;
    }
    if (!value_get(all->merged, key)) {
      struct value *own = value_table();
      value_place(own, value_file(v), value_line(v));
      all->failed |= value_set(all->merged, key, own) < 0;
    }
    /* When the main file's section is no table its own finding says so. */
    if (value_kind(value_get(all->merged, key)) == VALUE_TABLE)
      merge_section(all, key, v);
  }
  if (value_length(root))
    findings_add(all->findings, value_at(root, 0), "[1]", "each entry has a name: NAME = ...");
}

static void include(struct files *all, const struct value *pattern) {
  const char *text = value_as_text(pattern, NULL), *slash = strrchr(all->main, '/');
  if (!text)
    return; /* the schema says what is wrong with it */
  char path[4096];
  int dir = *text != '/' && slash ? (int)(slash - all->main) + 1 : 0;
  glob_t found = {0};
  if (snprintf(path, sizeof path, "%.*s%s", dir, all->main, text) >= (int)sizeof path) {
    findings_add(all->findings, pattern, "include", "the pattern is too long");
    return;
  }
  note_path(all, path);
  int status = glob(path, 0, NULL, &found);
  if (status == GLOB_NOMATCH && !strpbrk(text, "*?["))
    findings_add(all->findings, pattern, "include", "there is no file %s", path);
  else if (status && status != GLOB_NOMATCH)
    findings_add(all->findings, pattern, "include", "cannot look for %s", path);
  for (size_t i = 0; !status && i < found.gl_pathc; i++) {
    struct value *root = read_file(all, found.gl_pathv[i], pattern);
    if (root)
      merge_included(all, root);
    value_unref(root);
  }
  globfree(&found);
}

static void read_all(struct files *all) {
  struct value *root = all->text   ? run_file(all, all->main, all->text, strlen(all->text))
                       : all->main ? read_file(all, all->main, NULL)
                                   : value_table();
  if (!root)
    return;
  take_main(all, root);
  if (!all->main) {
    value_unref(root);
    return;
  }
  const struct value *patterns = value_get(root, "include");
  if (value_kind(patterns) == VALUE_TEXT)
    include(all, patterns);
  for (size_t i = 0; i < value_length(patterns); i++)
    include(all, value_at(patterns, i));
  value_unref(root);
}

static void finish_hash(struct files *all, char *out) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {0};
  unsigned length = 32;
  all->failed |= EVP_DigestFinal_ex(all->hash, digest, &length) != 1;
  for (unsigned i = 0; i < 32; i++)
    snprintf(out + i * 2, 3, "%02x", digest[i]);
}

struct value *files_read(const char *file, const char *text, char *hash, struct value *read,
                         struct findings *findings) {
  struct files all = {.main = file,
                      .text = text,
                      .hash = EVP_MD_CTX_new(),
                      .host = facts_read(),
                      .read = read,
                      .findings = findings};
  if (all.hash && all.host && EVP_DigestInit_ex(all.hash, EVP_sha256(), NULL) == 1) {
    read_all(&all);
    finish_hash(&all, hash);
  } else {
    all.failed = 1;
  }
  if (all.failed)
    findings->failed = 1;
  EVP_MD_CTX_free(all.hash);
  value_unref(all.host);
  return all.merged;
}
