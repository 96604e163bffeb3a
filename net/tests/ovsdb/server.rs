//! Sessions and plans against a real `ovsdb-server`.

use super::harness::{Connection, PATIENCE, Server};
use selvedge_net::ovsdb::codec::{Decoder, Limits as CodecLimits, Message, encode};
use selvedge_net::ovsdb::operation::TransactError;
use selvedge_net::ovsdb::plan::{DesiredSwitch, DesiredTunnel, Refused, conflicts, plan, retire};
use selvedge_net::ovsdb::replica::{Dialect, Replica};
use selvedge_net::ovsdb::session::Event;
use selvedge_net::ovsdb::vswitch::{SCHEMA, Vif, Vswitch, vifs};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn desired() -> DesiredSwitch {
    let tunnel = |kind: &str, local_ip: Option<&str>, ofport| DesiredTunnel {
        kind: kind.to_owned(),
        local_ip: local_ip.map(|address| address.parse().expect("an address")),
        ofport,
    };
    DesiredSwitch {
        bridge: "br-int".to_owned(),
        controllers: ["ssl:192.0.2.1:6653".to_owned(), "ssl:192.0.2.2:6653".to_owned()].into(),
        managers: ["ssl:192.0.2.1:6640".to_owned(), "ssl:192.0.2.2:6640".to_owned()].into(),
        tunnels: [
            ("sv-geneve".to_owned(), tunnel("geneve", Some("192.0.2.9"), 65001)),
            ("sv-stt".to_owned(), tunnel("stt", None, 65002)),
        ]
        .into(),
        epoch: 7,
    }
}

