//! The contract of the northbound API: what clients that nobody here wrote send, and what they need back.
//!
//! Every clause is held against the API as a service in this process, and against a daemon as it ships, over TLS; each
//! time one with nothing in it. What needs to look behind the API is tested there (`src/api/tests`).
//! Start at [`clauses`](macro@clauses); [`page`] goes through the resources one by one.

mod clients;
mod page;
mod plugged;
mod refused;
mod rules;
mod server;
mod sessions;

/// Makes two tests of each clause, a function of a [`server::Server`].
macro_rules! clauses {
    ($($module:ident: $($clause:ident),+;)+) => {
        mod in_process {
            $($(
                #[tokio::test]
                async fn $clause() {
                    crate::$module::$clause(&crate::server::Server::in_process().await).await;
                }
            )+)+
        }

        mod daemon {
            $($(
                #[tokio::test]
                async fn $clause() {
                    crate::$module::$clause(&crate::server::Server::daemon().await).await;
                }
            )+)+
        }
    };
}

clauses! {
    rules:
        a_request_that_is_sent_again_makes_nothing_new,
        methods_have_the_statuses_that_clients_insist_on,
        answers_are_one_line_with_the_headers_of_the_product,
        put_changes_what_it_names_and_nothing_else,
        a_walk_over_pages_skips_nothing_that_was_there_throughout,
        lists_filter_by_tags_and_fields,
        references_are_kept_whole;
    sessions:
        a_session_is_needed_and_shown_in_whichever_way_clients_do,
        a_session_ends,
        bodies_are_json_whatever_they_are_called;
    page:
        objects_have_the_fields_and_defaults_that_clients_rely_on,
        each_resource_has_its_methods,
        lists_take_the_filters_that_clients_send,
        relations_are_shown_by_the_names_that_clients_ask_for,
        statuses_say_what_clients_read,
        counters_are_shown_and_set_to_zero,
        the_cluster_tells_what_clients_look_for,
        schemas_and_methods_are_documented;
    plugged:
        a_vif_is_attached_once,
        a_trace_fills_in_what_is_not_asked,
        a_node_has_flows_and_a_status;
    refused:
        what_is_in_use_stays,
        what_is_wrong_is_named,
        names_and_tags_have_limits_and_null_is_unset;
    clients:
        a_cloudstack_network_with_a_router_nat_and_a_public_address,
        an_openstack_router_with_a_floating_address,
        an_openstack_security_group_that_names_itself,
        openstack_without_agents;
}
