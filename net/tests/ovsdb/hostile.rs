//! Sessions whose peer sends what a real switch sent, damaged: they end with a reason or go on, but never panic,
//! and never hold more than a frame may be.

use super::transcript::{VSWITCH, lines, split};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use selvedge_net::ovsdb::codec;
use selvedge_net::ovsdb::operation::{Operation, Transaction};
use selvedge_net::ovsdb::session::{Event, Limits, Session};
use selvedge_net::ovsdb::vswitch::{SCHEMA, Vswitch, vifs};
use std::time::Duration;

const CASES: u32 = 100_000;

/// Little more than the longest message of the corpus, so that growth meets it.
const FRAME_LEN_MAX: usize = 3000;
const PIECE_LEN_MAX: usize = 2000;

/// In the transaction of the corpus.
const RECORDED_OPERATIONS: usize = 14;

/// What JSON and OVSDB give a meaning to.
const TOKENS: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\ud800",
    b"[\"set\",[]]",
    b"[\"map\",[[1,2]]]",
    b"\xff",
];

struct Mutator(ChaCha8Rng);

impl Mutator {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound.max(1) as u64) as usize
    }

    /// Damages some bytes in one to three ways.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let len = self.below((bytes.len() - at).min(64));
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..at + len)),
                3 => {
                    let copy = bytes[at..at + len].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                4 => {
                    let times = 1 << self.below(6);
                    let token = TOKENS[self.below(TOKENS.len())].repeat(times);
                    bytes.splice(at..at + len, token);
                }
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.iter().copied());
                }
            }
        }
    }
}

fn limits() -> Limits {
    Limits { codec: codec::Limits { frame_len_max: FRAME_LEN_MAX, depth_max: 16 }, ..Limits::default() }
}

/// Of as many operations as the recorded reply is about.
fn transaction() -> Transaction {
    let mut transaction = Transaction::new("Open_vSwitch");
    for _ in 0..RECORDED_OPERATIONS {
        transaction.push(Operation::Comment("hello".to_owned()));
    }
    transaction
}

/// Plays a whole session and returns why it ended, if it did. Everything that must hold is asserted on the way.
fn play(stream: &[u8], mutator: &mut Mutator) -> Option<String> {
    let mut session = Session::new(Duration::ZERO, limits(), &SCHEMA);
    session.transact(Duration::ZERO, &transaction()).expect("the first");
    let mut transactions_done = 0;
    let mut closed = None;
    for piece in split(stream, || 1 + mutator.below(PIECE_LEN_MAX)) {
        session.receive(Duration::ZERO, piece);
        session.tick(Duration::ZERO);
        assert!(session.buffered() <= FRAME_LEN_MAX, "holds {} bytes", session.buffered());
        while let Some(event) = session.poll() {
            assert_eq!(closed, None, "nothing comes after the end, but {event:?}");
            match event {
                Event::TransactionDone { .. } => transactions_done += 1,
                Event::Closed { reason } => closed = Some(reason.to_string()),
                Event::Ready | Event::Changed(_) | Event::Send(_) => {}
            }
        }
    }
    assert!(transactions_done <= 1 && (closed.is_none() || transactions_done == 1), "one transaction, one end");
    // Reads every column of every row: whatever came, values have the types declared.
    vifs(&Vswitch::read(session.replica()), "br-int");
    closed
}

#[test]
fn damaged_sessions_end_in_good_order() {
    let mut mutator = Mutator(ChaCha8Rng::seed_from_u64(7047));
    let golden: Vec<&[u8]> = lines(VSWITCH, "< ").into_iter().map(str::as_bytes).collect();
    assert!(golden.iter().all(|line| line.len() <= FRAME_LEN_MAX), "what is real passes");
    assert_eq!(play(&golden.concat(), &mut mutator), None, "what is real passes");

    let mut ended = 0;
    for _ in 0..CASES {
        let damaged = mutator.below(golden.len());
        let mut line = golden[damaged].to_vec();
        mutator.mutate(&mut line);
        let stream = [&golden[..damaged].concat(), &line, &golden[damaged + 1..].concat()].map(Vec::as_slice).concat();
        ended += u32::from(play(&stream, &mut mutator).is_some());
    }
    assert!((CASES / 2..CASES).contains(&ended), "damage is mostly seen, and not always: {ended}");
}
