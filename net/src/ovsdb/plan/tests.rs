//! Plans for switches put together by hand. That plans converge, a real server tells (`tests/ovsdb/server.rs`).

use super::*;
use crate::ovsdb::vswitch::{Controller, Manager};
use serde_json::Value as Json;

const SWITCH: Uuid = Uuid::from_u128(1);
const BRIDGE: Uuid = Uuid::from_u128(2);
const PORT: Uuid = Uuid::from_u128(3);
const INTERFACE: Uuid = Uuid::from_u128(4);
const CONTROLLER: Uuid = Uuid::from_u128(5);
const MANAGER: Uuid = Uuid::from_u128(6);
const TARGET: &str = "ssl:192.0.2.1:6653";
const MANAGER_TARGET: &str = "ssl:192.0.2.1:6640";

fn map(pairs: &[(&str, &str)]) -> StringMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tunnel() -> DesiredTunnel {
    DesiredTunnel { kind: "geneve".to_owned(), local_ip: None, ofport: 100 }
}

fn desired() -> DesiredSwitch {
    DesiredSwitch {
        bridge: "br-int".to_owned(),
        controllers: [TARGET.to_owned()].into(),
        managers: [MANAGER_TARGET.to_owned()].into(),
        tunnels: [("tun".to_owned(), tunnel())].into(),
        epoch: 7,
    }
}

/// A switch that is as [`desired`].
fn settled() -> Vswitch {
    let switch = Switch {
        uuid: SWITCH,
        bridges: [BRIDGE].into(),
        managers: [MANAGER].into(),
        external_ids: map(&[("selvedge-epoch", "7"), ("system-id", "hv1")]),
        ..Switch::default()
    };
    let bridge = Bridge {
        name: "br-int".to_owned(),
        datapath_type: "netdev".to_owned(),
        ports: [PORT].into(),
        fail_mode: Some("secure".to_owned()),
        protocols: ["OpenFlow13".to_owned(), "OpenFlow15".to_owned()].into(),
        controllers: [CONTROLLER].into(),
        other_config: map(&[("disable-in-band", "true"), ("hwaddr", "02:00:00:00:00:01")]),
        ..Bridge::default()
    };
    let port = Port {
        name: "tun".to_owned(),
        interfaces: [INTERFACE].into(),
        external_ids: map(&[("selvedge", "tunnel")]),
        tag: None,
    };
    let interface = Interface {
        name: "tun".to_owned(),
        kind: "geneve".to_owned(),
        options: map(&[("remote_ip", "flow"), ("key", "flow")]),
        ofport_request: Some(100),
        ..Interface::default()
    };
    let controller = Controller {
        target: TARGET.to_owned(),
        connection_mode: Some("out-of-band".to_owned()),
        max_backoff: Some(1000),
        inactivity_probe: Some(5000),
        external_ids: map(&[("selvedge", "controller")]),
        ..Controller::default()
    };
    let manager = Manager {
        target: MANAGER_TARGET.to_owned(),
        max_backoff: Some(1000),
        external_ids: map(&[("selvedge", "manager")]),
        ..Manager::default()
    };
    Vswitch {
        switch: Some(switch),
        bridges: [(BRIDGE, bridge)].into(),
        ports: [(PORT, port)].into(),
        interfaces: [(INTERFACE, interface)].into(),
        controllers: [(CONTROLLER, controller)].into(),
        managers: [(MANAGER, manager)].into(),
    }
}

/// The settled switch after `tamper`.
fn tampered(tamper: impl FnOnce(&mut Vswitch)) -> Vswitch {
    let mut vswitch = settled();
    tamper(&mut vswitch);
    vswitch
}

fn switch(vswitch: &mut Vswitch) -> &mut Switch {
    vswitch.switch.as_mut().expect("there is one")
}

fn row<T>(table: &mut BTreeMap<Uuid, T>, uuid: Uuid) -> &mut T {
    table.get_mut(&uuid).expect("there is one")
}

