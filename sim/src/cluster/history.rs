//! What clients of a cluster did and were told, and whether it could have been told by one controller that does one thing
//! at a time (C1, linearizability; C2, nothing promised is lost; C3, nothing is done twice or after it was said not to be).
//!
//! Source: Herlihy and Wing, "Linearizability", 1990. The checker needs no search: each write is told the revision it
//! took effect at, so revisions are the order that is claimed, and the claim is checked: against what members hold in the end,
//! and against the order in which things were seen to happen. Start at [`History::judge`].

use crate::oracles::Violation;
use crate::window::Seat;
use selvedge_core::nib::Nib;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It took effect at this revision.
    At(u64),
    /// It did not, it was said.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// What a client did.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It made an object of this name.
    Write {
        /// The name, used once.
        name: Uuid,
        /// How that ended; unknown until it has.
        ended: Written,
    },
    /// It looked for what it had just written, where it had.
    Find {
        /// The revision that it was told.
        told: u64,
        /// The revision that is there.
        found: u64,
    },
    /// It read everything.
    Read {
        /// As of this revision.
        revision: u64,
        /// What [`digest`] says of it.
        digest: u64,
    },
}

/// A deed, and when it began and ended; the time is the world's, not a host's.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The member that was asked.
    at: Seat,
    began: Duration,
    ended: Option<Duration>,
    deed: Deed,
}

/// All deeds.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<Operation>);

/// How many deeds ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Writes that were promised.
    pub written: u64,
    /// Writes that were said not to be done.
    pub not_done: u64,
    /// Writes of which nobody knew.
    pub unknown: u64,
    /// Of those, how many had been done.
    pub unknown_done: u64,
    /// Reads.
    pub reads: u64,
}

/// A number for everything that was made up to a revision, in order.
pub fn digest(nib: &Nib, up_to: u64) -> u64 {
    let made = made(nib).into_iter().take_while(|(revision, _)| *revision <= up_to);
    made.fold(NOTHING, extended)
}

/// Everything that was made, and the revision at which it was, in order.
fn made(nib: &Nib) -> Vec<(u64, Uuid)> {
    let mut made: Vec<(u64, Uuid)> = nib.zones().iter().map(|(name, zone)| (zone.modified.0, *name)).collect();
    made.sort_unstable();
    made
}

/// The digest before anything was made.
const NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

fn extended(hash: u64, (revision, name): (u64, Uuid)) -> u64 {
    let (high, low) = name.as_u64_pair();
    [revision, high, low]
        .iter()
        .fold(hash, |hash, word| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29))
}

impl History {
    /// A write begins at a member; the number to end it by.
    pub fn write(&mut self, at: Seat, now: Duration, name: Uuid) -> usize {
        self.0.push(Operation { at, began: now, ended: None, deed: Deed::Write { name, ended: Written::Unknown } });
        self.0.len() - 1
    }

    /// A write ended.
    pub fn written(&mut self, now: Duration, number: usize, how: Written) {
        let operation = &mut self.0[number];
        operation.ended = Some(now);
        if let Deed::Write { ended, .. } = &mut operation.deed {
            *ended = how;
        }
    }

    /// A write ended, and what is at the member then.
    pub fn found(&mut self, at: Seat, now: Duration, told: u64, found: u64) {
        self.0.push(Operation { at, began: now, ended: Some(now), deed: Deed::Find { told, found } });
    }

    /// A read at a member is over, and when it began.
    pub fn read(&mut self, at: Seat, (began, now): (Duration, Duration), revision: u64, digest: u64) {
        self.0.push(Operation { at, began, ended: Some(now), deed: Deed::Read { revision, digest } });
    }

