//! Hostile bytes: nothing panics, and nothing allocates more than a message of that size may.
//!
//! Recorded messages of real Open vSwitch are damaged by a seeded generator and given to the decoder and to a session that
//! is up. All memory that is asked for is counted, by an allocator that does nothing else. A message becomes larger
//! when it is decoded, since each field and action has room for the largest there is, but only by a factor.

#![allow(unsafe_code)]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use selvedge_net::openflow::codec::{Decoder, decode, encode};
use selvedge_net::openflow::message::{Body, Features, Hello, Message, Xid};
use selvedge_net::openflow::session::{Config, Event, Session};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

#[path = "openflow/transcripts.rs"]
mod transcripts;

/// Damaged messages in a run.
const INPUTS: usize = 120_000;
/// Bytes asked for in all, for each byte of the message.
const FACTOR: usize = 40;
/// The room that the first few items of a list get.
const SLACK: usize = 4096;

struct Counting;

thread_local! {
    static ASKED_FOR: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ASKED_FOR.with(|asked_for| asked_for.set(asked_for.get() + bytes));
}

// SAFETY: all requests go to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes are asked for meanwhile.
fn asked_for<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ASKED_FOR.with(Cell::get);
    let result = work();
    (result, ASKED_FOR.with(Cell::get) - before)
}

/// Recorded messages, but for those that are a header alone, in which there is little to damage.
fn corpus() -> Vec<Vec<u8>> {
    let messages = transcripts::ALL.into_iter().flat_map(transcripts::messages);
    messages.filter(|message| message.len() > 8).collect()
}

/// Does one damage out of several.
fn damage(random: &mut ChaCha8Rng, frame: &mut Vec<u8>) {
    let at = random.random_range(0..frame.len());
    match random.random_range(0..6) {
        0 => frame[at] = random.random(),
        1 => frame[at] ^= 1 << random.random_range(0..8),
        2 => frame.truncate(at.max(8)),
        3 => frame.insert(at, random.random()),
        4 => {
            let end = random.random_range(at..frame.len());
            let copy = frame[at..end].to_vec();
            frame.splice(at..at, copy);
        }
        _ => {
            let extreme = [0u16, 1, 4, 7, 8, 0x7fff, 0xfff8, 0xffff][random.random_range(0..8)];
            frame.splice(at..(at + 2).min(frame.len()), extreme.to_be_bytes());
        }
    }
    frame.truncate(usize::from(u16::MAX));
}

/// Makes the header's length true, so that the damage reaches further in.
fn repair_length(frame: &mut [u8]) {
    let length = (frame.len() as u16).to_be_bytes();
    frame[2..4].copy_from_slice(&length);
}

/// A session that is up.
fn session() -> Session {
    let bytes_of = |xid, body| {
        let mut bytes = Vec::new();
        encode(&Message { xid: Xid(xid), body }, &mut bytes).expect("short");
        bytes
    };
    let features = Features { datapath_id: 1, buffers: 0, tables: 254, auxiliary_id: 0, capabilities: 0 };
    let mut session = Session::new(Config::default(), Duration::ZERO);
    session.receive(Duration::ZERO, &bytes_of(1, Body::Hello(Hello { version: 6, versions: None })));
    session.receive(Duration::ZERO, &bytes_of(2, Body::FeaturesReply(features)));
    assert_eq!(session.next_event(), Some(Event::Up(features)));
    session
}

fn check(frame: &[u8]) -> bool {
    let (decoded, bytes) = asked_for(|| decode(frame));
    assert!(bytes <= FACTOR * frame.len() + SLACK, "{bytes} bytes for {} of {frame:02x?}", frame.len());
    if let Ok(message) = &decoded {
        let mut again = Vec::new();
        // A replacement for bytes that are no text is longer than they were.
        if encode(message, &mut again).is_ok() {
            assert_eq!(decode(&again).as_ref(), Ok(message), "what is read can be written: {frame:02x?}");
        }
    }
    decoded.is_ok()
}

#[test]
fn damaged_messages_are_refused_or_understood() {
    let corpus = corpus();
    let seed = std::env::var("SELVEDGE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut understood = 0;
    for _ in 0..INPUTS {
        let mut frame = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..4) {
            damage(&mut random, &mut frame);
        }
        if random.random_bool(0.9) {
            repair_length(&mut frame);
        }
        understood += usize::from(check(&frame));
    }
    assert!(
        (INPUTS / 20..INPUTS * 19 / 20).contains(&understood),
        "both happen: {understood} of {INPUTS} (seed {seed})"
    );
}

#[test]
fn damaged_streams_end_a_session_or_do_not() {
    let corpus = corpus();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..INPUTS / 20 {
        let mut stream = Vec::new();
        for _ in 0..random.random_range(1..6) {
            let mut frame = corpus[random.random_range(0..corpus.len())].clone();
            if random.random_bool(0.3) {
                damage(&mut random, &mut frame);
            }
            stream.extend(frame);
        }
        let mut session = session();
        let size = random.random_range(1..2000);
        let ((), bytes) = asked_for(|| {
            for piece in stream.chunks(size) {
                session.receive(Duration::ZERO, piece);
                while session.next_event().is_some() {}
            }
        });
        assert!(bytes <= FACTOR * stream.len() + SLACK, "{bytes} bytes for {} of {stream:02x?}", stream.len());
        assert!(session.queued() <= stream.len() + 64, "only echoes are answered");
    }
}

#[test]
fn a_decoder_keeps_no_more_than_it_was_given() {
    let mut decoder = Decoder::default();
    let (result, bytes) = asked_for(|| {
        decoder.push(&[6, 2, 0xff, 0xff, 0, 0, 0, 1]);
        decoder.next_message()
    });
    assert_eq!(result, Ok(None));
    assert!(bytes <= 64, "a length is only a promise, but {bytes} bytes were asked for");
}
