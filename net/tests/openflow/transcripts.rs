//! Recorded sessions of real Open vSwitch 3.1: lines `> ` (to the switch) and `< ` (from it) are messages in hex.

use std::path::Path;

/// The recordings. The one in version 1.4 has only messages that look the same in 1.5.
pub const ALL: [&str; 3] = ["of15-controller", "of15-ofctl", "of14-roles"];

/// All messages of a recording, with version 1.5 in the header where it was 1.4.
pub fn messages(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name).with_extension("txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let hex = text.lines().filter_map(|line| line.strip_prefix("> ").or(line.strip_prefix("< ")));
    let mut messages: Vec<_> = hex.map(bytes_of_hex).collect();
    for message in messages.iter_mut().filter(|message| message[0] == 5) {
        message[0] = 6;
    }
    messages
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.trim().bytes().map(|digit| (digit as char).to_digit(16).expect("a hex digit")).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
