//! One number for everything that happened in a world, in order: two runs of one seed must end with the same.
//!
//! Hashing what the executor does (tasks polled, events fired, bytes carried, randomness drawn) is far cheaper than hashing
//! logs, and misses nothing that could matter. Start at [`Audit`].

/// A rolling hash, and what it was made of if that is wanted.
#[derive(Debug, Default)]
pub(super) struct Audit {
    hash: u64,
    trace: Option<Vec<String>>,
}

impl Audit {
    /// Keep every entry from now on.
    pub fn record(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// Something happened: a kind of thing, and numbers that say which.
    pub fn note(&mut self, kind: &'static str, numbers: [u64; 3]) {
        let mut hash = self.hash ^ (kind.len() as u64) << 56 ^ u64::from(kind.as_bytes()[0]);
        for number in numbers {
            // SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014) spreads each number over all bits.
            hash = hash.wrapping_add(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
            hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^= hash >> 31;
        }
        self.hash = hash;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{kind} {numbers:x?}"));
        }
    }

    /// Bytes were carried: what they were counts.
    pub fn bytes(&mut self, kind: &'static str, which: u64, bytes: &[u8]) {
        let mut content = bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            content = (content ^ u64::from_le_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
        }
        self.note(kind, [which, bytes.len() as u64, content]);
    }

    /// The hash of all that happened.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// What happened, if it was kept.
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }
}
