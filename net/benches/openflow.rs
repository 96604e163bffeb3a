//! How many flow mods can be written and read in a second. `cargo bench -p selvedge-net --bench openflow`.

use divan::Bencher;
use divan::counter::ItemsCount;
use selvedge_core::flow::{Action, Actions, Field, Flow, FlowBody, FlowKey, Match};
use selvedge_core::ids::OfPort;
use selvedge_net::openflow::codec::{decode, encode};
use selvedge_net::openflow::flows::FlowMod;
use selvedge_net::openflow::message::{Body, Message, Xid};
use std::sync::Arc;

fn main() {
    divan::main();
}

/// The flow that sends what is for a remote port through a tunnel.
fn typical() -> Message {
    let matching =
        Match::any().exact(Field::Metadata, 5u32).exact(Field::Reg(15), 7u32).masked(Field::Reg(10), 0u32, 1u32);
    let actions = Actions::from([
        Action::set(Field::TunId, 5u32),
        Action::set(Field::TunDst, 0xac1f_0102u32),
        Action::Output(OfPort(1)),
    ]);
    let key = Arc::new(FlowKey { table: 7, priority: 50, matching });
    let flow = Flow { key, body: Arc::new(FlowBody { cookie: 9, actions }) };
    Message { xid: Xid(1), body: Body::FlowMod(FlowMod::Add(flow)) }
}

#[divan::bench]
fn encode_flow_mod(bencher: Bencher) {
    let message = typical();
    let mut out = Vec::with_capacity(1024);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        out.clear();
        encode(divan::black_box(&message), &mut out).expect("short");
        divan::black_box(&out);
    });
}

#[divan::bench]
fn decode_flow_mod(bencher: Bencher) {
    let mut bytes = Vec::new();
    encode(&typical(), &mut bytes).expect("short");
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| decode(divan::black_box(&bytes)));
}
