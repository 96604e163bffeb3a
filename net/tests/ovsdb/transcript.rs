//! Recorded sessions with Open vSwitch (`tests/transcripts/`) replayed: however the bytes are cut, the messages are the
//! same, and the replica that they lead to is the one that the switch had.
//!
//! In a transcript, `> ` is what we sent, `< ` what the switch sent, `#` a comment.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use selvedge_net::ovsdb::codec::{Decoder, Limits, Message, encode};
use selvedge_net::ovsdb::plan::{DesiredSwitch, DesiredTunnel, plan};
use selvedge_net::ovsdb::replica::{Dialect, Replica, Row};
use selvedge_net::ovsdb::schema::{Base, Column, Schema, Table};
use selvedge_net::ovsdb::session::{Event, Limits as SessionLimits, Session};
use selvedge_net::ovsdb::vswitch::{SCHEMA, Vif, Vswitch, vifs};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SESSION: &str = include_str!("../transcripts/ovsdb-session.txt");
const RESYNC: &str = include_str!("../transcripts/ovsdb-resync.txt");
pub const VSWITCH: &str = include_str!("../transcripts/ovsdb-vswitch.txt");

const LIMITS: Limits = Limits { frame_len_max: 1 << 20, depth_max: 32 };

/// The messages of one direction, `"> "` or `"< "`.
pub fn lines(transcript: &'static str, direction: &'static str) -> Vec<&'static str> {
    let lines: Vec<&str> = transcript.lines().filter_map(|line| line.strip_prefix(direction)).collect();
    assert!(!lines.is_empty(), "a transcript has both directions");
    lines
}

/// What a decoder makes of these pieces of a stream.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut decoder = Decoder::new(LIMITS);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(message) = decoder.next().expect("real switches speak JSON-RPC") {
            messages.push(message);
        }
    }
    assert_eq!(decoder.buffered(), 0, "recorded messages are complete");
    messages
}

#[test]
fn every_recorded_message_decodes_and_survives_encoding() {
    for transcript in [SESSION, RESYNC, VSWITCH] {
        for direction in ["> ", "< "] {
            // One line was sent to see what becomes of it: it is no message.
            let lines = lines(transcript, direction).into_iter().filter(|line| *line != "]");
            for line in lines {
                let messages = decode([line.as_bytes()]);
                assert_eq!(messages.len(), 1, "{line}");
                assert_eq!(decode([encode(&messages[0]).as_slice()]), messages, "{line}");
            }
        }
    }
}

#[test]
fn any_split_of_the_stream_gives_the_same_messages() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for transcript in [SESSION, RESYNC, VSWITCH] {
        let lines = lines(transcript, "< ");
        let stream = lines.concat().into_bytes();
        let whole = decode([stream.as_slice()]);
        assert_eq!(whole.len(), lines.len());
        assert_eq!(decode(stream.chunks(1)), whole, "byte by byte");
        for _ in 0..100 {
            let piece_len_max = 1 + random.next_u32() % 5000;
            let pieces = split(&stream, || (1 + random.next_u32() % piece_len_max) as usize);
            assert_eq!(decode(pieces), whole, "pieces of up to {piece_len_max}");
        }
    }
}