#[test]
fn an_empty_switch_is_set_up_and_repaired() {
    let Some(server) = Server::start("an_empty_switch_is_set_up_and_repaired") else {
        return;
    };
    let mut connection = server.connect();
    let reasons = connection.settle(&desired());
    assert_eq!(reasons[..2], ["epoch was not recorded, is 7", "bridge br-int was missing"]);
    let vswitch = connection.vswitch();
    let (_, bridge) = vswitch.bridge("br-int").expect("made");
    assert_eq!((bridge.datapath_type.as_str(), bridge.ports.len(), bridge.controllers.len()), ("system", 3, 2));

    for (tampering, expected) in [
        ("del-fail-mode br-int", "fail_mode of br-int was not set"),
        ("set-fail-mode br-int standalone", "fail_mode of br-int was standalone"),
        ("clear Bridge br-int protocols", "protocols of br-int were []"),
        ("remove Bridge br-int other_config disable-in-band", "other_config:disable-in-band of br-int was not true"),
        ("set Bridge br-int other_config:disable-in-band=no", "other_config:disable-in-band of br-int was not true"),
        ("set-controller br-int tcp:192.0.2.3 ssl:192.0.2.1:6653", "controller tcp:192.0.2.3 of br-int is not wanted"),
        ("del-controller br-int", "controller ssl:192.0.2.1:6653 of br-int was missing"),
        ("del-manager", "manager ssl:192.0.2.1:6640 was missing"),
        ("set-manager ssl:192.0.2.1:6640", "manager ssl:192.0.2.2:6640 was missing"),
        ("set-manager ssl:192.0.2.1:6640 ssl:192.0.2.2:6640", "manager ssl:192.0.2.2:6640 had other settings"),
        ("del-port br-int sv-geneve", "tunnel port sv-geneve was missing"),
        (
            "set Interface sv-geneve options:remote_ip=192.0.2.8",
            "type, options or port number of tunnel port sv-geneve were wrong",
        ),
        ("clear Interface sv-stt ofport_request", "type, options or port number of tunnel port sv-stt were wrong"),
        ("set Interface sv-stt type=gre", "type, options or port number of tunnel port sv-stt were wrong"),
        ("clear Port sv-stt external_ids", "tunnel sv-stt was not marked as ours"),
        (
            "--id=@i create Interface name=x type=internal -- set Port sv-stt interfaces=@i",
            "interface of tunnel port sv-stt was wrong",
        ),
        (
            "--id=@i create Interface name=x type=internal -- add Port sv-stt interfaces @i",
            "interface of tunnel port sv-stt was wrong",
        ),
        ("add-port br-int old -- set Port old external_ids:selvedge=tunnel", "tunnel port old is not wanted"),
        ("del-br br-int", "bridge br-int was missing"),
    ] {
        server.vsctl(tampering);
        connection.catch_up();
        let reasons = connection.settle(&desired());
        assert!(reasons.iter().any(|reason| reason == expected), "{tampering}: {reasons:?}");
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let Some(server) = Server::start("what_is_not_ours_is_left_alone") else {
        return;
    };
    server.vsctl("add-br br-ex -- set-controller br-ex tcp:192.0.2.3 -- add-port br-ex sv-stt");
    server.vsctl("add-br br-int -- set Bridge br-int datapath_type=netdev other_config:hwaddr=02:00:00:00:00:01");
    server.vsctl("add-port br-int tap0 -- set Interface tap0 external_ids:iface-id=vif-a external_ids:attached-mac=m");
    let mut connection = server.connect();
    let before = connection.vswitch();
    connection.settle(&desired());
    assert_eq!(conflicts(&desired(), &before), ["the name of tunnel port sv-stt is in use by something else"]);
    assert_eq!(conflicts(&desired(), &connection.vswitch()), conflicts(&desired(), &before));

    let mut after = connection.vswitch();
    let (uuid, bridge) = after.bridge("br-int").expect("still there");
    assert_eq!(bridge.datapath_type, "netdev");
    assert!(bridge.other_config.contains_key("hwaddr"));
    after.bridges.remove(&uuid);
    for (uuid, bridge) in &after.bridges {
        assert_eq!(before.bridges.get(uuid), Some(bridge));
    }
    for (uuid, port) in &before.ports {
        assert_eq!(after.ports.get(uuid), Some(port));
    }
    let ids = |vswitch: &Vswitch| vswitch.switch.clone().expect("initialised").external_ids;
    assert_eq!(ids(&after).get("system-id").map(String::as_str), Some("hv1"));

    let vif = Vif {
        vif_id: "vif-a".to_owned(),
        interface: "tap0".to_owned(),
        ofport: None,
        attached_mac: Some("m".to_owned()),
        active: true,
        error: None,
    };
    assert_eq!(vifs(&connection.vswitch(), "br-int"), [vif]);
}

#[test]
fn managers_follow_the_cluster_and_those_of_others_stay() {
    let Some(server) = Server::start("managers_follow_the_cluster_and_those_of_others_stay") else {
        return;
    };
    server.vsctl("set-manager ptcp:6641:127.0.0.1 ssl:192.0.2.1:6640");
    let mut connection = server.connect();
    let targets = |connection: &Connection| {
        let managers = connection.vswitch().managers;
        managers.into_values().map(|manager| (manager.target, manager.max_backoff)).collect::<BTreeMap<_, _>>()
    };
    connection.settle(&desired());
    let [ours, other, foreign] = ["ssl:192.0.2.1:6640", "ssl:192.0.2.2:6640", "ptcp:6641:127.0.0.1"].map(str::to_owned);
    let expected = [(ours.clone(), Some(1000)), (other, Some(1000)), (foreign.clone(), None)];
    assert_eq!(targets(&connection), BTreeMap::from(expected));
    let third = "ssl:192.0.2.3:6640".to_owned();
    let replaced = DesiredSwitch { managers: [ours.clone(), third.clone()].into(), ..desired() };
    let reasons = connection.settle(&replaced);
    assert_eq!(reasons, ["manager ssl:192.0.2.2:6640 is not wanted", "manager ssl:192.0.2.3:6640 was missing"]);
    let expected = [(ours, Some(1000)), (third, Some(1000)), (foreign, None)];
    assert_eq!(targets(&connection), BTreeMap::from(expected));
}

#[test]
fn a_controller_that_was_superseded_cannot_write() {
    let Some(server) = Server::start("a_controller_that_was_superseded_cannot_write") else {
        return;
    };
    let with_epoch = |epoch| DesiredSwitch { epoch, ..desired() };
    let mut old = server.connect();
    let mut new = server.connect();

    // Both planned before either wrote: the second finds the fence, whichever it is.
    let stale = plan(&with_epoch(6), &old.vswitch()).expect("not fenced yet").expect("a bridge to make");
    new.settle(&with_epoch(7));
    let error = old.transact(&stale.transaction).expect_err("the key is there now");
    assert!(matches!(&error, TransactError::Operation { index: 0, error } if error.error == "timed out"), "{error}");
    assert_eq!(plan(&with_epoch(6), &old.vswitch()), Err(Refused::Fenced { recorded: 7, ours: 6 }));

    // The same once an epoch is recorded.
    server.vsctl("set-fail-mode br-int standalone");
    new.catch_up();
    let stale = plan(&with_epoch(7), &new.vswitch()).expect("not fenced yet").expect("a mode to repair");
    old.catch_up();
    old.settle(&with_epoch(8));
    let error = new.transact(&stale.transaction).expect_err("the key has changed");
    assert!(matches!(&error, TransactError::Operation { index: 0, error } if error.error == "timed out"), "{error}");
    assert_eq!(retire("br-int", 7, &new.vswitch()), Err(Refused::Fenced { recorded: 8, ours: 7 }));
}

#[test]
fn other_keys_may_change_while_a_plan_is_made() {
    let Some(server) = Server::start("other_keys_may_change_while_a_plan_is_made") else {
        return;
    };
    let mut connection = server.connect();
    connection.settle(&desired());
    server.vsctl("set-fail-mode br-int standalone");
    connection.catch_up();
    let plan = plan(&desired(), &connection.vswitch()).expect("not refused").expect("a mode to repair");
    server.vsctl("set Open_vSwitch . external_ids:hostname=h");
    connection.transact(&plan.transaction).expect("the epoch is the same");
    connection.expect_settled(&desired());
}

#[test]
fn a_retired_switch_keeps_its_bridge_and_guests() {
    let Some(server) = Server::start("a_retired_switch_keeps_its_bridge_and_guests") else {
        return;
    };
    let mut connection = server.connect();
    connection.settle(&desired());
    server.vsctl("add-port br-int tap0");
    connection.catch_up();
    let plan = retire("br-int", 7, &connection.vswitch()).expect("not refused").expect("something to do");
    connection.transact(&plan.transaction).expect("a plan is valid");
    let vswitch = connection.vswitch();
    assert_eq!(retire("br-int", 7, &vswitch), Ok(None));
    let (_, bridge) = vswitch.bridge("br-int").expect("stays");
    let ports: Vec<&str> = vswitch.ports_of(bridge).map(|(_, port)| port.name.as_str()).collect();
    assert!(ports.contains(&"tap0") && ports.contains(&"br-int") && ports.len() == 2, "{ports:?}");
    assert_eq!(vswitch.controllers, BTreeMap::new());
}

/// A monitor in one dialect, without a session.
struct Monitor {
    stream: UnixStream,
    decoder: Decoder,
    dialect: Dialect,
    replica: Replica,
}

impl Monitor {
    fn start(server: &Server, dialect: Dialect) -> Self {
        let stream = UnixStream::connect(server.socket()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let decoder = Decoder::new(CodecLimits { frame_len_max: 1 << 20, depth_max: 32 });
        let mut monitor = Self { stream, decoder, dialect, replica: Replica::new(&SCHEMA, 1 << 20) };
        let rows = monitor.request(dialect.method(), dialect.params(&SCHEMA)).expect("understood");
        monitor.replica.apply_reply(dialect, &rows).expect("consistent");
        monitor
    }

    /// Sends a request and applies notices until it is answered.
    fn request(
        &mut self,
        method: &str,
        params: Vec<serde_json::Value>,
    ) -> Result<serde_json::Value, serde_json::Value> {
        let request = Message::Request { id: json!(method), method: method.to_owned(), params };
        self.stream.write_all(&encode(&request)).expect("the server reads");
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next().expect("JSON-RPC") {
                Some(Message::Response { outcome, .. }) => return outcome,
                Some(Message::Notification { params, .. }) => {
                    self.replica.apply_notice(self.dialect, &params).expect("consistent");
                }
                Some(Message::Request { .. }) => {}
                None => {
                    let len = self.stream.read(&mut buffer).expect("the server answers");
                    self.decoder.push(&buffer[..len]);
                }
            }
        }
    }
}

#[test]
fn all_dialects_tell_the_same() {
    let Some(server) = Server::start("all_dialects_tell_the_same") else {
        return;
    };
    server.vsctl("add-br br-old -- set Bridge br-old external_ids:x=y fail_mode=secure");
    let mut monitors =
        [Dialect::CondSince, Dialect::Cond, Dialect::Plain].map(|dialect| Monitor::start(&server, dialect));
    let mut connection = server.connect();
    connection.settle(&desired());
    for change in [
        "set Bridge br-old external_ids:x=z external_ids:k=v",
        "remove Bridge br-old external_ids x",
        "add Bridge br-old protocols OpenFlow10,OpenFlow13",
        "remove Bridge br-old protocols OpenFlow10",
        "del-fail-mode br-old -- add-port br-old p tag=5",
        "set Port p tag=6",
        "del-port p",
        "del-br br-int",
    ] {
        server.vsctl(change);
        connection.catch_up();
        for monitor in &mut monitors {
            monitor.request("list_dbs", Vec::new()).expect("answered");
            assert_eq!(Vswitch::read(&monitor.replica), connection.vswitch(), "{:?}: {change}", monitor.dialect);
        }
    }
}

#[test]
fn an_idle_session_is_kept_by_echoes() {
    let Some(server) = Server::start("an_idle_session_is_kept_by_echoes") else {
        return;
    };
    let mut connection = server.connect();
    // As if 5 s had passed.
    connection.started -= Duration::from_secs(5);
    connection.session.tick(connection.started.elapsed());
    let sent = connection.wait_for("our echo", |event, _| match event {
        Event::Send(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    });
    assert_eq!(sent, r#"{"id":"echo","method":"echo","params":[]}"#);
    let asked = connection.session.deadline();
    while connection.session.deadline() == asked {
        connection.read();
    }
    connection.catch_up();
}
