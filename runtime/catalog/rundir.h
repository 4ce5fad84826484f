/* rundir: the run directory's files as the writer handles them: the lock, the catalog's file, and
 * the swap of a new file for an old one. Any thread; the lock belongs to the open file. */
#pragma once

#include <stddef.h>

/* Opens the directory, made when missing (0755 for root, else 0700). A descriptor, or -EPERM when
 * it is neither root's nor one's own, or what mkdir and open say. */
int rundir_open(const char *path);

/* Takes the lock and writes one's pid into it. A descriptor to keep; -EBUSY with the holder's pid
 * in *pid (0 when unknown). */
int rundir_lock(int dir, int *pid);

/* A new, empty file under a name of its own, open for writing; what an earlier writer left under
 * that name is removed. */
int rundir_new_file(int dir);
void rundir_forget_new(int dir); /* it was not finished: gives its space back */
/* The catalog's file, or the one before it, open for writing. -ENOENT; -EPERM: not one's own. */
int rundir_old_file(int dir);
int rundir_previous_file(int dir);

/* Puts the new file at the catalog's path. The old one keeps a second name until its readers have
 * been told, so that a writer that dies in between does not leave them behind. */
int rundir_swap(int dir);
void rundir_forget_previous(int dir);