    /// Judges all that was told, given what all members hold in the end.
    pub fn judge(&self, at: Duration, nib: &Nib) -> (Counts, Vec<Violation>) {
        let mut violations = Vec::new();
        let mut counts = Counts::default();
        // Where each deed claims to be in the order; what was not done is nowhere.
        let mut claims: Vec<(&Operation, u64)> = Vec::new();
        for operation in &self.0 {
            match &operation.deed {
                Deed::Find { told, found } if found < told => {
                    let by = operation.at;
                    let what = format!("{by} told a client of revision {told}, and had only {found} itself");
                    violations.push(Violation::new("A4", operation.began, what));
                }
                Deed::Find { .. } => {}
                Deed::Read { revision, .. } => {
                    counts.reads += 1;
                    claims.push((operation, *revision));
                }
                Deed::Write { name, ended } => {
                    let made = nib.zones().get(name).map(|zone| zone.modified.0);
                    claims.extend(made.map(|made| (operation, made)));
                    let wrong = judge_write(*name, ended, made, &mut counts);
                    violations.extend(wrong.map(|(id, what)| Violation::new(id, at, what)));
                }
            }
        }
        let (made, others) = (nib.zones().len() as u64, nib.cluster().commands());
        if nib.revision().0 != made + others {
            let what = format!(
                "{made} writes and {others} commands about members took effect, yet there are {} revisions: some did twice",
                nib.revision()
            );
            violations.push(Violation::new("C3", at, what));
        }
        violations.extend(judge_order(&mut claims));
        violations.extend(self.judge_reads(nib));
        (counts, violations)
    }

    /// Each read saw exactly what was made up to its revision.
    fn judge_reads(&self, nib: &Nib) -> Vec<Violation> {
        let mut digests = BTreeMap::from([(0, NOTHING)]);
        let mut hash = NOTHING;
        for (revision, name) in made(nib) {
            hash = extended(hash, (revision, name));
            digests.insert(revision, hash);
        }
        let wrong = |operation: &Operation| {
            let Deed::Read { revision, digest } = operation.deed else { return None };
            let right = digests.range(..=revision).next_back().map(|(_, digest)| *digest);
            (right != Some(digest)).then(|| {
                let what =
                    format!("a read at revision {revision} saw something else than what was agreed upon up to there");
                Violation::new("C5", operation.began, what)
            })
        };
        self.0.iter().filter_map(wrong).collect()
    }
}

fn judge_write(name: Uuid, ended: &Written, made: Option<u64>, counts: &mut Counts) -> Option<(&'static str, String)> {
    match (ended, made) {
        (Written::At(revision), made) => {
            counts.written += 1;
            (made != Some(*revision)).then(|| {
                let found =
                    made.map_or("it is not there".to_string(), |made| format!("it is there since revision {made}"));
                ("C2", format!("the write of {name} was promised at revision {revision}, and in the end {found}"))
            })
        }
        (Written::NotDone, made) => {
            counts.not_done += 1;
            made.map(|made| {
                ("C3", format!("the write of {name} was said not to be done, and took effect at revision {made}"))
            })
        }
        (Written::Unknown, made) => {
            counts.unknown += 1;
            counts.unknown_done += u64::from(made.is_some());
            None
        }
    }
}

