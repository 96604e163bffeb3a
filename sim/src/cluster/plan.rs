//! What happens to a cluster. Start at [`ClusterPlan::draw`].
//!
//! What these plans cannot say: members that move to other addresses, or are drained; two disks lost at once; invitations that
//! expire, are used twice, or are shown by somebody else; TLS; backups; a disk that is reverted while
//! others are down for long, or to before there were others; and switches, so that who writes to which of them, and what
//! members tell each other of them, is not tried.

use crate::plan::swarm::Draw;
use crate::stage::Path;
use crate::window::Seat;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The stream of a seed's randomness from which these plans are drawn.
const STREAM: u64 = 1 << 41;
/// Faults begin then, in milliseconds since the cluster has formed.
const BEGIN_MS: u64 = 1_000;
/// And end then.
const HEAL_MS: u64 = 90_000;

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// The next sync fails.
    SyncFails,
    /// No space is left.
    Full,
    /// Nothing can be written.
    ReadOnly,
    /// Every operation takes up to so many milliseconds.
    Slow(u16),
    /// So many bytes rot: what is there is another thing, which shows when the member starts again.
    Rot(u8),
    /// So many sectors cannot be read.
    Spoilt(u8),
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// A member is killed, and started again (P1).
    Kill(Seat),
    /// Members lose power at once (P6).
    PowerCut(Vec<Seat>),
    /// A member loses power at a disk operation that is yet to come (P2).
    PowerCutAt(Seat, u32),
    /// A member's process is held (P3).
    Pause(Seat),
    /// Some members and the others do not hear each other (N6).
    Split(Vec<Seat>),
    /// One member does not hear another (N6 one-way, or partial if it is both ways).
    Cut {
        /// Who is not heard.
        from: Seat,
        /// By whom.
        to: Seat,
        /// Nor the other way round.
        both: bool,
    },
    /// The path between two members is slow and lossy (N1, N2, N9).
    Poor(Seat, Seat, Path),
    /// Connections between two members are reset (N8).
    Reset(Seat, Seat),
    /// A member's disk fails (D3, D5, D6, D7, D8, D11).
    Disk(Seat, DiskTrouble),
    /// A member loses its disk, and joins anew (P7).
    Wipe(Seat),
    /// A member is dismissed, and joins anew with an empty disk.
    Leave(Seat),
    /// The disk that a member lost comes back: nobody is that member any more (P8).
    OldDisk(Seat),
    /// A member's disk is reverted, at the end, to what it was at the beginning, while the power is off everywhere; hosts
    /// start after so many milliseconds each (P8).
    Revert(Seat, Vec<u64>),
    /// A member's clocks are wrong from now on: so many milliseconds ahead, so many parts in a million fast (C1, C2).
    Clock(Seat, i64, i32),
}

impl Trouble {
    /// Its id in the catalogue.
    pub fn id(&self) -> &'static str {
        match self {
            Trouble::Kill(_) => "P1",
            Trouble::PowerCut(_) => "P6",
            Trouble::PowerCutAt(..) => "P2",
            Trouble::Pause(_) => "P3",
            Trouble::Split(_) => "N6",
            Trouble::Cut { both: true, .. } => "N6-partial",
            Trouble::Cut { both: false, .. } => "N6-one-way",
            Trouble::Poor(..) => "N1-N2",
            Trouble::Reset(..) => "N8",
            Trouble::Disk(_, DiskTrouble::Rot(_)) => "D3",
            Trouble::Disk(_, DiskTrouble::Spoilt(_)) => "D5",
            Trouble::Disk(_, DiskTrouble::SyncFails) => "D6",
            Trouble::Disk(_, DiskTrouble::Full) => "D7",
            Trouble::Disk(_, DiskTrouble::Slow(_)) => "D8",
            Trouble::Disk(_, DiskTrouble::ReadOnly) => "D11",
            Trouble::Wipe(_) => "P7",
            Trouble::Leave(_) => "leave",
            Trouble::OldDisk(_) => "P8-dismissed",
            Trouble::Revert(..) => "P8",
            Trouble::Clock(_, _, 0) => "C1",
            Trouble::Clock(..) => "C2",
        }
    }

    /// Whose disk is never again what it was, though the host goes on with it.
    pub fn ruins(&self) -> Option<Seat> {
        match self {
            Trouble::Disk(seat, DiskTrouble::Rot(_) | DiskTrouble::Spoilt(_)) => Some(*seat),
            _ => None,
        }
    }
}

/// A trouble, when it begins, and how long it lasts.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, in milliseconds since the cluster has formed.
    pub at_ms: u64,
    /// What.
    pub trouble: Trouble,
    /// For how long, in milliseconds; what is over at once does not mind.
    pub for_ms: u64,
}

/// Everything that happens to a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// The seed of everything that is left open.
    pub seed: u64,
    /// How many members.
    pub members: usize,
    /// How many clients at each.
    pub clients: usize,
    /// Up to so many milliseconds pass between two requests of a client.
    pub think_ms: u64,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
    /// In the order of time.
    pub steps: Vec<Step>,
    /// When all trouble ends, since the cluster has formed.
    pub heal_at: Duration,
}

