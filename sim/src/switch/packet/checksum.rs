//! The Internet checksum (RFC 1071), whole and incremental (RFC 1624), and SCTP's CRC-32c (RFC 4960, appendix B).

/// Checksum of some bytes, added to a partial sum such as [`pseudo_header`].
pub fn internet(bytes: &[u8], partial: u32) -> u16 {
    !fold(sum(bytes, partial))
}

/// The partial sum of the pseudo-header of TCP, UDP and ICMPv6: addresses as they are in the IP header, 4 or 16 bytes.
pub fn pseudo_header(source: &[u8], destination: &[u8], protocol: u8, length: usize) -> u32 {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let fixed = u32::from(protocol) + (length >> 16) + (length & 0xffff);
    u32::from(fold(sum(source, sum(destination, fixed))))
}

/// What a checksum becomes when some bytes under it change from `old` to `new`, of the same even length.
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert_eq!(old.len(), new.len(), "bytes are replaced one by one");
    debug_assert!(old.len().is_multiple_of(2), "a checksum is over pairs of bytes");
    let removed: u32 = old.chunks_exact(2).map(|pair| u32::from(!u16::from_be_bytes([pair[0], pair[1]]))).sum();
    !fold(sum(new, u32::from(!checksum) + removed))
}

fn sum(bytes: &[u8], partial: u32) -> u32 {
    let pairs = bytes.chunks_exact(2);
    let odd = pairs.remainder().first().map_or(0, |byte| u32::from(*byte) << 8);
    let total = pairs.fold(u64::from(partial) + u64::from(odd), |total, pair| {
        total + u64::from(u16::from_be_bytes([pair[0], pair[1]]))
    });
    // Folding once keeps the sum as a checksum sees it, and within 32 bits for any packet.
    ((total >> 32) + (total & 0xffff_ffff)) as u32
}

fn fold(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

/// CRC-32c of some bytes, in the byte order in which SCTP writes it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    });
    (!crc).swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        // RFC 1071, section 3.
        assert_eq!(internet(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), !0xddf2);
        assert_eq!(internet(&[0xff], 0), 0x00ff);
        assert_eq!(crc32c(b"123456789").swap_bytes(), 0xe306_9283);
    }

    #[test]
    fn an_update_is_what_a_new_sum_says() {
        let mut bytes = [0x45, 0, 0, 0x54, 0x12, 0x34, 0x40, 0, 0x40, 1, 10, 0, 0, 1, 10, 0, 0, 2];
        let before = internet(&bytes, 0);
        let old = bytes[10..14].to_vec();
        bytes[10..14].copy_from_slice(&[192, 168, 255, 255]);
        assert_eq!(update(before, &old, &bytes[10..14]), internet(&bytes, 0));
    }
}
