//! The harness's side of a controller: where it is ([`Seat`]), and what is seen of its process through all its lives. Start
//! at [`Window`].

use selvedge_core::ids::MemberId;
use selvedge_core::nib::Nib;
use selvedge_net::cluster::Member;
use selvedge_net::controller::Handle;
use selvedge_net::runtime::Runtime;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard};

/// One of the controllers, by number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat(pub usize);

impl fmt::Display for Seat {
    /// The name of its host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("controller"),
            n => write!(f, "controller{}", n + 1),
        }
    }
}

impl Seat {
    /// Its host's address.
    pub fn address(self) -> IpAddr {
        let last = u8::try_from(self.0 + 1).expect("there are few controllers");
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }
}

/// What one sees of a member from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The term it is in.
    pub term: u64,
    /// Its number.
    pub member: MemberId,
    /// Who leads in that term, as far as it knows.
    pub leader: Option<MemberId>,
    /// Up to which entry it has applied the log.
    pub applied: Option<u64>,
    /// Who votes, as it was agreed upon, as far as it knows.
    pub voters: BTreeSet<MemberId>,
}

impl View {
    /// Whether it leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.leader == Some(self.member)
    }
}

type Look = Box<dyn Fn() -> View + Send>;

/// What the harness sees of a controller, through all its lives. Clones are the same.
#[derive(Clone, Default)]
pub struct Window(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    up: Option<(Handle, Look)>,
    ended: Option<String>,
    from_snapshot: bool,
    boots: u64,
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Window").field(&self.view()).finish()
    }
}

impl Window {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder panics")
    }

    /// The process is up.
    pub fn open<R: Runtime>(&self, handle: Handle, member: Member<R>, own: MemberId, from_snapshot: bool) {
        let look: Look = Box::new(move || {
            let metrics = member.metrics();
            let applied = metrics.last_applied.map(|applied| applied.index);
            let voters = metrics.committed_membership_config.voter_ids().collect();
            View { term: metrics.current_term, member: own, leader: metrics.current_leader, applied, voters }
        });
        let mut seen = self.lock();
        (seen.up, seen.from_snapshot) = (Some((handle, look)), from_snapshot);
        seen.boots += 1;
    }

    /// The process ended by itself.
    pub fn end(&self, why: String) {
        let mut seen = self.lock();
        (seen.up, seen.ended) = (None, Some(why));
    }

    /// The process is gone.
    pub fn close(&self) {
        let mut seen = self.lock();
        (seen.up, seen.ended) = (None, None);
    }

    /// The way to the controller, while it is up.
    pub fn handle(&self) -> Option<Handle> {
        self.lock().up.as_ref().map(|(handle, _)| handle.clone())
    }

    /// What it looks like, while it is up.
    pub fn view(&self) -> Option<View> {
        self.lock().up.as_ref().map(|(_, look)| look())
    }

    /// What it holds, while it is up.
    pub fn nib(&self) -> Option<Nib> {
        self.handle().map(|handle| handle.read(|state| state.nib.clone()))
    }

    /// Why its process ended by itself, if it did; said once.
    pub fn take_ended(&self) -> Option<String> {
        self.lock().ended.take()
    }

    /// Whether the process that is up began with a snapshot.
    pub fn began_with_snapshot(&self) -> bool {
        self.lock().from_snapshot
    }

    /// How often it came up.
    pub fn boots(&self) -> u64 {
        self.lock().boots
    }
}

/// Whether all that these are windows of are members with a vote, and nobody else has one, as the leader knows it.
pub fn is_whole<'a>(windows: impl Iterator<Item = &'a Window>) -> bool {
    let views: Option<Vec<View>> = windows.map(Window::view).collect();
    let Some(views) = views else { return false };
    let members: BTreeSet<MemberId> = views.iter().map(|view| view.member).collect();
    views.iter().any(|view| view.leads() && view.voters == members)
}