/// The operations of a plan as JSON text, without the fence before and the comment and count after them.
fn operations(plan: &Plan) -> Vec<String> {
    let params = plan.transaction.params();
    let [database, wait, operations @ .., comment, count] = params.as_slice() else { panic!("too short: {params:?}") };
    assert_eq!(database, "Open_vSwitch");
    assert_eq!(wait["op"], "wait");
    assert_eq!(wait["timeout"], 0);
    assert_eq!(comment["comment"], format!("selvedge: {}", plan.reasons.join("; ")));
    assert_eq!(count["mutations"].to_string(), r#"[["next_cfg","+=",1]]"#);
    operations.iter().map(Json::to_string).collect()
}

/// A plan for [`desired`] gives these reasons, and writes operations that contain these texts.
fn check(vswitch: &Vswitch, reasons: &[&str], written: &[&str]) {
    check_plan(plan(&desired(), vswitch), reasons, written);
}

fn check_plan(plan: Result<Option<Plan>, Refused>, reasons: &[&str], written: &[&str]) {
    let plan = plan.expect("not refused").expect("something to do");
    assert_eq!(plan.reasons, reasons);
    let operations = operations(&plan);
    assert_eq!(operations.len(), written.len(), "{operations:#?}");
    for (operation, text) in operations.iter().zip(written) {
        assert!(operation.contains(text), "{operation} contains {text}");
    }
}

#[test]
fn a_settled_switch_needs_nothing() {
    assert_eq!(plan(&desired(), &settled()), Ok(None));
    assert_eq!(conflicts(&desired(), &settled()), Vec::<String>::new());
}

#[test]
fn settings_of_the_bridge_are_corrected() {
    check(
        &tampered(|vswitch| row(&mut vswitch.bridges, BRIDGE).fail_mode = None),
        &["fail_mode of br-int was not set"],
        &[r#""row":{"fail_mode":"secure"}"#],
    );
    check(
        &tampered(|vswitch| row(&mut vswitch.bridges, BRIDGE).fail_mode = Some("standalone".to_owned())),
        &["fail_mode of br-int was standalone"],
        &[r#""row":{"fail_mode":"secure"}"#],
    );
    check(
        &tampered(|vswitch| row(&mut vswitch.bridges, BRIDGE).protocols = ["OpenFlow10".to_owned()].into()),
        &["protocols of br-int were [OpenFlow10]"],
        &[r#""row":{"protocols":["set",["OpenFlow13","OpenFlow15"]]}"#],
    );
    check(
        &tampered(|vswitch| row(&mut vswitch.bridges, BRIDGE).other_config = map(&[("disable-in-band", "false")])),
        &["other_config:disable-in-band of br-int was not true"],
        &[
            r#"[["other_config","delete","disable-in-band"],["other_config","insert",["map",[["disable-in-band","true"]]]]]"#,
        ],
    );
}

#[test]
fn a_missing_bridge_is_made_on_the_best_datapath() {
    for (types, expected) in [(&["netdev", "system"][..], "system"), (&["netdev"][..], "netdev"), (&[][..], "system")] {
        let vswitch = tampered(|vswitch| {
            switch(vswitch).datapath_types = types.iter().map(|kind| (*kind).to_owned()).collect();
            switch(vswitch).bridges.clear();
            vswitch.bridges.clear();
            vswitch.ports.clear();
            vswitch.interfaces.clear();
            vswitch.controllers.clear();
        });
        check(
            &vswitch,
            &[
                "bridge br-int was missing",
                &format!("controller {TARGET} of br-int was missing"),
                "tunnel port tun was missing",
            ],
            &[
                r#""row":{"name":"br-int","type":"internal"}"#,
                r#""row":{"interfaces":["named-uuid","row0"],"name":"br-int"}"#,
                &format!(r#""datapath_type":"{expected}""#),
                r#"["bridges","insert",["named-uuid","row2"]]"#,
                r#""target":"ssl:192.0.2.1:6653""#,
                r#"[["controller","insert",["named-uuid","row3"]]],"op":"mutate","table":"Bridge","where":[["_uuid","==",["named-uuid","row2"]]]"#,
                r#""row":{"name":"tun","ofport_request":100,"options":["map",[["key","flow"],["remote_ip","flow"]]],"type":"geneve"}"#,
                r#""row":{"external_ids":["map",[["selvedge","tunnel"]]],"interfaces":["named-uuid","row4"],"name":"tun"}"#,
                r#"["ports","insert",["named-uuid","row5"]]"#,
            ],
        );
    }
}

#[test]
fn controllers_are_exactly_ours() {
    check(
        &tampered(|vswitch| row(&mut vswitch.controllers, CONTROLLER).target = "tcp:192.0.2.9".to_owned()),
        &["controller tcp:192.0.2.9 of br-int is not wanted", &format!("controller {TARGET} of br-int was missing")],
        &[
            r#"["controller","delete",["uuid","#,
            r#""op":"insert","row":{"connection_mode""#,
            r#"["controller","insert""#,
        ],
    );
    check(
        &tampered(|vswitch| {
            let twin = row(&mut vswitch.controllers, CONTROLLER).clone();
            vswitch.controllers.insert(Uuid::from_u128(9), twin);
            row(&mut vswitch.bridges, BRIDGE).controllers.insert(Uuid::from_u128(9));
        }),
        &[&format!("controller {TARGET} of br-int is not wanted")],
        &[r#"[["controller","delete",["uuid","00000000-0000-0000-0000-000000000009"]]]"#],
    );
    check(
        &tampered(|vswitch| {
            row(&mut vswitch.controllers, CONTROLLER).max_backoff = None;
            row(&mut vswitch.controllers, CONTROLLER).external_ids.clear();
        }),
        &[&format!("controller {TARGET} had other settings"), &format!("controller {TARGET} was not marked as ours")],
        &[
            r#""row":{"connection_mode":"out-of-band","inactivity_probe":5000,"max_backoff":1000}"#,
            r#"["external_ids","insert",["map",[["selvedge","controller"]]]]"#,
        ],
    );
}

#[test]
fn tunnels_are_corrected() {
    let wrong: [fn(&mut Interface); 4] = [
        |interface| interface.kind = "vxlan".to_owned(),
        |interface| interface.ofport_request = None,
        |interface| interface.options = map(&[("remote_ip", "flow"), ("key", "flow"), ("local_ip", "192.0.2.3")]),
        |interface| interface.options.clear(),
    ];
    for tamper in wrong {
        check(
            &tampered(|vswitch| tamper(row(&mut vswitch.interfaces, INTERFACE))),
            &["type, options or port number of tunnel port tun were wrong"],
            &[
                r#""row":{"ofport_request":100,"options":["map",[["key","flow"],["remote_ip","flow"]]],"type":"geneve"}"#,
            ],
        );
    }
    check(
        &tampered(|vswitch| vswitch.interfaces.clear()),
        &["interface of tunnel port tun was wrong"],
        &[r#""op":"insert""#, r#""row":{"interfaces":["named-uuid","row0"]}"#],
    );
    check(
        &tampered(|vswitch| row(&mut vswitch.ports, PORT).external_ids.clear()),
        &["tunnel tun was not marked as ours"],
        &[r#"["external_ids","insert",["map",[["selvedge","tunnel"]]]]"#],
    );
    let mut local = desired();
    let address = "2001:db8::1".parse().expect("an address");
    local.tunnels.insert("tun".to_owned(), DesiredTunnel { local_ip: Some(address), ..tunnel() });
    check_plan(
        plan(&local, &settled()),
        &["type, options or port number of tunnel port tun were wrong"],
        &[r#"["local_ip","2001:db8::1"]"#],
    );
}

#[test]
fn tunnels_of_ours_that_are_not_wanted_go_and_others_stay() {
    let without = DesiredSwitch { tunnels: BTreeMap::new(), ..desired() };
    let delete = r#"[["ports","delete",["uuid","00000000-0000-0000-0000-000000000003"]]]"#;
    check_plan(plan(&without, &settled()), &["tunnel port tun is not wanted"], &[delete]);
    let foreign = tampered(|vswitch| row(&mut vswitch.ports, PORT).external_ids = map(&[("selvedge", "else")]));
    assert_eq!(plan(&without, &foreign), Ok(None));
}

#[test]
fn a_name_in_use_is_left_alone_and_told() {
    let foreign: [fn(&mut Vswitch); 4] = [
        // An unmarked port that is no flow-based tunnel.
        |vswitch| {
            row(&mut vswitch.ports, PORT).external_ids.clear();
            row(&mut vswitch.interfaces, INTERFACE).kind = "system".to_owned();
        },
        // An unmarked tunnel to one peer.
        |vswitch| {
            row(&mut vswitch.ports, PORT).external_ids.clear();
            row(&mut vswitch.interfaces, INTERFACE).options = map(&[("remote_ip", "192.0.2.3")]);
        },
        // On another bridge.
        |vswitch| row(&mut vswitch.bridges, BRIDGE).ports.clear(),
        // An interface of a port with another name.
        |vswitch| {
            row(&mut vswitch.ports, PORT).name = "bond".to_owned();
            row(&mut vswitch.ports, PORT).external_ids.clear();
        },
    ];
    for tamper in foreign {
        let vswitch = tampered(tamper);
        assert_eq!(plan(&desired(), &vswitch), Ok(None));
        assert_eq!(conflicts(&desired(), &vswitch), ["the name of tunnel port tun is in use by something else"]);
    }
}

#[test]
fn the_epoch_is_recorded_and_fences() {
    let with_epoch = |epoch: Option<&str>| {
        tampered(|vswitch| {
            let ids = &mut switch(vswitch).external_ids;
            match epoch {
                Some(epoch) => ids.insert(EPOCH_KEY.to_owned(), epoch.to_owned()),
                None => ids.remove(EPOCH_KEY),
            };
        })
    };
    let set =
        r#"[["external_ids","delete","selvedge-epoch"],["external_ids","insert",["map",[["selvedge-epoch","7"]]]]]"#;
    check(&with_epoch(Some("6")), &["epoch was 6, is 7"], &[set]);
    check(&with_epoch(Some("x")), &["epoch was x, is 7"], &[set]);
    check(&with_epoch(None), &["epoch was not recorded, is 7"], &[set]);
    let fenced = Err(Refused::Fenced { recorded: 8, ours: 7 });
    assert_eq!(plan(&desired(), &with_epoch(Some("8"))), fenced);
    assert_eq!(retire("br-int", 7, &with_epoch(Some("8"))), fenced);
    assert_eq!(plan(&desired(), &Vswitch::default()), Err(Refused::Uninitialised));
}

#[test]
fn every_transaction_waits_for_the_epoch_that_was_seen() {
    let wait = |tamper: fn(&mut Vswitch)| {
        let vswitch = tampered(|vswitch| {
            row(&mut vswitch.bridges, BRIDGE).fail_mode = None;
            tamper(vswitch);
        });
        let plan = plan(&desired(), &vswitch).expect("not refused").expect("something to do");
        plan.transaction.params()[1].to_string()
    };
    assert_eq!(
        wait(|_| {}),
        r#"{"columns":["_uuid"],"op":"wait","rows":[{"_uuid":["uuid","00000000-0000-0000-0000-000000000001"]}],"table":"Open_vSwitch","timeout":0,"until":"==","where":[["_uuid","==",["uuid","00000000-0000-0000-0000-000000000001"]],["external_ids","includes",["map",[["selvedge-epoch","7"]]]]]}"#
    );
    assert_eq!(
        wait(|vswitch| {
            switch(vswitch).external_ids.remove(EPOCH_KEY);
        }),
        r#"{"columns":["external_ids"],"op":"wait","rows":[{"external_ids":["map",[["system-id","hv1"]]]}],"table":"Open_vSwitch","timeout":0,"until":"==","where":[["_uuid","==",["uuid","00000000-0000-0000-0000-000000000001"]]]}"#
    );
}

#[test]
fn retiring_removes_what_is_ours_and_no_more() {
    check_plan(
        retire("br-int", 7, &settled()),
        &[&format!("controller {TARGET} of br-int is not wanted"), "tunnel port tun is not wanted"],
        &[
            r#"[["controller","delete",["uuid","00000000-0000-0000-0000-000000000005"]]]"#,
            r#"[["ports","delete",["uuid","00000000-0000-0000-0000-000000000003"]]]"#,
        ],
    );
    let foreign = tampered(|vswitch| {
        row(&mut vswitch.ports, PORT).external_ids.clear();
        row(&mut vswitch.controllers, CONTROLLER).external_ids.clear();
    });
    assert_eq!(retire("br-int", 7, &foreign), Ok(None));
    assert_eq!(retire("br-ex", 7, &settled()), Ok(None));
}
