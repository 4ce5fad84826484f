/* perigee repl: lines are read with libedit on a terminal, and plainly from anything else. */
#include "cli/api.h"
#include "cli/console.h"
#include "cli/output.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000, PATH_SIZE = 4096 };

struct repl {
  struct console console;
  EditLine *editor; /* NULL: standard input is no terminal */
  History *history;
  char history_file[PATH_SIZE];
  struct buf code; /* the lines so far of a chunk that is not whole */
  struct buf line; /* the last one of a pipe */
  int status;
};

/* ---- editing ---- */

static struct repl *repl_of(EditLine *editor) {
  void *repl = NULL;
  el_get(editor, EL_CLIENTDATA, &repl);
  return repl;
}

static char *prompt(EditLine *editor) {
  static char first[] = "> ", more[] = ">> ";
  return repl_of(editor)->code.length ? more : first;
}

static bool belongs_to_name(char c) {
  return c == '_' || c == '.' || c == ':' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

/* How many bytes before the cursor belong to the name that is being typed. */
static size_t name_length(const LineInfo *line) {
  const char *c = line->cursor;
  while (c > line->buffer && belongs_to_name(c[-1]))
    c--;
  return (size_t)(line->cursor - c);
}

/* The bytes that all of the lines begin with. */
static size_t common_length(const struct buf *names) {
  const char *first = names->data;
  size_t common = strcspn(first, "\n");
  for (const char *name = first; *name; name += strcspn(name, "\n") + 1) {
    size_t same = 0;
    while (same < common && name[same] == first[same])
      same++;
    common = same;
  }
  return common;
}

static void list_names(const struct buf *names) {
  fputc('\n', stdout);
  for (const char *name = names->data; *name;) {
    int length = (int)strcspn(name, "\n");
    printf("%.*s  ", length, name);
    name += length + 1;
  }
  fputc('\n', stdout);
  fflush(stdout);
}

static unsigned char complete(EditLine *editor, int key) {
  (void)key;
  struct repl *r = repl_of(editor);
  const LineInfo *line = el_line(editor);
  size_t length = name_length(line);
  char text[400];
  struct buf names = {0};
  unsigned char done = CC_ERROR;
  if (length == 0 || length >= sizeof text)
    return CC_ERROR;
  memcpy(text, line->cursor - length, length);
  text[length] = '\0';
  console_complete(&r->console, text, &names);
  size_t common = names.length ? common_length(&names) : 0;
  if (common > length) {
    names.data[common] = '\0';
    done = el_insertstr(editor, names.data + length) == 0 ? CC_REFRESH : CC_ERROR;
  } else if (common == length && strchr(names.data, '\n') != names.data + names.length - 1) {
    list_names(&names);
    done = CC_REDISPLAY;
  }
  buf_free(&names);
  return done;
}

/* $XDG_STATE_HOME/perigee/repl_history, which may not be there and cannot be made: then there is no
 * history from one session to the next. */
static void name_history(char *path) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  char directory[PATH_SIZE - 32];
  *path = '\0';
  int n = state && *state ? snprintf(directory, sizeof directory, "%s/perigee", state)
          : home          ? snprintf(directory, sizeof directory, "%s/.local/state/perigee", home)
                          : -1;
  if (n < 0 || (size_t)n >= sizeof directory)
    return;
  for (char *slash = strchr(directory + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(directory, 0700);
    *slash = '/';
  }
  if (mkdir(directory, 0700) == 0 || errno == EEXIST)
    snprintf(path, PATH_SIZE, "%s/repl_history", directory);
}

static int editor_open(struct repl *r) {
  HistEvent event;
  r->editor = el_init("perigee", stdin, stdout, stderr);
  r->history = r->editor ? history_init() : NULL;
  if (!r->history)
    return complain(r->console.arguments, EXIT_FAILED, "the terminal cannot be used");
  history(r->history, &event, H_SETSIZE, HISTORY_LINES);
  history(r->history, &event, H_SETUNIQUE, 1);
  name_history(r->history_file);
  if (*r->history_file)
    history(r->history, &event, H_LOAD, r->history_file);
  el_set(r->editor, EL_CLIENTDATA, r);
  el_set(r->editor, EL_EDITOR, "emacs");
  el_set(r->editor, EL_PROMPT, prompt);
  el_set(r->editor, EL_HIST, history, r->history);
  el_set(r->editor, EL_ADDFN, "perigee-complete", "complete a name", complete);
  el_set(r->editor, EL_BIND, "^I", "perigee-complete", NULL);
  el_source(r->editor, NULL);
  return EXIT_DONE;
}

static void editor_close(struct repl *r) {
  HistEvent event;
  if (r->history && *r->history_file && history(r->history, &event, H_SAVE, r->history_file) >= 0)
    chmod(r->history_file, 0600);
  if (r->history)
    history_end(r->history);
  if (r->editor)
    el_end(r->editor);
}

static void remember(struct repl *r, const char *line) {
  HistEvent event;
  if (r->history && strspn(line, " \t\r\n") < strlen(line))
    history(r->history, &event, H_ENTER, line);
}

/* ---- reading ---- */

enum reading { READ_LINE, READ_INTERRUPTED, READ_REFUSED, READ_END };

/* From a pipe. One that is too long or no text is read to its end, and not kept. */
static enum reading read_plain(struct repl *r, const char **line) {
  bool any = false, fit = true;
  int c = 0;
  buf_clear(&r->line);
  while (c != '\n' && (c = getc_unlocked(stdin)) != EOF) {
    any = true;
    fit = fit && c != 0 && r->line.length < CODE_MOST;
    if (fit)
      buf_char(&r->line, (char)c);
  }
  *line = r->line.data;
  return !any ? READ_END : fit && !r->line.failed ? READ_LINE : READ_REFUSED;
}

static enum reading read_line(struct repl *r, const char **line) {
  if (r->editor) {
    int length = 0;
    errno = 0;
    *line = el_gets(r->editor, &length);
    if (*line && length > 0)
      return READ_LINE;
    return length < 0 && errno == EINTR ? READ_INTERRUPTED : READ_END;
  }
  return read_plain(r, line);
}

static void say_error(const struct repl *r, const char *text) {
  if (r->editor)
    fprintf(stderr, "%s%s%s\n", output_color("red"), text, output_color("off"));
  else
    complain(r->console.arguments, EXIT_FAILED, "%s", text);
}

/* Evaluates the lines so far; keeps them when they are no whole chunk. */
static int evaluate(struct repl *r) {
  struct console_answer answer;
  struct buf out = {0};
  int status = console_evaluate(&r->console, r->code.data, &answer);
  if (status == EXIT_DONE && !answer.incomplete) {
    if (*answer.text)
      buf_format(&out, "%s\n", answer.text);
    output_write(&out);
    buf_free(&out);
    if (answer.error) {
      say_error(r, answer.error);
      r->status = EXIT_FAILED;
    }
  }
  if (status != EXIT_DONE || !answer.incomplete)
    buf_clear(&r->code);
  console_answer_free(&answer);
  if (status == EXIT_STOPPED) {
    say_error(r, "cancelled");
    return EXIT_DONE;
  }
  return status;
}

static bool is_blank(const char *text) {
  return text[strspn(text, " \t\r\n")] == '\0';
}

static void run_lines(struct repl *r) {
  const char *line;
  for (;;) {
    enum reading reading = read_line(r, &line);
    if (reading == READ_END)
      break;
    if (reading == READ_INTERRUPTED) { /* what was typed is forgotten */
      buf_clear(&r->code);
      fputc('\n', stdout);
      continue;
    }
    if (reading == READ_REFUSED) {
      say_error(r, "a line is text of at most 512 KiB: this one is left out");
      r->status = EXIT_FAILED;
      continue;
    }
    remember(r, line);
    if (!r->code.length && is_blank(line))
      continue;
    buf_text(&r->code, line);
    if (evaluate(r) != EXIT_DONE)
      r->status = EXIT_FAILED; /* it has been said: the agent may come back */
  }
  if (r->code.length) {
    say_error(r, "the last chunk is not whole");
    r->status = EXIT_FAILED;
  }
  if (r->editor)
    fputc('\n', stdout);
}

/* Whether there is an agent, with such a plugin: said before the first line is asked for. */
static int greet(struct repl *r) {
  struct console_answer answer;
  int status = console_evaluate(&r->console, "", &answer);
  if (status == EXIT_DONE && answer.error)
    status = complain(r->console.arguments, EXIT_FAILED, "%s", answer.error);
  console_answer_free(&answer);
  return status == EXIT_STOPPED ? EXIT_FAILED : status;
}

static int run(const struct arguments *a) {
  struct repl r = {.status = EXIT_DONE};
  int status = console_begin(&r.console, a);
  if (status != EXIT_DONE)
    return status;
  r.console.keep = true;
  status = greet(&r);
  if (status == EXIT_DONE && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
    status = editor_open(&r);
  if (status == EXIT_DONE) {
    run_lines(&r);
    console_end(&r.console);
    status = r.editor ? EXIT_DONE : r.status;
  }
  editor_close(&r);
  buf_free(&r.code);
  buf_free(&r.line);
  return status;
}

const struct command command_repl = {
    .name = "repl",
    .arguments = "",
    .summary = "Evaluate Lua in the running agent, line by line",
    .about = "As `perigee eval`, with an isolate that lasts as long as the session, so that "
             "globals stay. A chunk that is not whole goes on in the next line. Tab completes, "
             "arrows go back in what was typed; Ctrl-C ends an evaluation, Ctrl-D the session. "
             "Lines may also come from a pipe.",
    .options = (const struct option[]){CONSOLE_OPTIONS, {0}},
    .examples = (const struct example[]){{"perigee repl", "with an isolate of its own"},
                                         {"perigee repl --plugin policy/gate",
                                          "in the isolate of a plugin"},
                                         {0}},
    .complete = "",
    .run = run,
};
