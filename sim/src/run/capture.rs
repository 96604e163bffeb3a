//! Packets of a run as a file that Wireshark and tcpdump read: pcapng (draft-ietf-opsawg-pcapng) with two interfaces,
//! the guests' (Ethernet) and the underlay (IP). Start at [`pcapng`].

use std::time::Duration;

/// A packet that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When.
    pub at: Duration,
    /// Whether it is one of the underlay, which begins with an IP header; others are frames as guests sent them.
    pub outer: bool,
    /// What it was.
    pub bytes: Vec<u8>,
}

/// Link types (tcpdump.org/linktypes.html).
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

/// Block types of pcapng.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// The packets as a capture file. Times are those of the world, in microseconds.
pub fn pcapng(packets: &[Captured]) -> Vec<u8> {
    let mut file = Vec::new();
    // Byte order magic, version 1.0, section length unknown.
    let header = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    block(&mut file, SECTION_HEADER, &header);
    for (link, name) in [(LINKTYPE_ETHERNET, "guests"), (LINKTYPE_RAW, "underlay")] {
        // if_name is option 2; option 0 ends the list.
        let mut body = [&link.to_le_bytes()[..], &[0; 6], &[2, 0], &(name.len() as u16).to_le_bytes()].concat();
        body.extend(padded(name.as_bytes()));
        body.extend([0; 4]);
        block(&mut file, INTERFACE_DESCRIPTION, &body);
    }
    for packet in packets {
        let micros = packet.at.as_micros() as u64;
        let words = [u32::from(packet.outer), (micros >> 32) as u32, micros as u32];
        let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let length = (packet.bytes.len() as u32).to_le_bytes();
        body.extend([length, length].concat());
        body.extend(padded(&packet.bytes));
        block(&mut file, ENHANCED_PACKET, &body);
    }
    file
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    file.extend(kind.to_le_bytes());
    file.extend(length);
    file.extend(body);
    file.extend(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_long_as_they_say() {
        let packet =
            |outer, bytes: &[u8]| Captured { at: Duration::from_micros(1 << 33), outer, bytes: bytes.to_vec() };
        let file = pcapng(&[packet(false, &[1, 2, 3]), packet(true, &[4; 20])]);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let length = word(at + 4) as usize;
            assert_eq!(word(at + length - 4) as usize, length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION_HEADER, 1, 1, 6, 6]);
        let last = file.len() - (12 + 20 + 20);
        assert_eq!((word(last + 8), word(last + 12), word(last + 20), word(last + 28)), (1, 2, 20, 0x0404_0404));
    }
}
