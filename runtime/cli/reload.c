#include "cli/changes.h"

static void add_text(struct buf *body, const char *key, const char *text) {
  if (!text)
    return;
  buf_format(body, "\"%s\":", key);
  buf_json_text(body, text);
  buf_char(body, ',');
}

static int run(const struct arguments *a) {
  struct buf body = {0};
  bool dry = arguments_flag(a, "dry-run"), fresh = arguments_flag(a, "fresh");
  if (fresh && !a->count)
    return complain(a, EXIT_USAGE, "--fresh: which plugin? Its name follows");
  buf_char(&body, '{');
  add_text(&body, "plugin", a->count ? a->items[0] : NULL);
  add_text(&body, "if_hash", arguments_option(a, "if-hash"));
  buf_format(&body, "\"fresh\":%s,\"dry\":%s}", fresh ? "true" : "false", dry ? "true" : "false");
  const struct changes_words words = {dry ? "would change" : "reloaded", "nothing has changed"};
  int status = reply_operate(a, "reload", &body, changes_tell, &words);
  buf_free(&body);
  return status;
}

const struct command command_reload = {
    .name = "reload",
    .arguments = "[PLUGIN]",
    .summary = "Read the configuration and the plugins again, and apply what differs",
    .about =
        "All of it is checked first, with the plugins loaded afresh: a mistake is told with "
        "its file and line, ends with 1, and changes nothing. What does not differ is not "
        "touched: services keep their registrations, leases and statuses, watches their "
        "endpoints, listeners their connections.\n\nWith the name of a plugin (NAME, or "
        "KIND/NAME) only that one is read again, also where nothing of it has changed: an isolate "
        "that `perigee eval -p` has damaged is replaced.\n\nA plugin's new version that keeps "
        "failing "
        "in its first calls gives way to the one before it; `perigee plugins` says so.\n\nAnother "
        "zone moves what is registered on this host without a zone of its own; another node stays "
        "the owner of what it has registered elsewhere. run_dir and data_dir alone cannot change: "
        "processes have the catalog of the one mapped, and the agent's state is in the other. Stop "
        "the agent, move data_dir, start it again: registrations and leases are kept.",
    .options =
        (const struct option[]){
            {"dry-run", 'n', NULL, "only show what would change", false},
            {"fresh", 0, NULL,
             "PLUGIN begins with nothing: no ctx.state, and nothing of what its `export` would "
             "give. For one whose export fails",
             false},
            {"if-hash", 0, "HASH",
             "only if the configuration that is read has this sha256, as `perigee diff` shows it "
             "(of one file without `include` it is sha256sum's); plugins are not in it. For a "
             "fleet that goes in steps",
             false},
            {0}},
    .examples =
        (const struct example[]){
            {"perigee reload --dry-run", "what an edited configuration would change"},
            {"perigee reload canary", "one plugin, after its file was edited"},
            {0}},
    .arguments_max = 1,
    .complete = "plugins",
    .json = true,
    .run = run,
};
