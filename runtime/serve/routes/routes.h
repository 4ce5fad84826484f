/* routes: the handlers that the routing table names, by the file they are in. Each answers its
 * exchange or asks the control thread, and returns. Worker thread, inside the view. */
#pragma once

struct errand;
struct exchange;

/* route_pick.c */
void pick_get(struct exchange *x);
/* route_services.c */
void services_get(struct exchange *x);
void service_get(struct exchange *x);
void answer_no_service(struct exchange *x); /* the one that x->name is; for other handlers */
/* route_agent.c */
void agent_self_get(struct exchange *x);
void agent_members_get(struct exchange *x);
void agent_services_get(struct exchange *x);
void agent_service_get(struct exchange *x);
void agent_checks_get(struct exchange *x);
/* route_agent_write.c */
void agent_service_register_put(struct exchange *x);
void agent_service_deregister_put(struct exchange *x);
void agent_service_renew_put(struct exchange *x);
void agent_check_pass_put(struct exchange *x);
void agent_check_warn_put(struct exchange *x);
void agent_check_fail_put(struct exchange *x);
void agent_check_update_put(struct exchange *x);
/* route_health.c */
void health_service_get(struct exchange *x);
void health_checks_get(struct exchange *x);
void health_state_get(struct exchange *x);
void health_node_get(struct exchange *x);
/* route_catalog.c */
void catalog_services_get(struct exchange *x);
void catalog_service_get(struct exchange *x);
void catalog_nodes_get(struct exchange *x);
void catalog_node_get(struct exchange *x);
void catalog_datacenters_get(struct exchange *x);
void empty_list_get(struct exchange *x);
/* route_status.c */
void status_leader_get(struct exchange *x);
void status_peers_get(struct exchange *x);
void status_get(struct exchange *x);
void plugin_list_get(struct exchange *x);
void explain_get(struct exchange *x);
void policy_list_get(struct exchange *x);
void metrics_get(struct exchange *x);
void healthz_get(struct exchange *x);
void readyz_get(struct exchange *x);
/* route_operate.c */
void operate_post(struct exchange *x);
/* route_visit.c */
void visit_any(struct exchange *x);
void visit_piece(struct exchange *x, const struct errand *piece); /* for connection.c */
/* route_absent.c */
void acl_any(struct exchange *x);
void absent_any(struct exchange *x);
