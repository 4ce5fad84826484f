/* What the handles of a service have in flight together, so that each of them, and the budget of
 * retries, knows it where no agent sums it up. Made when the first is opened, gone with the last.
 */
#include "client/handle.h"

#include <stdlib.h>
#include <string.h>

static struct tally *find(struct perigee *p, const char *name) {
  struct tally *t = p->tallies;
  while (t && strcmp(t->name, name) != 0)
    t = t->next;
  return t;
}

static struct tally *make(struct perigee *p, const char *name) {
  struct tally *t = aligned_alloc(_Alignof(struct tally), sizeof *t);
  if (!t)
    return NULL;
  memset(t, 0, sizeof *t);
  strcpy(t->name, name);
  t->next = p->tallies;
  return p->tallies = t;
}

struct tally *tally_open(struct perigee *p, const char *name) {
  pthread_mutex_lock(&p->page->lock);
  struct tally *t = find(p, name);
  t = t ? t : make(p, name);
  if (t)
    t->handles++;
  pthread_mutex_unlock(&p->page->lock);
  return t;
}

void tally_close(struct perigee *p, struct tally *t) {
  pthread_mutex_lock(&p->page->lock);
  if (--t->handles == 0) {
    struct tally **at = &p->tallies;
    while (*at != t)
      at = &(*at)->next;
    *at = t->next;
    free(t);
  }
  pthread_mutex_unlock(&p->page->lock);
}

void tallies_forget(struct tally *first) {
  for (struct tally *t = first; t; t = t->next)
    memset(&t->counts, 0, sizeof t->counts);
}
