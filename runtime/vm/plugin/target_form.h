/* target_form: what the targets of a registry may have beside their name, as its plugin declares:
 *
 *     target = { authority = "addresses", name = "address", options = { tag = "string" } }
 *
 * `authority`: "none" (so it is when nothing is said), "addresses" (hosts, with a port or without,
 * between commas) or "any". `name`: "any" (as it is), "address" (a host and a port) or "addresses".
 * `options`: a schema, as a plugin's own; in a target they are written as text. `servers`: more of
 * them, which are about the authority's servers, and nothing without one. Immutable; any thread. */
#pragma once

struct fault;
struct schema;
struct value;

enum target_part { TARGET_NONE, TARGET_ANY, TARGET_ADDRESS, TARGET_ADDRESSES };

struct target_form {
  enum target_part authority, name;
  struct schema *options; /* those of `servers` as well */
  struct value *servers;  /* as declared; NULL: none */
};

/* 0, -EINVAL with why, or -ENOMEM. */
int target_form_new(const struct value *declared, struct target_form **out, struct fault *f);
void target_form_free(struct target_form *form); /* NULL is fine */
