/* identity: what tells this agent from every other, for as long as its process lives. It is in all
 * that the agent answers over HTTP, so that whoever is answered finds out who it was, whatever
 * address, name or forwarded port led there. Any thread. */
#pragma once

/* In what answers say it, with this name. */
#define IDENTITY_HEADER "X-Perigee-Agent"

enum { IDENTITY_LENGTH = 16 };

/* Who else has passed on what is answered, each after a comma: those that it came through. */
#define VIA_HEADER "X-Perigee-Via"
enum { VIA_MOST = 16 * (IDENTITY_LENGTH + 1) };

const char *identity(void); /* IDENTITY_LENGTH hexadecimal digits */
