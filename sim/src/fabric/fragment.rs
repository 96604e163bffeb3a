//! IPv4 packets cut into fragments where a link is too narrow, and put together where they are for (RFC 791, RFC 815).
//!
//! Tunnels set "don't fragment", and IPv6 is never cut on the way; but there are routers that clear the bit, and an
//! endpoint behind one sees fragments. Start at [`cut`] and [`Reassembly::receive`].

use super::wire::checksum::seal_ipv4;
use selvedge_net::runtime::Moment;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// So long fragments wait for the others of their packet; Linux: `ipfrag_time`.
const WAIT: Duration = Duration::from_secs(30);
/// Packets that may be incomplete at a time; the oldest makes room.
const INCOMPLETE_MAX: usize = 64;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Flags and offset of an IPv4 header.
fn flags(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[6], packet[7]])
}

/// Whether a packet may be cut: IPv4, and it does not say otherwise.
pub fn may_be_cut(packet: &[u8]) -> bool {
    packet.len() >= 20 && packet[0] >> 4 == 4 && flags(packet) & DONT_FRAGMENT == 0
}

/// Whether it is a fragment of an IPv4 packet.
pub fn is_piece(packet: &[u8]) -> bool {
    packet.len() >= 20 && packet[0] >> 4 == 4 && flags(packet) & (MORE_FRAGMENTS | 0x1fff) != 0
}

/// Clears "don't fragment", as routers do that are told to; nothing happens to IPv6.
pub fn allow(packet: &mut [u8]) {
    if packet.len() >= 20 && packet[0] >> 4 == 4 {
        packet[6] &= !(DONT_FRAGMENT >> 8) as u8;
        seal_ipv4(packet);
    }
}

/// The fragments of a packet that may be cut, each at most this large; none if the link has no room for eight bytes of
/// payload. Options are copied to all of them: tunnels have none.
pub fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let header = usize::from(packet[0] & 15) * 4;
    let room = mtu.saturating_sub(header) / 8 * 8;
    if room == 0 {
        return Vec::new();
    }
    let (first, last) = (flags(packet) & 0x1fff, flags(packet) & MORE_FRAGMENTS == 0);
    let pieces: Vec<&[u8]> = packet[header..].chunks(room).collect();
    let count = pieces.len();
    let fragment = |(n, piece): (usize, &[u8])| {
        let mut fragment = [&packet[..header], piece].concat();
        let length = fragment.len() as u16;
        let more = if n + 1 < count || !last { MORE_FRAGMENTS } else { 0 };
        let offset = first + (n * room / 8) as u16;
        fragment[2..4].copy_from_slice(&length.to_be_bytes());
        fragment[6..8].copy_from_slice(&(more | offset).to_be_bytes());
        seal_ipv4(&mut fragment);
        fragment
    };
    pieces.into_iter().enumerate().map(fragment).collect()
}

/// What fragments have in common.
type Key = (Ipv4Addr, Ipv4Addr, u8, u16);

/// A packet of which some fragments have come.
#[derive(Debug)]
struct Incomplete {
    since: Moment,
    /// The header of the first fragment.
    header: Vec<u8>,
    /// By offset. They do not overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Bytes of the whole payload, once the last has come.
    length: Option<usize>,
}

impl Incomplete {
    /// Takes a piece; false if it contradicts the others (RFC 5722 says to forget all of them then).
    fn take(&mut self, offset: usize, piece: &[u8], last: bool) -> bool {
        let end = offset + piece.len();
        if let Some(known) = self.pieces.get(&offset) {
            return known == piece;
        }
        let before = self.pieces.range(..offset).next_back().is_none_or(|(at, piece)| at + piece.len() <= offset);
        let after = self.pieces.range(offset..).next().is_none_or(|(at, _)| end <= *at);
        let within = if last { self.length.is_none() } else { self.length.is_none_or(|length| end <= length) };
        if last {
            self.length = Some(end);
        }
        self.pieces.insert(offset, piece.to_vec());
        before && after && within
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let length = self.length?;
        let there: usize = self.pieces.values().map(Vec::len).sum();
        if there != length || self.header.is_empty() {
            return None;
        }
        let payload = self.pieces.values().flatten().copied();
        let mut packet: Vec<u8> = self.header.iter().copied().chain(payload).collect();
        let total = u16::try_from(packet.len()).ok()?;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[6..8].fill(0);
        seal_ipv4(&mut packet);
        Some(packet)
    }
}

/// What an endpoint puts together.
#[derive(Debug, Default)]
pub struct Reassembly {
    incomplete: BTreeMap<Key, Incomplete>,
}

