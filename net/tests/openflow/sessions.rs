//! Sessions and bundles end as they should, whatever the peer does and however long it takes.

use selvedge_core::flow::{GroupId, Match};
use selvedge_net::openflow::bundle::{BundleRun, Failure, Outcome};
use selvedge_net::openflow::codec::{Decoder, encode};
use selvedge_net::openflow::error::ErrorCode;
use selvedge_net::openflow::flows::{FlowFilter, FlowMod};
use selvedge_net::openflow::groups::GroupMod;
use selvedge_net::openflow::message::{
    AsyncConfig, AsyncKind, Body, BundleControl, BundleFlags, BundleId, BundleStep, ErrorMessage, Features, Hello,
    Message, Mod, Xid,
};
use selvedge_net::openflow::script::Script;
use selvedge_net::openflow::session::{Config, Event, SendError, Session};
use std::convert::Infallible;
use std::time::Duration;

const FEATURES: Features =
    Features { datapath_id: 0x42, buffers: 0, tables: 254, auxiliary_id: 0, capabilities: 0x24f };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn bytes_of(xid: u32, body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&Message { xid: Xid(xid), body }, &mut bytes).expect("short");
    bytes
}

/// The hello of Open vSwitch: version 1.5, no bitmap.
fn hello() -> Vec<u8> {
    bytes_of(0x1b, Body::Hello(Hello { version: 6, versions: None }))
}

/// What waits to be sent, which is sent by that.
fn sent(session: &mut Session) -> Vec<Message> {
    let mut decoder = Decoder::default();
    decoder.push(session.output());
    session.sent(session.queued());
    std::iter::from_fn(|| decoder.next_message().expect("we write well")).collect()
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.next_event()).collect()
}

/// Why the session is over; nothing else was to be told.
fn closed(session: &mut Session) -> String {
    match &events(session)[..] {
        [Event::Closed(reason)] => {
            assert_eq!(session.deadline(), None, "nothing more happens");
            assert_eq!(session.send(Body::BarrierRequest), Err(SendError::NotUp));
            reason.to_string()
        }
        other => panic!("not closed: {other:?}"),
    }
}

/// A session that came up at second 1.
fn up() -> Session {
    let mut session = Session::new(Config::default(), seconds(0));
    session.receive(seconds(1), &hello());
    let request = sent(&mut session).pop().expect("a features request");
    session.receive(seconds(1), &bytes_of(request.xid.0, Body::FeaturesReply(FEATURES)));
    assert_eq!(events(&mut session), [Event::Up(FEATURES)]);
    session
}

#[test]
fn the_handshake_is_hello_unasked_messages_and_features() {
    let unasked = AsyncConfig([(AsyncKind::PortStatusPrimary, 7)].into_iter().collect());
    let mut session = Session::new(Config { unasked: Some(unasked.clone()), ..Config::default() }, seconds(0));
    let ours = Hello { version: 6, versions: Some(0x40) };
    assert_eq!(sent(&mut session), [Message { xid: Xid(1), body: Body::Hello(ours) }]);
    assert_eq!(session.send(Body::BarrierRequest), Err(SendError::NotUp));

    session.receive(seconds(1), &hello());
    let set = Message { xid: Xid(2), body: Body::SetAsync(unasked) };
    let ask = Message { xid: Xid(3), body: Body::FeaturesRequest };
    assert_eq!(sent(&mut session), [set, ask]);
    session.receive(seconds(1), &bytes_of(3, Body::FeaturesReply(FEATURES)));
    assert_eq!(events(&mut session), [Event::Up(FEATURES)]);

    assert_eq!(session.send(Body::BarrierRequest), Ok(Xid(4)));
    session.receive(seconds(1), &bytes_of(4, Body::BarrierReply));
    assert_eq!(events(&mut session), [Event::Message(Message { xid: Xid(4), body: Body::BarrierReply })]);
}

#[test]
fn versions_are_agreed_by_bitmap_or_header() {
    let check = |version, versions, want: Option<&str>| {
        let mut session = Session::new(Config::default(), seconds(0));
        session.receive(seconds(0), &bytes_of(1, Body::Hello(Hello { version, versions })));
        match want {
            None => assert_eq!(events(&mut session), []),
            Some(reason) => assert_eq!(closed(&mut session), reason),
        }
    };
    check(6, None, None);
    check(9, None, None);
    check(6, Some(0x7e), None);
    check(4, Some(0x50), None);
    check(4, None, Some("no common version: the peer's hello says version 0x04, no bitmap"));
    check(6, Some(0x10), Some("no common version: the peer's hello says version 0x06, bitmap 0x10"));
}

