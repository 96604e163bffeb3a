//! Whole flow tables as text with names, reviewed like code; they are in the workspace's `snapshots/`.

use super::network::Network;

const TWO_NODES: &str = "
    node hv1 geneve=172.31.1.1
    node hv2 geneve=172.31.1.2
";

#[test]
fn a_switch_on_two_nodes() {
    let network = Network::of(&format!(
        "{TWO_NODES}
        switch web geneve
        port a web
        port b web
        bind a hv1 5 02:00:00:00:00:0a
        bind b hv2 7 02:00:00:00:00:0b"
    ));
    network.snapshot("two_nodes", "hv1");
    network.snapshot("two_nodes", "hv2");
}

#[test]
fn a_port_that_may_use_only_its_addresses() {
    let network = Network::of(
        "node hv1 geneve=172.31.1.1
        switch web geneve
        port a web 02:00:00:00:00:0a=10.0.0.10 02:00:00:00:00:0a=fd00::a 02:00:00:00:00:0a=0.0.0.0
        bind a hv1 5 02:00:00:00:00:0a",
    );
    network.snapshot("port_security", "hv1");
}

#[test]
fn an_isolated_switch() {
    let network = Network::of(&format!(
        "{TWO_NODES}
        switch web isolated geneve
        port a web 02:00:00:00:00:0a=10.0.0.10
        port b web 02:00:00:00:00:0b=10.0.0.11
        bind a hv1 5 02:00:00:00:00:0a
        bind b hv2 7 02:00:00:00:00:0b"
    ));
    network.snapshot("isolation", "hv1");
}

#[test]
fn two_encapsulations_on_one_switch() {
    let network = Network::of(
        "node hv1 geneve=172.31.1.1 gre=172.31.1.1
        node hv2 geneve=172.31.1.2
        node hv3 gre=172.31.1.3
        switch web geneve gre
        port a web
        port b web
        port c web
        bind a hv1 5 02:00:00:00:00:0a
        bind b hv2 6 02:00:00:00:00:0b
        bind c hv3 7 02:00:00:00:00:0c",
    );
    network.snapshot("mixed_encapsulations", "hv1");
    network.snapshot("mixed_encapsulations", "hv3");
}

#[test]
fn a_learning_port_and_a_disabled_one() {
    let network = Network::of(&format!(
        "{TWO_NODES}
        switch web geneve
        port nested web learning
        port b web
        port off web down
        bind nested hv1 5 02:00:00:00:00:0a
        bind b hv2 7 02:00:00:00:00:0b
        bind off hv2 8 02:00:00:00:00:0c"
    ));
    network.snapshot("learning", "hv1");
    network.snapshot("learning", "hv2");
}

#[test]
fn a_disabled_port_has_no_flow_anywhere() {
    let network = Network::of(&format!(
        "{TWO_NODES}
        switch web geneve
        port a web 02:00:00:00:00:0a=10.0.0.10
        port off web down 02:00:00:00:00:0b=10.0.0.11
        bind a hv1 5 02:00:00:00:00:0a
        bind off hv2 7 02:00:00:00:00:0b"
    ));
    network.snapshot("admin_down", "hv1");
    network.snapshot("admin_down", "hv2");
}
