//! A session against a peer played by hand, line by line.

use super::super::operation::Operation;
use super::super::schema::{Base, Column, Table};
use super::*;
use std::fmt::Write;

static SCHEMA: Schema =
    Schema { database: "db", tables: &[Table { name: "Bridge", columns: &[Column::one("name", Base::String)] }] };

const SECOND: Duration = Duration::from_secs(1);
const READY: &str = r#"{"id":0,"result":[false,"0",{"Bridge":{}}],"error":null}"#;

/// A session that was answered at time 0.
fn ready() -> Session {
    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    session.receive(Duration::ZERO, READY.as_bytes());
    transcript(&mut session);
    session
}

fn comment() -> Transaction {
    let mut transaction = Transaction::new("db");
    transaction.push(Operation::Comment("x".to_owned()));
    transaction
}

/// What the session said since the last time, one line each.
fn transcript(session: &mut Session) -> String {
    let mut lines = String::new();
    while let Some(event) = session.poll() {
        match event {
            Event::Send(bytes) => writeln!(lines, "> {}", String::from_utf8_lossy(&bytes)),
            Event::Ready => writeln!(lines, "ready"),
            Event::Changed(tables) => writeln!(lines, "changed {tables:?}"),
            Event::TransactionDone { id, result: Ok(done) } => writeln!(lines, "done {} {done:?}", id.0),
            Event::TransactionDone { id, result: Err(error) } => writeln!(lines, "failed {}: {error}", id.0),
            Event::Closed { reason } => writeln!(lines, "closed: {reason}"),
        }
        .expect("a string takes all");
    }
    lines
}

fn check(session: &mut Session, received: &str, expected: &str) {
    session.receive(Duration::ZERO, received.as_bytes());
    assert_eq!(transcript(session).trim_end(), expected, "{received}");
}