/// What ended before something else began comes before it.
fn judge_order(claims: &mut [(&Operation, u64)]) -> Vec<Violation> {
    claims.sort_by_key(|(operation, _)| operation.began);
    let told =
        claims.iter().filter(|(operation, _)| !matches!(operation.deed, Deed::Write { ended: Written::Unknown, .. }));
    let mut ends: Vec<(Duration, u64, Seat)> =
        told.filter_map(|(operation, revision)| Some((operation.ended?, *revision, operation.at))).collect();
    ends.sort_unstable();
    let (mut ended, mut violations) = (ends.into_iter().peekable(), Vec::new());
    let mut latest = (Duration::ZERO, 0, Seat(0));
    for (operation, revision) in claims.iter() {
        while let Some(earlier) = ended.next_if(|(end, _, _)| *end < operation.began) {
            latest = if earlier.1 > latest.1 { earlier } else { latest };
        }
        let (what, stale) = match operation.deed {
            Deed::Read { .. } => ("a read was", *revision < latest.1),
            Deed::Write { .. } => ("a write took effect", *revision <= latest.1),
            Deed::Find { .. } => continue,
        };
        if stale {
            let (at, over) = (operation.at, operation.ended.unwrap_or(Duration::MAX));
            let (when, earlier, by) = latest;
            let what = format!(
                "{what} at revision {revision} by {at}, over at {over:?}, though {by} had told of {earlier} at {when:?}"
            );
            violations.push(Violation::new("C1", operation.began, what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::nib::{Command, Common, Object, TransportZone};

    fn name(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn nib(names: &[u128]) -> Nib {
        let mut nib = Nib::default();
        for n in names {
            let object = Object::TransportZone(TransportZone { common: Common::default() });
            // One that is there already is refused, and counts.
            let _ = nib.apply(&Command::Create { uuid: name(*n), object });
        }
        nib
    }

    fn ids(history: &History, nib: &Nib) -> Vec<&'static str> {
        history.judge(seconds(99), nib).1.iter().map(|violation| violation.id).collect()
    }

    /// A write of `n` from one second to another.
    fn wrote(history: &mut History, n: u128, (from, to): (u64, u64), how: Written) {
        let number = history.write(Seat(0), seconds(from), name(n));
        history.written(seconds(to), number, how);
    }

    #[test]
    fn what_one_controller_could_have_told_is_good() {
        let mut history = History::default();
        let end = nib(&[1, 2, 3]);
        wrote(&mut history, 2, (0, 5), Written::At(2));
        wrote(&mut history, 1, (1, 6), Written::At(1));
        history.read(Seat(1), (seconds(2), seconds(3)), 1, digest(&end, 1));
        wrote(&mut history, 3, (2, 3), Written::Unknown);
        history.read(Seat(1), (seconds(4), seconds(4)), 2, digest(&end, 2));
        wrote(&mut history, 4, (7, 8), Written::NotDone);
        history.read(Seat(1), (seconds(9), seconds(9)), 3, digest(&end, 3));
        assert_eq!(ids(&history, &end), Vec::<&str>::new());
        let (counts, _) = history.judge(seconds(99), &end);
        assert_eq!(counts, Counts { written: 2, not_done: 1, unknown: 1, unknown_done: 1, reads: 3 });
    }

    #[test]
    fn lost_doubled_and_undone_writes_are_found() {
        let mut history = History::default();
        wrote(&mut history, 1, (0, 1), Written::At(1));
        assert_eq!(ids(&history, &nib(&[])), ["C2"]);
        assert_eq!(ids(&history, &nib(&[2, 1])), ["C2"], "elsewhere than was told");
        assert_eq!(ids(&history, &nib(&[1, 1])), ["C3"]);
        let mut history = History::default();
        wrote(&mut history, 1, (0, 1), Written::NotDone);
        assert_eq!(ids(&history, &nib(&[1])), ["C3"]);
    }

    #[test]
    fn a_member_that_lacks_what_it_told_is_found() {
        let mut history = History::default();
        history.found(Seat(0), seconds(1), 2, 2);
        assert_eq!(ids(&history, &nib(&[])), Vec::<&str>::new());
        history.found(Seat(0), seconds(1), 2, 1);
        assert_eq!(ids(&history, &nib(&[])), ["A4"]);
    }

    #[test]
    fn what_is_told_in_the_wrong_order_is_found() {
        let mut history = History::default();
        let end = nib(&[1, 2]);
        wrote(&mut history, 2, (0, 1), Written::At(2));
        wrote(&mut history, 1, (2, 3), Written::At(1));
        assert_eq!(ids(&history, &end), ["C1"], "a later write");
        let mut history = History::default();
        wrote(&mut history, 2, (0, 1), Written::At(2));
        history.read(Seat(1), (seconds(2), seconds(3)), 1, digest(&end, 1));
        assert_eq!(ids(&history, &end), ["C1"], "a stale read");
        let mut history = History::default();
        history.read(Seat(1), (seconds(0), seconds(3)), 2, digest(&nib(&[2, 1]), 2));
        assert_eq!(ids(&history, &end), ["C5"], "another past");
    }
}
