//! Every message of the recordings decodes, and encodes to the same bytes; exceptions are listed in a snapshot.
//!
//! Other bytes of the same meaning come from the hand-written controller of the recordings: it gives a priority to
//! a deletion that needs none, limits what ports other than the controller's get (max_len), and sorts async
//! properties its own way.

use crate::{snapshot, transcripts};
use selvedge_net::openflow::codec::{decode, encode};
use selvedge_net::openflow::message::{Body, Message};
use std::collections::BTreeMap;

/// What becomes of a message that is decoded and encoded.
fn verdict(frame: &[u8]) -> String {
    let message = match decode(frame) {
        Ok(message) => message,
        Err(error) => return format!("refused: {}", error.to_string().split_once(": ").expect("kind: fault").1),
    };
    let mut again = Vec::new();
    encode(&message, &mut again).expect("no longer than it was");
    assert_eq!(decode(&again).as_ref(), Ok(&message), "what we write means the same");
    match &message.body {
        Body::Unknown { .. } => {
            assert_eq!(again, frame);
            "not modelled, kept as bytes".to_string()
        }
        _ if again == frame => "same bytes".to_string(),
        _ => format!("same meaning, other bytes: {}", differences(frame, &again)),
    }
}

/// The bytes that are not the same.
fn differences(theirs: &[u8], ours: &[u8]) -> String {
    assert_eq!(theirs.len(), ours.len());
    let pairs = theirs.iter().zip(ours).enumerate().filter(|(_, (theirs, ours))| theirs != ours);
    let texts: Vec<_> = pairs.map(|(at, (theirs, ours))| format!("at {at} {theirs:02x} is {ours:02x}")).collect();
    texts.join(", ")
}

/// The type of a message by number, with the number of a multipart or Nicira message.
fn kind(frame: &[u8]) -> String {
    let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match frame[1] {
        18 | 19 => format!("type {} multipart {}", frame[1], number(8)),
        4 => format!("type 4 experimenter {}", number(14)),
        kind => format!("type {kind}"),
    }
}

#[test]
fn recorded_messages_decode_and_encode_to_the_same_bytes() {
    let mut counts = BTreeMap::new();
    for name in transcripts::ALL {
        for frame in transcripts::messages(name) {
            *counts.entry((verdict(&frame), kind(&frame))).or_insert(0) += 1;
        }
    }
    let text: String =
        counts.iter().map(|((verdict, kind), count)| format!("{verdict} | {kind} | {count}\n")).collect();
    snapshot("openflow__transcripts", &text);
}

#[test]
fn streams_may_come_in_any_pieces() {
    let frames = transcripts::messages("of15-controller");
    let stream = frames.concat();
    let whole: Vec<Result<Message, _>> = frames.iter().map(|frame| decode(frame)).collect();
    for size in [1, 7, 8, 1000, stream.len()] {
        let mut decoder = selvedge_net::openflow::codec::Decoder::default();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            decoder.push(piece);
            while let Some(message) = decoder.next_message().transpose() {
                found.push(message);
            }
        }
        assert_eq!(found, whole, "in pieces of {size}");
    }
}
