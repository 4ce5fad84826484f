/* The whole writer, compiled into a spec with hooks of its own. Define CATALOG_STORE_HOOK or
 * CATALOG_REST_NS before, and include this instead of linking with it. */
#pragma once

// NOLINTBEGIN(bugprone-suspicious-include)
#include "catalog/arena.c"
#include "catalog/arrange.c"
#include "catalog/block.c"
#include "catalog/directory.c"
#include "catalog/publish.c"
#include "catalog/rundir.c"
#include "catalog/slots.c"
#include "catalog/tables.c"
#include "catalog/takeover.c"
#include "catalog/texts.c"
#include "catalog/writer.c"
// NOLINTEND(bugprone-suspicious-include)
