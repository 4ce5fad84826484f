/* inherited: what the agent before had published and nobody publishes any more. Control thread
 * only. */
#pragma once

struct catalog_writer;
struct sets;

/* Once, when the configuration is applied and the registry restored: withdraws every service of the
 * taken-over catalog that has no set. One that has a set (a watch whose registry has not answered
 * yet) keeps its last endpoints until its source speaks. */
void inherited_end(struct catalog_writer *catalog, struct sets *sets);
