/* view_sorted: all of the view's services or registrations in the order of their names, as answers
 * list them. Worker thread, inside the view; the lists are the caller's to free. */
#pragma once

#include "serve/view/view.h"

#include <stddef.h>

/* NULL: out of memory. */
const struct view_service **services_sorted(const struct view_root *root, size_t *count);
const struct registration_state **registrations_sorted(const struct view_root *root,
                                                       size_t *count); /* by instance id */
