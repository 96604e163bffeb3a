//! The machine as a whole: database and daemon together.

use super::machine::{Input, Switch, SwitchConfig};
use serde_json::{Value, json};
use std::time::Duration;

fn statistics(switch: &mut Switch) -> Value {
    let select =
        json!({"op": "select", "table": "Interface", "where": [["name", "==", "tap0"]], "columns": ["statistics"]});
    switch.server.transact_locally(&[select])[0]["rows"][0]["statistics"][1].clone()
}

#[test]
fn what_passes_an_interface_is_in_the_database_within_five_seconds() {
    let mut switch = Switch::new(SwitchConfig {
        system_id: "hv1".into(),
        tunnel_ends: Vec::new(),
        mtu: 1500,
        version: "3.1.0".into(),
        silent: false,
        seed: 1,
    });
    switch.server.transact_locally(&[
        json!({"op": "insert", "table": "Interface", "row": {"name": "br", "type": "internal"}, "uuid-name": "i"}),
        json!({"op": "insert", "table": "Port", "row": {"name": "br", "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"}),
        json!({"op": "insert", "table": "Bridge", "row": {"name": "br", "ports": ["named-uuid", "p"]}, "uuid-name": "b"}),
        json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}),
    ]);
    let mut out = Vec::new();
    switch.step(Duration::ZERO, Input::Tick, &mut out);
    assert!(switch.plug("br", "tap0", "vif", "02:00:00:00:00:01"));
    switch.step(Duration::ZERO, Input::Tick, &mut out);
    for _ in 0..3 {
        switch.step(Duration::from_secs(1), Input::Frame("tap0".into(), vec![0; 64]), &mut out);
    }
    assert_eq!(statistics(&mut switch), json!([]), "it is written every five seconds only");
    switch.step(Duration::from_secs(5), Input::Tick, &mut out);
    let counted = statistics(&mut switch);
    let counted = counted.as_array().expect("pairs");
    for (name, count) in [("rx_packets", 3), ("rx_bytes", 192), ("tx_packets", 0)] {
        assert!(counted.contains(&json!([name, count])), "{name} is not {count} in {counted:?}");
    }
}
