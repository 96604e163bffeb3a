//! The server by itself, and against the controller's client.

use super::server::{Output, Server};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use selvedge_net::ovsdb::session::{Event, Limits, Session};
use selvedge_net::ovsdb::vswitch::SCHEMA;
use serde_json::{Value as Json, json};
use std::time::Duration;

fn server() -> Server {
    Server::new(ChaCha8Rng::seed_from_u64(1))
}

fn ask(server: &mut Server, conn: u64, method: &str, params: Json) -> Vec<Json> {
    let request = json!({"id": 1, "method": method, "params": params}).to_string();
    // In two pieces, as streams deliver.
    let (head, tail) = request.as_bytes().split_at(request.len() / 2);
    server.received(Duration::ZERO, conn, head);
    server.received(Duration::ZERO, conn, tail);
    take(server)
}

fn take(server: &mut Server) -> Vec<Json> {
    let read = |output| match output {
        Output::Send(_, bytes) => serde_json::from_slice(&bytes).expect("it is JSON"),
        Output::Close(_) => json!("closed"),
    };
    server.take_output(Duration::ZERO).into_iter().map(read).collect()
}

fn transact(server: &mut Server, operations: Json) -> Vec<Json> {
    server.transact_locally(operations.as_array().expect("operations"))
}

/// A bridge with its port and interface, as `ovs-vsctl add-br` makes them.
fn bridge(server: &mut Server) -> Vec<Json> {
    transact(
        server,
        json!([
            {"op": "insert", "table": "Interface", "row": {"name": "br", "type": "internal"}, "uuid-name": "i"},
            {"op": "insert", "table": "Port", "row": {"name": "br", "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"},
            {"op": "insert", "table": "Bridge", "row": {"name": "br", "ports": ["named-uuid", "p"]}, "uuid-name": "b"},
            {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", "insert", ["named-uuid", "b"]]]},
        ]),
    )
}

#[test]
fn rows_live_as_long_as_something_refers_to_them() {
    let mut server = server();
    assert!(bridge(&mut server).iter().all(|result| result.get("error").is_none()));
    let count = |server: &Server, table: &str| server.database.rows(table).count();
    assert_eq!((count(&server, "Bridge"), count(&server, "Port"), count(&server, "Interface")), (1, 1, 1));
    transact(
        &mut server,
        json!([{"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": ["set", []]}}]),
    );
    assert_eq!((count(&server, "Bridge"), count(&server, "Port"), count(&server, "Interface")), (0, 0, 0));
}

#[test]
fn a_transaction_is_done_whole_or_not_at_all() {
    let mut server = server();
    bridge(&mut server);
    let error = |results: &[Json]| results.iter().find_map(|result| result["error"].as_str().map(str::to_string));
    let results = transact(
        &mut server,
        json!([
            {"op": "update", "table": "Bridge", "where": [], "row": {"fail_mode": "secure"}},
            {"op": "wait", "timeout": 0, "table": "Bridge", "where": [], "columns": ["fail_mode"], "until": "==", "rows": [{"fail_mode": "standalone"}]},
        ]),
    );
    assert_eq!(error(&results).as_deref(), Some("timed out"));
    let (_, row) = server.database.rows("Bridge").next().expect("there is one");
    assert!(row["fail_mode"].is_empty(), "the update is undone");
    let results =
        transact(&mut server, json!([{"op": "update", "table": "Bridge", "where": [], "row": {"fail_mode": "x"}}]));
    assert_eq!(error(&results).as_deref(), Some("constraint violation"));
    assert_eq!(error(&bridge(&mut server)).as_deref(), Some("constraint violation"), "two of one name");
    let nobody = "11111111-1111-4111-8111-111111111111";
    let dangling = json!([{"op": "update", "table": "Bridge", "where": [], "row": {"ports": ["uuid", nobody]}}]);
    assert_eq!(error(&transact(&mut server, dangling)).as_deref(), Some("referential integrity violation"));
}

#[test]
fn conditions_and_mutations_work_on_maps() {
    let mut server = server();
    bridge(&mut server);
    let ids = json!(["map", [["a", "1"], ["b", "2"]]]);
    transact(
        &mut server,
        json!([{"op": "mutate", "table": "Bridge", "where": [], "mutations": [["external_ids", "insert", ids]]}]),
    );
    let select = |server: &mut Server, function: &str, argument: Json| {
        let results = transact(
            server,
            json!([{"op": "select", "table": "Bridge", "where": [["external_ids", function, argument]], "columns": ["name"]}]),
        );
        results[0]["rows"].as_array().expect("rows").len()
    };
    assert_eq!(select(&mut server, "includes", json!(["map", [["a", "1"]]])), 1);
    assert_eq!(select(&mut server, "includes", json!(["map", [["a", "2"]]])), 0);
    assert_eq!(select(&mut server, "excludes", json!(["map", [["a", "2"]]])), 1);
    transact(
        &mut server,
        json!([{"op": "mutate", "table": "Bridge", "where": [], "mutations": [["external_ids", "delete", ["set", ["a"]]]]}]),
    );
    let (_, row) = server.database.rows("Bridge").next().expect("there is one");
    assert_eq!((row["external_ids"].entry("a"), row["external_ids"].entry("b")), (None, Some("2")));
}

#[test]
fn monitors_tell_what_was_asked_before_the_reply() {
    let mut server = server();
    server.connected(Duration::ZERO, 1);
    server.connected(Duration::ZERO, 2);
    let reply = ask(
        &mut server,
        1,
        "monitor_cond",
        json!(["Open_vSwitch", "m", {"Bridge": [{"columns": ["name", "fail_mode"]}]}]),
    );
    assert_eq!(reply[0]["result"], json!({}));
    bridge(&mut server);
    let told = take(&mut server);
    let rows = told[0]["params"][1]["Bridge"].as_object().expect("rows");
    assert_eq!(rows.values().next(), Some(&json!({"insert": {"name": "br"}})));
    let update = json!({"op": "update", "table": "Bridge", "where": [], "row": {"fail_mode": "secure", "protocols": "OpenFlow15"}});
    let told = ask(&mut server, 1, "transact", json!(["Open_vSwitch", update]));
    assert_eq!(told[0]["method"], "update2");
    assert_eq!(told[1]["result"], json!([{"count": 1}]));
    let rows = told[0]["params"][1]["Bridge"].as_object().expect("rows");
    assert_eq!(rows.values().next(), Some(&json!({"modify": {"fail_mode": "secure"}})));
    let unseen = json!([{"op": "update", "table": "Bridge", "where": [], "row": {"stp_enable": true}}]);
    transact(&mut server, unseen);
    assert!(take(&mut server).is_empty());
}

#[test]
fn nonsense_ends_a_connection_and_nothing_else() {
    let mut server = server();
    server.connected(Duration::ZERO, 1);
    server.connected(Duration::ZERO, 2);
    server.received(Duration::ZERO, 1, b"{]");
    assert_eq!(take(&mut server), [json!("closed")]);
    assert_eq!(ask(&mut server, 2, "nonsense", json!([]))[0]["error"], "unknown method");
    assert_eq!(ask(&mut server, 2, "echo", json!(["x"]))[0]["result"], json!(["x"]));
}

#[test]
fn faults_lose_a_reply_and_refuse_a_transaction() {
    let mut server = server();
    server.connected(Duration::ZERO, 1);
    let update =
        json!(["Open_vSwitch", {"op": "update", "table": "Open_vSwitch", "where": [], "row": {"ovs_version": "9"}}]);
    server.faults.refuse = true;
    assert_eq!(ask(&mut server, 1, "transact", update.clone())[0]["result"][0]["error"], "timed out");
    server.faults.lose_reply = true;
    assert!(ask(&mut server, 1, "transact", update).is_empty());
    let (_, root) = server.database.root().expect("there is one");
    assert_eq!(root["ovs_version"].text(), Some("9"));
    assert_eq!(server.lost, (1, 1));
}

/// Carries bytes between the controller's client and the server until both are silent.
fn converse(session: &mut Session, server: &mut Server) {
    loop {
        let mut silent = true;
        while let Some(event) = session.poll() {
            if let Event::Send(bytes) = event {
                server.received(Duration::ZERO, 1, &bytes);
                silent = false;
            }
        }
        for output in server.take_output(Duration::ZERO) {
            let Output::Send(_, bytes) = output else { panic!("the server closed") };
            session.receive(Duration::ZERO, &bytes);
            silent = false;
        }
        if silent {
            return;
        }
    }
}

#[test]
fn the_controllers_client_sees_what_the_server_has() {
    let mut server = server();
    server.connected(Duration::ZERO, 1);
    bridge(&mut server);
    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    converse(&mut session, &mut server);
    transact(&mut server, json!([{"op": "update", "table": "Bridge", "where": [], "row": {"fail_mode": "secure"}}]));
    let ids = json!(["map", [["iface-id", "v1"]]]);
    transact(
        &mut server,
        json!([{"op": "update", "table": "Interface", "where": [], "row": {"ofport": 7, "external_ids": ids}}]),
    );
    converse(&mut session, &mut server);
    for table in ["Bridge", "Port", "Interface", "Open_vSwitch"] {
        let replica = session.replica().table(table);
        let rows: Vec<_> = server.database.rows(table).collect();
        assert_eq!(replica.len(), rows.len(), "{table}");
        for (uuid, row) in rows {
            for column in SCHEMA.table(table).expect("it is watched").columns {
                let seen = replica[&uuid].get(column.name).encode();
                assert_eq!(seen, row[column.name].json(), "{table}.{}", column.name);
            }
        }
    }
}