impl ClusterPlan {
    /// The plan of a seed. Kinds of trouble are off half of the time.
    pub fn draw(seed: u64) -> ClusterPlan {
        let mut draw = Draw::of_stream(seed, STREAM);
        let members = if draw.one_in(3) { 5 } else { 3 };
        let on: Vec<Make> = KINDS.iter().copied().filter(|_| draw.one_in(2)).collect();
        let (mut at_ms, mut steps) = (BEGIN_MS, Vec::new());
        let pace = draw.span_ms(300, 8_000);
        while at_ms < HEAL_MS {
            if let Some(make) = draw.pick(&on) {
                let trouble = make(&mut draw, members);
                let for_ms = draw.span_ms(50, 20_000).min(HEAL_MS - at_ms);
                steps.push(Step { at_ms, trouble, for_ms });
            }
            at_ms += draw.between(1, 2 * pace);
        }
        // A majority keeps its disks: nobody could go on without.
        let mut ruined = BTreeSet::new();
        steps.retain(|step| match step.trouble.ruins() {
            Some(seat) if ruined.len() < (members - 1) / 2 => {
                ruined.insert(seat);
                true
            }
            Some(seat) => ruined.contains(&seat),
            None => true,
        });
        ClusterPlan {
            seed,
            members,
            clients: draw.between(1, 3) as usize,
            think_ms: draw.pick(&[300, 1_000, 5_000]).expect("there are some"),
            snapshot_every: draw.pick(&[4, 30, 20_000]).expect("there are some"),
            steps,
            heal_at: Duration::from_millis(HEAL_MS),
        }
    }
}

impl fmt::Display for ClusterPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} members, {} clients at each, ", self.members, self.clients)?;
        writeln!(f, "up to {} ms between requests, a snapshot each {}", self.think_ms, self.snapshot_every)?;
        for step in &self.steps {
            let (at, lasts) = (step.at_ms as f64 / 1e3, step.for_ms as f64 / 1e3);
            writeln!(f, "{at:>9.3} s  {:<10}  {:?}, for {lasts:.1} s", step.trouble.id(), step.trouble)?;
        }
        writeln!(f, "{:>9.3} s  all trouble ends", self.heal_at.as_secs_f64())
    }
}

type Make = fn(&mut Draw, usize) -> Trouble;

const KINDS: &[Make] = &[
    |draw, members| Trouble::Kill(seat(draw, members)),
    |draw, members| Trouble::PowerCut(vec![seat(draw, members)]),
    |draw, members| Trouble::PowerCut(some(draw, members)),
    |draw, members| Trouble::PowerCutAt(seat(draw, members), draw.span_ms(1, 300) as u32),
    |draw, members| Trouble::PowerCutAt(seat(draw, members), draw.span_ms(1, 300) as u32),
    |draw, members| Trouble::Pause(seat(draw, members)),
    |draw, members| Trouble::Split(vec![seat(draw, members)]),
    |draw, members| Trouble::Split(some(draw, members)),
    |draw, members| {
        let (from, to) = pair(draw, members);
        Trouble::Cut { from, to, both: draw.one_in(2) }
    },
    |draw, members| {
        let (from, to) = pair(draw, members);
        let path = Path {
            latency: Duration::from_millis(draw.span_ms(1, 500)),
            jitter: Duration::from_millis(draw.between(0, 200)),
            loss: draw.between(0, 30) as f64 / 100.0,
            rate: draw.one_in(3).then(|| draw.span_ms(8_000, 1_000_000)),
            cut: false,
        };
        Trouble::Poor(from, to, path)
    },
    |draw, members| {
        let (from, to) = pair(draw, members);
        Trouble::Reset(from, to)
    },
    |draw, members| {
        let trouble = match draw.between(0, 5) {
            0 => DiskTrouble::SyncFails,
            1 => DiskTrouble::Full,
            2 => DiskTrouble::ReadOnly,
            _ => DiskTrouble::Slow(draw.span_ms(1, 1_000) as u16),
        };
        Trouble::Disk(seat(draw, members), trouble)
    },
    |draw, members| {
        let count = draw.span_ms(1, 40) as u8;
        let trouble = if draw.one_in(3) { DiskTrouble::Spoilt(count) } else { DiskTrouble::Rot(count) };
        Trouble::Disk(seat(draw, members), trouble)
    },
    |draw, members| match draw.between(0, 3) {
        0 => Trouble::Leave(seat(draw, members)),
        1 => Trouble::OldDisk(seat(draw, members)),
        _ => Trouble::Wipe(seat(draw, members)),
    },
    |draw, members| {
        let starts = (0..members).map(|_| draw.between(0, 3_000)).collect();
        Trouble::Revert(seat(draw, members), starts)
    },
    |draw, members| {
        let ahead = draw.between(0, 20_000_000) as i64 - 10_000_000;
        let drift = if draw.one_in(2) { draw.between(1, 100_000) as i32 - 50_000 } else { 0 };
        Trouble::Clock(seat(draw, members), ahead, drift)
    },
];

fn seat(draw: &mut Draw, members: usize) -> Seat {
    Seat(draw.between(0, members as u64 - 1) as usize)
}

fn pair(draw: &mut Draw, members: usize) -> (Seat, Seat) {
    let from = seat(draw, members);
    (from, Seat((from.0 + draw.between(1, members as u64 - 1) as usize) % members))
}

/// One at least.
fn some(draw: &mut Draw, members: usize) -> Vec<Seat> {
    let first = seat(draw, members);
    (0..members).map(Seat).filter(|seat| *seat == first || draw.one_in(2)).collect()
}
