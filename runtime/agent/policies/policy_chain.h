/* policy_chain: an instance's policies, asked one after the other until one does not say
 * "register". Each is an attachment of its own, so that its ctx.state is about this instance.
 * Control thread only. */
#pragma once

#include "agent/policies/decision.h"
#include "vm/plugin/plugin.h"

struct plugins;
struct policy_chain;

/* From what the configuration says (`path` is where). NULL: findings say why, or there is no
 * memory. */
struct policy_chain *policy_chain_new(struct plugins *plugins, const struct value *policy,
                                      const char *service, const char *path,
                                      struct findings *findings);
/* `changed` is called when one of its plugins was reloaded: another decision may be due. */
void policy_chain_follow(struct policy_chain *c, void (*changed)(void *arg), void *arg);
void policy_chain_free(struct policy_chain *c); /* ends its call; nobody is told */

/* Asks about the instance as it is now; `registered` says whether it is. `done` is called once,
 * perhaps at once: with the decision, which it may take over; or NULL, and why there is none. Not
 * while it is being asked. */
typedef void (*policy_done)(void *arg, struct decision *decision, const char *why);
void policy_chain_ask(struct policy_chain *c, const struct instance *in, enum status status,
                      bool registered, policy_done done, void *arg);
bool policy_chain_asked(const struct policy_chain *c); /* and has not answered */

/* How often it wants to be asked, in seconds: the least that its policies say. */
double policy_chain_every(const struct policy_chain *c);
