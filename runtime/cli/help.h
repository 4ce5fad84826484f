/* help: the program's own description, from the table of commands. */
#pragma once

#include "base/buf.h"
#include "cli/command.h"

void help_program(struct buf *out);
void help_command(const struct command *c, struct buf *out);
void help_man(struct buf *out); /* the page of section 1, in man(7) */

/* One option of the configuration, from its form: "duration", "string or false"; and its default as
 * JSON, "" when it has none. */
struct value;
void help_form(const struct value *form, struct buf *type, struct buf *fallback);
