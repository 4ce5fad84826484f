/* directories: where things are when nobody says so. Each result is malloc'd; NULL: no memory. */
#pragma once

/* The first of: `option`, $PERIGEE_RUN_DIR, `configured`, then /run/perigee for root, else
 * $XDG_RUNTIME_DIR/perigee, else /tmp/perigee-UID. The others may be NULL. */
char *directories_run(const char *option, const char *configured);

/* `option`, `configured`, then /var/lib/perigee for root, else $XDG_STATE_HOME/perigee, else
 * ~/.local/state/perigee. */
char *directories_data(const char *option, const char *configured);

/* What holds lua/ and plugins/ as they ship: $PERIGEE_LIBRARY, else share/perigee beside the
 * program's bin/, else the source tree that the program was built in, else
 * /usr/local/share/perigee. */
char *directories_library(void);