impl Reassembly {
    /// Takes a packet for this endpoint; returns it if it is no fragment, and the whole packet if it was the piece that was
    /// missing.
    pub fn receive(&mut self, now: Moment, packet: Vec<u8>) -> Option<Vec<u8>> {
        if !is_piece(&packet) {
            return Some(packet);
        }
        let header = usize::from(packet[0] & 15) * 4;
        let payload = packet.get(header..)?;
        let (offset, last) = (usize::from(flags(&packet) & 0x1fff) * 8, flags(&packet) & MORE_FRAGMENTS == 0);
        let too_long = header + offset + payload.len() > usize::from(u16::MAX);
        if too_long || payload.is_empty() || (!last && payload.len() % 8 != 0) {
            return None;
        }
        let address = |at: usize| Ipv4Addr::from([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let key = (address(12), address(16), packet[9], u16::from_be_bytes([packet[4], packet[5]]));
        self.make_room(now, &key);
        let incomplete = self.incomplete.entry(key).or_insert_with(|| Incomplete {
            since: now,
            header: Vec::new(),
            pieces: BTreeMap::new(),
            length: None,
        });
        if offset == 0 {
            incomplete.header = packet[..header].to_vec();
        }
        let agrees = incomplete.take(offset, payload, last);
        let whole = incomplete.whole();
        if !agrees || whole.is_some() {
            self.incomplete.remove(&key);
        }
        whole.filter(|_| agrees)
    }

    fn make_room(&mut self, now: Moment, for_key: &Key) {
        self.incomplete.retain(|_, incomplete| now.saturating_sub(incomplete.since) < WAIT);
        if self.incomplete.len() >= INCOMPLETE_MAX && !self.incomplete.contains_key(for_key) {
            let oldest = self.incomplete.iter().min_by_key(|(_, incomplete)| incomplete.since).map(|(key, _)| *key);
            oldest.into_iter().for_each(|key| _ = self.incomplete.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: usize, id: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend((0..payload).map(|n| (n % 251) as u8));
        let total = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&total);
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        seal_ipv4(&mut packet);
        packet
    }

    const NOW: Moment = Duration::from_secs(1);

    #[test]
    fn what_was_cut_is_put_together_in_any_order_and_from_twice_cut_pieces() {
        let whole = packet(4_000, 7);
        let mut pieces: Vec<Vec<u8>> = cut(&whole, 1_400).iter().flat_map(|piece| cut(piece, 576)).collect();
        assert!(pieces.len() > 7 && pieces.iter().all(|piece| piece.len() <= 576));
        pieces.reverse();
        pieces.insert(3, pieces[2].clone());
        let mut reassembly = Reassembly::default();
        let mut done: Vec<Vec<u8>> = pieces.into_iter().filter_map(|piece| reassembly.receive(NOW, piece)).collect();
        assert_eq!(done.pop(), Some(whole));
        assert!(done.is_empty() && reassembly.incomplete.is_empty());
    }

    #[test]
    fn pieces_of_other_packets_and_late_ones_do_not_mix() {
        let mut reassembly = Reassembly::default();
        let (one, two) = (cut(&packet(2_000, 1), 1_500), cut(&packet(2_000, 2), 1_500));
        assert_eq!(reassembly.receive(NOW, one[0].clone()), None);
        assert_eq!(reassembly.receive(NOW, two[1].clone()), None);
        assert_eq!(reassembly.receive(NOW + WAIT, one[1].clone()), None, "the first has been forgotten");
    }

    #[test]
    fn what_contradicts_itself_is_forgotten() {
        let mut reassembly = Reassembly::default();
        let pieces = cut(&packet(2_000, 1), 1_500);
        let mut overlapping = pieces[1].clone();
        overlapping[7] -= 1;
        assert_eq!(reassembly.receive(NOW, pieces[0].clone()), None);
        assert_eq!(reassembly.receive(NOW, overlapping), None);
        assert!(reassembly.incomplete.is_empty());
        let mut huge = pieces[1].clone();
        (huge[6], huge[7]) = (0x1f, 0xff);
        assert_eq!(reassembly.receive(NOW, huge), None, "it would end beyond the largest packet");
        assert!(reassembly.incomplete.is_empty());
    }

    #[test]
    fn only_so_many_packets_are_waited_for() {
        let mut reassembly = Reassembly::default();
        for id in 0..1_000 {
            assert_eq!(
                reassembly.receive(NOW + Duration::from_millis(id.into()), cut(&packet(100, id), 60)[0].clone()),
                None
            );
        }
        assert_eq!(reassembly.incomplete.len(), INCOMPLETE_MAX);
    }

    #[test]
    fn the_bit_that_forbids_it_is_heeded_and_can_be_cleared() {
        let mut whole = packet(2_000, 1);
        whole[6] |= 0x40;
        seal_ipv4(&mut whole);
        assert!(!may_be_cut(&whole));
        allow(&mut whole);
        assert!(may_be_cut(&whole));
        assert_eq!(whole, packet(2_000, 1));
        assert!(cut(&whole, 24).is_empty());
    }
}
