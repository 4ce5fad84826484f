/* trim: gives back what only the start needed. Control thread, once. */
#pragma once

/* Lets go of the code and constants of the program and its libraries that are in memory because the
 * start ran through them (most is the initialising of TLS libraries). What is needed again comes
 * back from the page cache, page by page. Resident memory only: nothing can fail that matters. */
void trim_after_start(void);
