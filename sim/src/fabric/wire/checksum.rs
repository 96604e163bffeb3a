//! The Internet checksum (RFC 1071), and its repair after a change (RFC 1624).

use std::net::IpAddr;

/// A sum that is still open: parts of any length are added one after the other, as if they were one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    words: u64,
    odd: bool,
}

impl Sum {
    /// With these bytes too.
    pub fn with(mut self, bytes: &[u8]) -> Sum {
        let mut bytes = bytes;
        if self.odd
            && let [low, rest @ ..] = bytes
        {
            self.words += u64::from(*low);
            self.odd = false;
            bytes = rest;
        }
        let (pairs, last) = bytes.as_chunks::<2>();
        self.words += pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum::<u64>();
        if let [high] = last {
            self.words += u64::from(*high) << 8;
            self.odd = true;
        }
        self
    }

    /// With the pseudo header of a transport protocol (RFC 768, RFC 8200 section 8.1).
    pub fn pseudo(self, source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Sum {
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let ends = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.with(&source.octets()).with(&destination.octets()),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.with(&source.octets()).with(&destination.octets()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => self,
        };
        ends.with(&length).with(&[0, protocol])
    }

    /// What goes into the header; over bytes that hold a right checksum it is zero.
    pub fn finish(self) -> u16 {
        let mut sum = self.words;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).expect("it was folded to 16 bits")
    }
}

/// The checksum of these bytes alone.
pub fn of(bytes: &[u8]) -> u16 {
    Sum::default().with(bytes).finish()
}

/// Writes the checksum of a packet's IPv4 header anew (RFC 791, section 3.1).
///
/// # Panics
/// If the packet is shorter than its header.
pub fn seal_ipv4(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = of(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum that is right after one 16-bit word of what it covers has changed.
pub fn repaired(checksum: u16, before: u16, after: u16) -> u16 {
    let words = u64::from(!checksum) + u64::from(!before) + u64::from(after);
    Sum { words, odd: false }.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(of(&bytes), !0xddf2);
        let in_parts = Sum::default().with(&bytes[..3]).with(&bytes[3..3]).with(&bytes[3..]);
        assert_eq!(in_parts.finish(), !0xddf2, "parts of odd length count as one");
    }

    #[test]
    fn a_repaired_checksum_is_the_one_of_the_changed_bytes() {
        let before = [0x12, 0x34, 0xab, 0xcd, 0xff];
        let after = [0x12, 0x34, 0xab, 0xdd, 0xff];
        assert_eq!(repaired(of(&before), 0xabcd, 0xabdd), of(&after));
    }
}
