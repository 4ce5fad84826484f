#include "agent/plugins/uses.h"

#include "agent/plugins/plugins.h"
#include "base/fault.h"
#include "base/findings.h"
#include "base/value.h"
#include "config/use.h"

int use_attach(struct plugins *plugins, const char *kind, const char *name, const struct value *use,
               const char *path, struct attachment **out, struct findings *findings) {
  struct plugin *plugin;
  struct value *options = NULL;
  struct fault f;
  int r = plugins_get(plugins, kind, name, &plugin, &f);
  if (r == 0 && (r = use_options(use, &options)) != 0)
    fault_set(&f, r, "out of memory");
  if (r != 0)
    findings_add(findings, use, path, "%s", f.text);
  else
    r = plugin_attach(plugin, options, path, out, findings);
  value_unref(options);
  return r;
}
