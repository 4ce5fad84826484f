/* script: a vm whose outside is a test's, so that plugins run without a network and in no time.
 *
 * What a plugin asks for passes every check that it passes in the agent: its arguments, its grants,
 * whether it may wait here. Only then, in the place of the loop's operation, a function of the test
 * answers: a field of the table that lua/perigee/test.lua leaves in the registry as "script".
 * What it returns is what the plugin's call returns. Control thread only.
 *
 *     plugin's task ── asks ──► script.at_once[verb] ── values: they are answered, one pass later
 *                                      └─ none ──► script[verb], as a task: it may wait */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

bool scripted(lua_State *L);

/* Asks the script with the `arguments` on top, and waits for its results: `return
 * script_ask(...)`. A task of the script's is ended after `timeout_ms` (0: none): nil, `late`,
 * "ETIMEDOUT". */
int script_ask(lua_State *L, const char *verb, int arguments, uint64_t timeout_ms,
               const char *late);
/* Its two halves, for who would make `late` only where it may be needed. The first is 0, with the
 * arguments still on top, where the script has to wait for what it answers. */
int script_ask_at_once(lua_State *L, const char *verb, int arguments);
int script_ask_task(lua_State *L, const char *verb, int arguments, uint64_t timeout_ms,
                    const char *late);
/* Calls it at once, where nothing is waited for; replaces the arguments by `results` values. */
void script_tell(lua_State *L, const char *verb, int arguments, int results);

/* What the test's own chunk needs beside it: signal() → an object, whose wait() ends at the next
 * raise(), at once where that came first. */
int open_signal(lua_State *L);

/* Frees what is left of calls that were answered, when their tasks have ended. */
struct vm;
void script_forget(struct vm *vm);

/* Runs what is ready. False when nothing was: then *due_ns is when something next is, and the
 * owner of the clock may go there; INT64_MAX: never. */
bool vm_step(struct vm *vm, int64_t *due_ns);