#[test]
fn speaks_first_and_is_ready_when_answered() {
    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    assert_eq!(
        transcript(&mut session),
        r#"> {"id":0,"method":"monitor_cond_since","params":["db","selvedge",{"Bridge":[{"columns":["name"]}]},"00000000-0000-0000-0000-000000000000"]}
"#
    );
    check(&mut session, READY, "ready");
    let row = "00000000-0000-0000-0000-00000000000a";
    let update = format!(
        r#"{{"id":null,"method":"update3","params":["selvedge","0",{{"Bridge":{{"{row}":{{"insert":{{}}}}}}}}]}}"#
    );
    check(&mut session, &update, r#"changed {"Bridge"}"#);
    assert_eq!(session.replica().table("Bridge").len(), 1);
}

#[test]
fn falls_back_to_what_the_server_knows() {
    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    transcript(&mut session);
    check(
        &mut session,
        r#"{"id":0,"error":"unknown method"}"#,
        r#"> {"id":1,"method":"monitor_cond","params":["db","selvedge",{"Bridge":[{"columns":["name"]}]}]}"#,
    );
    check(
        &mut session,
        r#"{"id":1,"result":null,"error":{"error":"unknown method"}}"#,
        r#"> {"id":2,"method":"monitor","params":["db","selvedge",{"Bridge":[{"columns":["name"]}]}]}"#,
    );
    check(&mut session, r#"{"id":2,"result":{},"error":null}"#, "ready");
    check(&mut session, r#"{"method":"update","params":["selvedge",{}]}"#, "");
    check(&mut session, r#"{"method":"update3","params":["selvedge","0",{}]}"#, "closed: unexpected update3");
}

#[test]
fn a_refused_monitor_ends_the_session() {
    for (error, words) in [(r#""unknown database""#, "unknown database"), (r#"{"error":"x","details":"y"}"#, "x (y)")] {
        let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
        transcript(&mut session);
        let expected = format!("closed: monitor_cond_since refused: {words}");
        check(&mut session, &format!(r#"{{"id":0,"error":{error}}}"#), &expected);
    }
}

#[test]
fn answers_the_peer() {
    let mut session = ready();
    check(
        &mut session,
        r#"{"id":"echo","method":"echo","params":[1,{}]}{"id":7,"method":"x","params":[]}"#,
        r#"> {"error":null,"id":"echo","result":[1,{}]}
> {"error":"unknown method","id":7,"result":null}"#,
    );
    check(&mut session, r#"{"method":"locked","params":["l"]}"#, "");
}

#[test]
fn transactions_end_once_each() {
    let mut session = ready();
    let ids: Vec<u64> = (0..3).map(|_| session.transact(Duration::ZERO, &comment()).expect("few").0).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(transcript(&mut session).starts_with(r#"> {"id":1,"method":"transact","params":["db",{"#));
    check(&mut session, r#"{"id":2,"result":[{}],"error":null}"#, "done 2 [Nothing]");
    check(
        &mut session,
        r#"{"id":1,"result":[{"error":"timed out"}],"error":null}"#,
        "failed 1: operation 0: timed out",
    );
    session.disconnected();
    session.disconnected();
    check(
        &mut session,
        READY,
        "failed 3: outcome unknown: the session closed first\nclosed: connection closed by the peer",
    );
    assert_eq!(session.transact(Duration::ZERO, &comment()), Err(NotSent::Closed));
    assert_eq!(session.deadline(), None);
}

#[test]
fn transactions_are_limited() {
    let limits = Limits { transactions_outstanding_max: 1, ..Limits::default() };
    let mut session = Session::new(Duration::ZERO, limits, &SCHEMA);
    session.transact(Duration::ZERO, &comment()).expect("first, though not ready");
    assert_eq!(session.transact(Duration::ZERO, &comment()), Err(NotSent::TooMany { limit: 1 }));
    session.receive(Duration::ZERO, br#"{"id":1,"result":[{}],"error":null}"#);
    session.transact(Duration::ZERO, &comment()).expect("first is done");
}

#[test]
fn silence_is_asked_about_and_then_ends() {
    let mut session = ready();
    assert_eq!(session.deadline(), Some(SECOND * 5));
    session.tick(SECOND * 4);
    assert_eq!(transcript(&mut session), "");
    session.tick(SECOND * 5);
    assert_eq!(transcript(&mut session), "> {\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}\n");
    assert_eq!(session.deadline(), Some(SECOND * 10));
    session.receive(SECOND * 9, b" ");
    session.tick(SECOND * 10);
    assert_eq!(transcript(&mut session), "");
    session.receive(SECOND * 11, br#"{"id":"echo","result":[],"error":null}"#);
    assert_eq!(session.deadline(), Some(SECOND * 16));

    session.tick(SECOND * 100);
    assert_eq!(transcript(&mut session).lines().count(), 1, "a late tick asks before it closes");
    session.tick(SECOND * 105);
    assert_eq!(transcript(&mut session), "closed: no byte for 94s, and no echo\n");
}

#[test]
fn a_peer_that_lives_but_does_not_answer_is_left() {
    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    transcript(&mut session);
    for second in 1..30 {
        session.receive(SECOND * second, b" ");
        session.tick(SECOND * second);
    }
    assert_eq!(session.deadline(), Some(SECOND * 30));
    session.tick(SECOND * 30);
    assert_eq!(transcript(&mut session), "closed: no answer to monitor_cond_since for 30s\n");
}

#[test]
fn nonsense_ends_the_session() {
    let check_closed = |received: &str, expected: &str| {
        let mut session = ready();
        check(&mut session, received, &format!("closed: {expected}"));
        check(&mut session, READY, "");
    };
    check_closed("]", &format!("byte {}: a message starts with '{{', this with ']'", READY.len()));
    check_closed(READY, "answer to a request that was not made: id 0");
    check_closed(r#"{"id":null,"result":1}"#, "answer to a request that was not made: id null");
    check_closed(r#"{"method":"update2","params":[]}"#, "unexpected update2");
    check_closed(r#"{"method":"update3","params":[]}"#, "parameters of update3 are not those of our monitor");
    check_closed(r#"{"method":"update3","params":["selvedge","0",{"Port":{}}]}"#, "table Port is not watched");

    let mut session = Session::new(Duration::ZERO, Limits::default(), &SCHEMA);
    transcript(&mut session);
    let early = r#"{"method":"update3","params":["selvedge","0",{}]}"#;
    check(&mut session, early, "closed: unexpected update3");

    let mut session = ready();
    session.transact(Duration::ZERO, &comment()).expect("few");
    transcript(&mut session);
    check(
        &mut session,
        r#"{"id":1,"result":7,"error":null}"#,
        "failed 1: outcome unknown: the session closed first
closed: nonsense in reply to a transaction of 1 operations: 7",
    );
}
