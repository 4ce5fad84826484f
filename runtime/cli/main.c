/* The program: finds the command, reads its arguments, runs it. */
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/help.h"
#include "cli/output.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int refuse_command(const char *name) {
  const char *names[64];
  size_t count = 0;
  for (; commands[count] && count < 64; count++)
    names[count] = commands[count]->name;
  const char *near = nearest_word(name, names, count);
  fprintf(stderr, "perigee: unknown command \"%s\"", name);
  if (near)
    fprintf(stderr, "; did you mean \"%s\"?\n", near);
  else
    fputs("; `perigee help` lists them\n", stderr);
  return EXIT_USAGE;
}

static int print_program_help(int code) {
  struct buf out = {0};
  help_program(&out);
  if (code == EXIT_DONE)
    output_write(&out);
  else
    fputs(out.data ? out.data : "", stderr);
  buf_free(&out);
  return code;
}

static int print_command_help(const struct command *c) {
  struct buf out = {0};
  help_command(c, &out);
  output_write(&out);
  buf_free(&out);
  return EXIT_DONE;
}

static int print_version(void) {
  struct buf out = {0};
  buf_text(&out, "perigee " PERIGEE_VERSION "\n");
  output_write(&out);
  buf_free(&out);
  return EXIT_DONE;
}

/* A number of the standard three that is closed would be given to the next file or socket, and be
 * printed to. Of these one reads the end, and cannot write. */
static void keep_standard_numbers(void) {
  int fd;
  do
    fd = open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close(fd);
}

int main(int argc, char **argv) {
  struct arguments arguments;
  keep_standard_numbers();
  signal(SIGPIPE, SIG_IGN); /* output_write tells EPIPE from other failures */
  if (argc < 2)
    return print_program_help(EXIT_USAGE);
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
    return print_program_help(EXIT_DONE);
  if (strcmp(argv[1], "--version") == 0)
    return print_version();
  const struct command *c = command_find(argv[1]);
  if (!c)
    return refuse_command(argv[1]);
  int status = arguments_read(c, argc - 2, argv + 2, &arguments);
  if (status)
    return status;
  return arguments.help ? print_command_help(c) : c->run(&arguments);
}
