//! Messages in a form that may be compared: without how long flows have been there, and with dumps in one order.
//!
//! Start at [`canonical`].

use std::fmt;

/// What each controller heard of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard(Vec<Vec<Message>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    kind: u8,
    xid: u32,
    body: Vec<u8>,
}

const FLOW_REMOVED: u8 = 11;
const MULTIPART_REPLY: u8 = 19;
/// Kinds of multipart messages whose parts have an order that nobody promises.
const FLOW_DESCRIPTIONS: u16 = 1;
const GROUP_DESCRIPTIONS: u16 = 7;
const FLOW_MONITOR: u16 = 16;

/// What was heard, in a form that may be compared.
pub fn canonical(heard: &[Vec<Vec<u8>>]) -> Heard {
    let all = heard.iter().map(|messages| {
        let messages = messages.iter().map(|message| Message::of(message));
        // That flows are gone is told when the last thread has let go of them.
        let (mut removed, mut others): (Vec<_>, Vec<_>) = messages.partition(|message| message.kind == FLOW_REMOVED);
        removed.sort();
        others.extend(removed);
        others
    });
    Heard(all.collect())
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

impl Message {
    fn of(message: &[u8]) -> Message {
        let kind = message[1];
        // Which number a greeting has is the switch's own business.
        let xid = if kind == 0 { 0 } else { u32::from_be_bytes([message[4], message[5], message[6], message[7]]) };
        let mut body = message[8..].to_vec();
        match kind {
            FLOW_REMOVED => forget_times(&mut body, 16),
            MULTIPART_REPLY => sort_parts(&mut body),
            _ => {}
        }
        Message { kind, xid, body }
    }
}

fn sort_parts(body: &mut Vec<u8>) {
    let kind = u16_at(body, 0) as u16;
    let before_match = match kind {
        FLOW_DESCRIPTIONS => Some(24),
        GROUP_DESCRIPTIONS | FLOW_MONITOR => None,
        _ => return,
    };
    let mut parts = Vec::new();
    let mut rest = body[8..].to_vec();
    while rest.len() >= 2 {
        let length = u16_at(&rest, 0).clamp(1, rest.len());
        let mut part: Vec<u8> = rest.drain(..length).collect();
        before_match.into_iter().for_each(|offset| forget_times(&mut part, offset));
        parts.push(part);
    }
    parts.sort();
    body.truncate(8);
    body.extend(parts.concat());
}

/// Sets how long a flow has been there and unused to zero: in the statistics behind the match at an offset.
fn forget_times(bytes: &mut [u8], match_at: usize) {
    let start = match_at + u16_at(bytes, match_at + 2).next_multiple_of(8);
    let end = start + u16_at(bytes, start + 2);
    let mut at = start + 4;
    while at + 4 <= end {
        let (field, length) = (bytes[at + 2] >> 1, usize::from(bytes[at + 3]));
        if field <= 1 {
            bytes[at + 4..at + 4 + length].fill(0);
        }
        at += 4 + length;
    }
}

fn name(kind: u8) -> String {
    let name = match kind {
        0 => "hello",
        1 => "error",
        3 => "echo reply",
        6 => "features reply",
        8 => "config reply",
        11 => "flow removed",
        12 => "port status",
        19 => "multipart reply",
        21 => "barrier reply",
        25 => "role reply",
        27 => "async reply",
        30 => "role status",
        32 => "request forward",
        33 => "bundle control",
        other => return format!("type {other}"),
    };
    name.to_string()
}

impl Heard {
    /// What kinds of messages there were; of errors also which.
    pub fn kinds(&self) -> impl Iterator<Item = String> {
        self.0.iter().flatten().flat_map(|message| {
            let code = |message: &Message| format!("error {}/{}", u16_at(&message.body, 0), u16_at(&message.body, 2));
            let error = (message.kind == 1).then(|| code(message));
            [name(message.kind)].into_iter().chain(error)
        })
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (conn, messages) in self.0.iter().enumerate() {
            for message in messages {
                let hex: String = message.body.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(f, "\n  {conn} {} {:x} {hex}", name(message.kind), message.xid)?;
            }
        }
        Ok(())
    }
}
