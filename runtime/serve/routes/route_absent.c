/* What Consul has and perigee has not: said plainly, never answered as if it were empty. */
#include "serve/routes/routes.h"

#include "serve/exchange/answer.h"

void acl_any(struct exchange *x) {
  answer_text(x, 401, "ACL support disabled");
}

void absent_any(struct exchange *x) {
  answer_text(x, 501,
              "perigee does not do this: it registers, checks and finds services. Ask a Consul "
              "server for what needs one.");
}