#[test]
fn a_peer_that_makes_no_sense_is_closed_with_a_reason() {
    let check = |bytes: &[u8], want: &str| {
        let mut session = Session::new(Config::default(), seconds(0));
        session.receive(seconds(0), bytes);
        assert_eq!(closed(&mut session), want);
    };
    check(b"GET / HTTP/1.1\r\n", "the peer did not begin with a hello");
    check(&[6, 0, 0, 7, 0, 0, 0, 0], "a message claims a length of 7 bytes, but its header has 8");
    check(&bytes_of(1, Body::BarrierReply), "the peer did not begin with a hello");
    let refusal = ErrorMessage { code: ErrorCode::INCOMPATIBLE, data: b"we only do 1.3".to_vec() };
    check(
        &bytes_of(1, Body::Error(refusal)),
        "the peer refused our hello: OFPHFC_INCOMPATIBLE: no common version (we only do 1.3)",
    );

    let mut session = up();
    session.receive(seconds(2), &[6, 12, 0, 8, 0, 0, 0, 0]);
    assert_eq!(closed(&mut session), "OFPT_PORT_STATUS with xid 0x0: OFPT_PORT_STATUS is cut short");
    let mut session = up();
    session.receive(seconds(2), &[4, 20, 0, 8, 0, 0, 0, 0]);
    assert_eq!(closed(&mut session), "message type 20 is in OpenFlow version 0x04; 0x06 (1.5) is spoken here");
}

#[test]
fn a_refused_handshake_is_the_end() {
    let mut session = Session::new(Config::default(), seconds(0));
    session.receive(seconds(0), &hello());
    let refusal = ErrorMessage { code: ErrorCode { kind: 1, code: 5 }, data: Vec::new() };
    session.receive(seconds(0), &bytes_of(2, Body::Error(refusal)));
    assert_eq!(closed(&mut session), "the peer refused the handshake: OFPBRC_EPERM: not permitted");
}

#[test]
fn silence_is_asked_about_and_then_the_end() {
    let mut session = up();
    assert_eq!(session.deadline(), Some(seconds(6)));
    session.tick(seconds(5));
    assert_eq!(sent(&mut session), [], "not yet");
    session.tick(seconds(6));
    let [Message { xid, body: Body::EchoRequest(_) }] = sent(&mut session)[..] else { panic!("an echo request") };

    session.receive(seconds(7), &bytes_of(xid.0, Body::EchoReply(Vec::new())));
    assert_eq!(events(&mut session), []);
    assert_eq!(session.deadline(), Some(seconds(12)));
    session.tick(seconds(12));
    assert_eq!(session.deadline(), Some(seconds(17)));
    session.tick(seconds(17));
    assert_eq!(closed(&mut session), "silent for 10s");

    let mut session = Session::new(Config::default(), seconds(0));
    session.tick(seconds(29));
    assert_eq!(events(&mut session), []);
    session.tick(seconds(30));
    assert_eq!(closed(&mut session), "no handshake within 30s");
}

#[test]
fn echo_requests_are_answered_at_once() {
    let mut session = up();
    session.receive(seconds(2), &bytes_of(77, Body::EchoRequest(b"hello".to_vec())));
    assert_eq!(sent(&mut session), [Message { xid: Xid(77), body: Body::EchoReply(b"hello".to_vec()) }]);
}

#[test]
fn what_is_too_long_is_not_sent() {
    let mut session = up();
    let Err(SendError::TooLong(error)) = session.send(Body::EchoRequest(vec![0; 65_528])) else { panic!("too long") };
    assert_eq!(error.to_string(), "OFPT_ECHO_REQUEST would have 65536 bytes; OpenFlow messages end at 65535");
    assert_eq!(session.queued(), 0);
    session.send(Body::EchoRequest(vec![0; 65_527])).expect("just fits");
}

/// Messages of the session before a bundle.
const BEFORE: u32 = 2;

/// A bundle of three changes under way. Messages are counted from its opening: 1 is that, 2 to 4 are the changes, 5 is the
/// closing and so on.
struct Bundle {
    run: BundleRun,
    sent: Vec<Body>,
}

impl Bundle {
    fn start() -> Bundle {
        let delete_flows = Mod::Flow(FlowMod::Delete(FlowFilter { matching: Match::any(), ..FlowFilter::default() }));
        let delete_group = Mod::Group(GroupMod::Delete(GroupId(1)));
        let changes = [delete_flows, delete_group.clone(), delete_group];
        let script = Script::of(changes).expect("short").remove(0);
        let mut session = up();
        let first = session.send_script(BundleId(9), &script).expect("the session is up");
        let sent: Vec<Message> = sent(&mut session);
        assert_eq!(first, Xid(BEFORE + 1));
        Bundle {
            run: BundleRun::start(BundleId(9), &script, first),
            sent: sent.into_iter().map(|one| one.body).collect(),
        }
    }

