/* identity: what tells this agent from every other, for as long as its process lives. It is in all
 * that the agent answers over HTTP, so that whoever is answered finds out who it was, whatever
 * address, name or forwarded port led there. Any thread. */
#pragma once

/* In what answers say it, with this name. */
#define IDENTITY_HEADER "X-Perigee-Agent"

enum { IDENTITY_LENGTH = 16 };

const char *identity(void); /* IDENTITY_LENGTH hexadecimal digits */