/// Cuts a stream into pieces of these lengths.
pub fn split(mut stream: &[u8], mut piece_len: impl FnMut() -> usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(piece_len().min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// A monitor that someone else asked for, as if it had been ours.
fn replay(transcript: &'static str, dialect: Dialect, id: &Json, request: u64, schema: &'static Schema) -> Replica {
    let mut replica = Replica::new(schema, 1 << 20);
    let mut replied = false;
    for message in decode([lines(transcript, "< ").concat().as_bytes()]) {
        match message {
            Message::Response { id, outcome: Ok(result) } if id == request && !replied => {
                replica.apply_reply(dialect, &result).expect("reply");
                replied = true;
            }
            Message::Notification { method, mut params } if method == dialect.notice() && params[0] == *id => {
                params[0] = json!("selvedge");
                replica.apply_notice(dialect, &params).expect("notice");
            }
            Message::Notification { .. } | Message::Response { .. } | Message::Request { .. } => {}
        }
    }
    replica
}

/// A column of the row of that name, as JSON.
fn column(replica: &Replica, table: &str, name: &str, column: &str) -> Option<Json> {
    let row = replica.table(table).values().find(|row: &&Row| row.string("name") == name)?;
    Some(row.get(column).encode())
}

#[test]
fn plain_updates_are_followed() {
    static WATCHED: Schema = Schema {
        database: "Open_vSwitch",
        tables: &[
            Table {
                name: "Bridge",
                columns: &[
                    Column::one("name", Base::String),
                    Column::set("ports", Base::Uuid),
                    Column::optional("fail_mode", Base::String),
                ],
            },
            Table {
                name: "Interface",
                columns: &[Column::one("name", Base::String), Column::optional("ofport", Base::Integer)],
            },
        ],
    };
    let replica = replay(SESSION, Dialect::Plain, &json!(["m", 1]), 10, &WATCHED);
    let ports = column(&replica, "Bridge", "br-int", "ports").expect("bridge");
    assert_eq!(ports[1].as_array().expect("a set").len(), 3, "the tunnel came and went");
    assert_eq!(column(&replica, "Bridge", "br-phy", "fail_mode"), Some(json!("standalone")));
    assert_eq!(column(&replica, "Interface", "tun1", "ofport"), Some(json!(3)), "deletion was not selected");
}

#[test]
fn conditional_updates_are_followed() {
    static WATCHED: Schema = Schema {
        database: "Open_vSwitch",
        tables: &[Table {
            name: "Port",
            columns: &[
                Column::one("name", Base::String),
                Column::optional("tag", Base::Integer),
                Column::set("interfaces", Base::Uuid),
            ],
        }],
    };
    let replica = replay(SESSION, Dialect::Cond, &json!(["m", 2]), 11, &WATCHED);
    assert_eq!(column(&replica, "Port", "br-int", "tag"), None, "the condition moved on");
    let interface = json!(["uuid", "1cef34d9-c57d-4adf-9879-63d1afb16645"]);
    assert_eq!(column(&replica, "Port", "br-phy", "interfaces"), Some(interface));
}

#[test]
fn updates_since_are_followed() {
    static WATCHED: Schema = Schema {
        database: "Open_vSwitch",
        tables: &[
            Table {
                name: "Open_vSwitch",
                columns: &[
                    Column::one("next_cfg", Base::Integer),
                    Column::one("cur_cfg", Base::Integer),
                    Column::string_map("external_ids"),
                    Column::set("iface_types", Base::String),
                ],
            },
            Table {
                name: "Interface",
                columns: &[
                    Column::one("name", Base::String),
                    Column::string_map("external_ids"),
                    Column::optional("ofport", Base::Integer),
                    Column::optional("error", Base::String),
                ],
            },
        ],
    };
    let replica = replay(SESSION, Dialect::CondSince, &json!(["m", 3]), 12, &WATCHED);
    let switch = replica.table("Open_vSwitch").values().next().expect("one row");
    assert_eq!((switch.integer("next_cfg"), switch.integer("cur_cfg")), (7, 7));
    assert!(replica.table("Interface").is_empty(), "the tunnel came and went");
}

#[test]
fn a_map_difference_sets_once_and_removes_the_second_time() {
    static WATCHED: Schema = Schema {
        database: "Open_vSwitch",
        tables: &[Table {
            name: "Bridge",
            columns: &[Column::one("name", Base::String), Column::string_map("external_ids")],
        }],
    };
    let replica = replay(RESYNC, Dialect::CondSince, &json!("n"), 2, &WATCHED);
    let expected = json!(["map", [["a", "1"], ["b", "2"]]]);
    assert_eq!(column(&replica, "Bridge", "br-int", "external_ids"), Some(expected));
}

/// What the session in `ovsdb-vswitch.txt` wanted.
fn desired() -> DesiredSwitch {
    let tunnel = |kind: &str, local_ip: Option<&str>, ofport| DesiredTunnel {
        kind: kind.to_owned(),
        local_ip: local_ip.map(|address| address.parse().expect("an address")),
        ofport,
    };
    DesiredSwitch {
        bridge: "br-int".to_owned(),
        controllers: ["tcp:10.254.0.1:6653".to_owned()].into(),
        managers: BTreeSet::new(),
        tunnels: [
            ("sv-geneve".to_owned(), tunnel("geneve", Some("172.31.1.1"), 65001)),
            ("sv-vxlan".to_owned(), tunnel("vxlan", None, 65002)),
        ]
        .into(),
        epoch: 7,
    }
}

fn next_send(session: &mut Session) -> Option<String> {
    while let Some(event) = session.poll() {
        match event {
            Event::Send(bytes) => return Some(String::from_utf8(bytes).expect("JSON")),
            Event::Closed { reason } => panic!("{reason}"),
            Event::TransactionDone { result, .. } => drop(result.expect("it was committed")),
            Event::Ready | Event::Changed(_) => {}
        }
    }
    None
}

#[test]
fn a_session_with_a_whole_switch_says_the_same_again() {
    let mut now = Duration::ZERO;
    let mut session = Session::new(now, SessionLimits::default(), &SCHEMA);
    for line in VSWITCH.lines() {
        let Some((direction, message)) = line.split_at_checked(2) else {
            continue;
        };
        let vswitch = Vswitch::read(session.replica());
        match direction {
            "< " => session.receive(now, message.as_bytes()),
            "> " if message.contains("transact") => {
                let plan = plan(&desired(), &vswitch).expect("not fenced").expect("much to do");
                session.transact(now, &plan.transaction).expect("the first");
                assert_eq!(next_send(&mut session).as_deref(), Some(message));
            }
            "> " if message.contains("echo") => {
                now = session.deadline().expect("open");
                session.tick(now);
                assert_eq!(next_send(&mut session).as_deref(), Some(message));
            }
            "> " => assert_eq!(next_send(&mut session).as_deref(), Some(message)),
            _ => {}
        }
    }
    assert_eq!(next_send(&mut session), None);

    let vswitch = Vswitch::read(session.replica());
    assert_eq!(plan(&desired(), &vswitch), Ok(None), "the plan did it");
    let vif = Vif {
        vif_id: "vif-1".to_owned(),
        interface: "web".to_owned(),
        ofport: Some(1),
        attached_mac: Some("00:00:00:00:00:01".to_owned()),
        active: true,
        error: None,
    };
    assert_eq!(vifs(&vswitch, "br-int"), [vif]);
    let ofports = ["sv-geneve", "sv-vxlan"].map(|name| {
        let interface = vswitch.interfaces.values().find(|interface| interface.name == name);
        interface.and_then(|interface| interface.ofport)
    });
    assert_eq!(ofports, [Some(65001), Some(65002)], "the numbers asked for");
}