    fn receive(&mut self, xid: u32, body: Body) -> Option<Outcome> {
        let message = Message { xid: Xid(BEFORE + xid), body };
        self.run.handle(&message, sender(&mut self.sent)).expect("infallible")
    }

    fn steps(&self) -> Vec<BundleStep> {
        let step = |body: &Body| match body {
            Body::BundleControl(control) => Some(control.step),
            _ => None,
        };
        self.sent.iter().filter_map(step).collect()
    }
}

fn sender(sent: &mut Vec<Body>) -> impl FnMut(Body) -> Result<Xid, Infallible> {
    |body| {
        sent.push(body);
        Ok(Xid(BEFORE + sent.len() as u32))
    }
}

fn reply(step: BundleStep) -> Body {
    Body::BundleControl(BundleControl { bundle: BundleId(9), step, flags: BundleFlags::NONE })
}

fn error(code: ErrorCode) -> Body {
    Body::Error(ErrorMessage { code, data: Vec::new() })
}

#[test]
fn a_bundle_is_committed_when_all_of_it_has_arrived() {
    let mut bundle = Bundle::start();
    assert_eq!(bundle.receive(1, reply(BundleStep::OpenReply)), None);
    assert_eq!(bundle.steps(), [BundleStep::OpenRequest, BundleStep::CloseRequest]);
    assert_eq!(bundle.receive(77, error(ErrorCode::STALE)), None, "not about this bundle");
    assert_eq!(bundle.receive(5, reply(BundleStep::CloseReply)), None);
    assert_eq!(bundle.steps()[2..], [BundleStep::CommitRequest]);
    assert_eq!(bundle.receive(6, reply(BundleStep::CommitReply)), Some(Outcome::Committed));
    assert_eq!(bundle.receive(6, reply(BundleStep::CommitReply)), None, "told once");
}

#[test]
fn a_bundle_that_did_not_all_arrive_is_discarded() {
    let mut bundle = Bundle::start();
    assert_eq!(bundle.receive(3, error(ErrorCode::BAD_OUT_GROUP)), None);
    assert_eq!(bundle.receive(4, error(ErrorCode::STALE)), None);
    assert_eq!(bundle.receive(5, reply(BundleStep::CloseReply)), None);
    assert_eq!(bundle.steps()[2..], [BundleStep::DiscardRequest]);
    let failure = Failure { index: Some(1), code: ErrorCode::BAD_OUT_GROUP };
    assert_eq!(bundle.receive(6, reply(BundleStep::DiscardReply)), Some(Outcome::Failed(failure)));
    assert_eq!(failure.to_string(), "change 1: OFPBAC_BAD_OUT_GROUP: no such group to output to");
}

#[test]
fn a_commit_that_fails_blames_the_change() {
    let mut bundle = Bundle::start();
    assert_eq!(bundle.receive(5, reply(BundleStep::CloseReply)), None);
    assert_eq!(bundle.receive(4, error(ErrorCode::UNKNOWN_GROUP)), None);
    let failure = Failure { index: Some(2), code: ErrorCode::UNKNOWN_GROUP };
    assert_eq!(bundle.receive(6, error(ErrorCode::MESSAGE_FAILED)), Some(Outcome::Failed(failure)));

    let mut bundle = Bundle::start();
    assert_eq!(bundle.receive(5, reply(BundleStep::CloseReply)), None);
    let failure = Failure { index: None, code: ErrorCode::MESSAGE_FAILED };
    assert_eq!(bundle.receive(6, error(ErrorCode::MESSAGE_FAILED)), Some(Outcome::Failed(failure)));
}

#[test]
fn a_bundle_that_cannot_be_closed_is_discarded() {
    let mut bundle = Bundle::start();
    assert_eq!(bundle.receive(1, error(ErrorCode::BAD_TYPE)), None);
    assert_eq!(bundle.receive(2, error(ErrorCode::STALE)), None);
    assert_eq!(bundle.receive(5, error(ErrorCode::BAD_TYPE)), None);
    assert_eq!(bundle.steps()[2..], [BundleStep::DiscardRequest]);
    let failure = Failure { index: Some(0), code: ErrorCode::STALE };
    assert_eq!(bundle.receive(6, error(ErrorCode::BAD_TYPE)), Some(Outcome::Failed(failure)));
}
