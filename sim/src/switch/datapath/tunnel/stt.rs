//! STT (draft-davie-stt-08): a frame cut into segments that look like TCP, and put together again.
//!
//! The sequence number of a segment is the frame's length (high half) and the segment's offset in it, the
//! acknowledgement number names the frame. There are no acknowledgements and no retransmissions: a segment that is lost
//! loses the frame. Segments may come in any order and more than once. What is incomplete is bounded in number, size
//! and time, whatever peers send.

use super::Refusal;
use super::outer::{Envelope, Outer};
use crate::switch::packet::build::Transport;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// The STT header, with its two bytes of padding.
const HEADER: usize = 18;
/// The header of a segment.
const SEGMENT_HEADER: usize = 20;
/// How long a frame may be incomplete.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many frames may be incomplete.
const FRAMES_MAX: usize = 256;
/// How many bytes they may have together.
const BYTES_MAX: usize = 4 << 20;
/// ACK and PSH, as every segment has them.
const FLAGS: u16 = 0x18;

/// The segments of a frame; none if it does not fit in the length's 16 bits or not even one byte fits in the MTU.
pub fn segments(
    envelope: &Envelope,
    ports: (u16, u16),
    frame_id: u32,
    key: u64,
    inner: &[u8],
    mtu: usize,
) -> Option<Vec<Vec<u8>>> {
    let mut frame = vec![0; 8];
    frame.extend(key.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(inner);
    let length = u16::try_from(frame.len()).ok()?;
    let room = mtu.checked_sub(envelope.header_length() + SEGMENT_HEADER).filter(|room| *room > 0)?;
    let segment = |(index, bytes): (usize, &[u8])| {
        // Offsets are below the length, which fits.
        let offset = (index * room) as u32;
        envelope.ip(&Transport::Tcp {
            ports,
            flags: FLAGS,
            sequence: u32::from(length) << 16 | offset,
            acknowledgement: frame_id,
            bytes: bytes.to_vec(),
        })
    };
    Some(frame.chunks(room).enumerate().map(segment).collect())
}

/// Names a frame: who sent it to whom, by which ports, and its number.
type FrameId = (IpAddr, IpAddr, u32, u32);

#[derive(Clone, Debug)]
struct Partial {
    since: Duration,
    length: usize,
    /// By offset. No two overlap.
    pieces: BTreeMap<usize, Vec<u8>>,
}

/// Frames that are not complete.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    partial: BTreeMap<FrameId, Partial>,
    bytes: usize,
}

impl Reassembly {
    /// Forgets the frames that were not complete in time; says how many.
    pub fn expire(&mut self, now: Duration) -> u64 {
        let late: Vec<FrameId> = self
            .partial
            .iter()
            .filter(|(_, partial)| now.saturating_sub(partial.since) >= PATIENCE)
            .map(|(id, _)| *id)
            .collect();
        late.iter().for_each(|id| self.forget(id));
        late.len() as u64
    }

    fn forget(&mut self, id: &FrameId) {
        if let Some(partial) = self.partial.remove(id) {
            self.bytes -= partial.pieces.values().map(Vec::len).sum::<usize>();
        }
    }

    /// Takes a segment; the key and the frame when it is complete.
    pub fn segment(&mut self, now: Duration, outer: &Outer<'_>) -> Result<Option<(u64, Vec<u8>)>, Refusal> {
        let segment = outer.body;
        if segment.len() < SEGMENT_HEADER || !outer.is_checksum_right(segment) {
            return Err(if segment.len() < SEGMENT_HEADER { Refusal::BadHeader } else { Refusal::BadChecksum });
        }
        let word = |offset: usize| {
            u32::from_be_bytes([segment[offset], segment[offset + 1], segment[offset + 2], segment[offset + 3]])
        };
        let (ports, sequence, number) = (word(0), word(4), word(8));
        let header = usize::from(segment[12] >> 4) * 4;
        let piece = segment.get(header.max(SEGMENT_HEADER)..).ok_or(Refusal::BadHeader)?;
        let (length, offset) = ((sequence >> 16) as usize, (sequence & 0xffff) as usize);
        if length <= HEADER || piece.is_empty() || offset + piece.len() > length {
            return Err(Refusal::BadHeader);
        }
        let id = (outer.source, outer.destination, ports, number);
        self.make_room(&id, piece.len())?;
        let partial = self.partial.entry(id).or_insert(Partial { since: now, length, pieces: BTreeMap::new() });
        if partial.pieces.get(&offset).is_some_and(|known| known == piece) {
            return Ok(None);
        }
        if partial.length != length || partial.overlaps(offset, piece.len()) {
            self.forget(&id);
            return Err(Refusal::Contradiction);
        }
        partial.pieces.insert(offset, piece.to_vec());
        self.bytes += piece.len();
        if partial.pieces.values().map(Vec::len).sum::<usize>() < length {
            return Ok(None);
        }
        let frame: Vec<u8> = partial.pieces.values().flatten().copied().collect();
        self.forget(&id);
        read_frame(&frame).map(Some)
    }

    /// Drops the oldest frames until there is room for a piece of this one.
    fn make_room(&mut self, id: &FrameId, more: usize) -> Result<(), Refusal> {
        let is_new = !self.partial.contains_key(id);
        if (self.partial.len() < FRAMES_MAX || !is_new) && self.bytes + more <= BYTES_MAX {
            return Ok(());
        }
        let oldest = self.partial.iter().min_by_key(|(_, partial)| partial.since).map(|(id, _)| *id);
        oldest.iter().for_each(|id| self.forget(id));
        Err(Refusal::Crowded)
    }
}

impl Partial {
    fn overlaps(&self, offset: usize, length: usize) -> bool {
        let before = self.pieces.range(..offset).next_back();
        let runs_in = before.is_some_and(|(start, piece)| start + piece.len() > offset);
        runs_in || self.pieces.range(offset..offset + length).next().is_some()
    }
}

/// Key and inner frame of a frame that is complete.
fn read_frame(frame: &[u8]) -> Result<(u64, Vec<u8>), Refusal> {
    let key: [u8; 8] = frame.get(8..16).and_then(|bytes| bytes.try_into().ok()).ok_or(Refusal::BadHeader)?;
    if frame[0] != 0 || frame.len() <= HEADER {
        return Err(Refusal::BadHeader);
    }
    Ok((u64::from_be_bytes(key), frame[HEADER..].to_vec()))
}
