#include "agent/agent.h"
#include "base/buf.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "config/config.h"

#include <stdio.h>
#include <unistd.h>

static const char default_file[] = "/etc/perigee/perigee.lua";

/* With what plugins find in the rest. Takes both over. */
static void print_findings(struct config *config, struct findings *findings) {
  if (config && agent_verify(config, findings) < 0)
    findings_sort(findings);
  config_free(config);
  struct buf text = {0};
  findings_print(findings, &text);
  fputs(text.data ? text.data : "out of memory\n", stderr);
  buf_free(&text);
  findings_free(findings);
}

static int run(const struct arguments *a) {
  struct config_options options = {.file = arguments_option(a, "config"),
                                   .http = arguments_option(a, "http"),
                                   .dns = arguments_option(a, "dns"),
                                   .run_dir = arguments_option(a, "run-dir"),
                                   .data_dir = arguments_option(a, "data-dir"),
                                   .log_level = arguments_option(a, "log-level"),
                                   .leave = arguments_flag(a, "leave"),
                                   .dev = arguments_flag(a, "dev")};
  struct config *config;
  struct findings findings = {0};
  if (options.log_level && log_level_parse(options.log_level) < 0)
    return complain(a, EXIT_USAGE, "--log-level %s: expected debug, info, warn or error",
                    options.log_level);
  if (!options.file && access(default_file, F_OK) == 0)
    options.file = default_file;
  if (config_load(&options, &config, &findings) < 0) {
    print_findings(config, &findings);
    return complain(a, EXIT_FAILED, "the configuration has mistakes; nothing was started");
  }
  findings_free(&findings);
  log_set_level(config->log_level);
  log_set_json(config->log_json);
  if (config->dns)
    log_warn("dns is configured, and not served: this build has no DNS front end yet",
             LOG_S("dns", config->dns));
  return agent_run(config);
}

const struct command command_run = {
    .name = "run",
    .arguments = "",
    .summary = "Run the agent",
    .about = "Without -c it reads /etc/perigee/perigee.lua if that is there; else it is an agent "
             "with its embedded registry and nothing in it. It runs in the foreground and logs to "
             "standard error, until SIGTERM or Ctrl-C. Registrations are kept for the next start.",
    .options =
        (const struct option[]){
            {"config", 'c', "FILE", "the configuration", false},
            {"http", 0, "ADDR", "where to serve HTTP (default 127.0.0.1:8500), or \"off\"", false},
            {"dns", 0, "ADDR", "where to serve DNS; checked, and not served by this build", false},
            {"data-dir", 0, "DIR",
             "where registrations are kept (default: /var/lib/perigee for root, else "
             "$XDG_STATE_HOME/perigee)",
             false},
            {"log-level", 0, "LEVEL", "debug, info, warn or error", false},
            {"dev", 0, NULL,
             "reload by itself when the configuration or a plugin is saved, as with reload = "
             "\"auto\"",
             false},
            {"leave", 0, NULL,
             "deregister everything when it is stopped; it ends with 1, and says what is left, "
             "where a registry does not do that in time",
             false},
            {0}},
    .examples =
        (const struct example[]){
            {"perigee run -c examples/hello/perigee.lua", "the example's agent"},
            {"perigee run --http 127.0.0.1:8600 --run-dir /tmp/p", "a second agent on this host"},
            {0}},
    .complete = "",
    .run = run,
};
