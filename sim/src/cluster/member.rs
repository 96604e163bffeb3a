//! A member's process: the code that ships, on the world's runtime and disk, and clients that live beside it.
//!
//! Start at [`software`].

use super::desk::{Desk, clerk, settle};
use super::history::{History, Written, digest};
use crate::window::{Seat, Window};
use crate::world::time_on_this_thread;
use selvedge_core::nib::{Command, Common, Object, Southbound, TransportZone};
use selvedge_net::cluster::{Member, MemberConfig, ProposeError};
use selvedge_net::controller::{self, CoreError, Handle, Started, SubmitError};
use selvedge_net::runtime::{Disk, Runtime};
use selvedge_net::store::Store;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a member's last words begin with if it never came up.
pub const CANNOT_START: &str = "cannot start";
/// What they are if it is no member any more, but for what comes after.
pub const DISMISSED: &str = "dismissed";

/// So long a client waits for a read.
const READ_MAX: Duration = Duration::from_secs(5);

/// What a member is given.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is.
    pub seat: Seat,
    /// Where it listens.
    pub at: SocketAddr,
    /// How it becomes a member.
    pub desk: Desk,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
    /// How many clients it has.
    pub clients: usize,
    /// The most milliseconds between two requests of one.
    pub think_ms: u64,
    /// Clients stop then, by the world's time, once that is known.
    pub until: Arc<Mutex<Duration>>,
}

/// What runs on a member's host. It ends when the member cannot start or its disk fails.
pub async fn software<R: Runtime, D: Disk>(place: Place, disk: D, history: Arc<Mutex<History>>, window: Window) {
    let ended = live::<R, D>(place, disk, history, &window).await;
    window.end(ended);
}

async fn live<R: Runtime, D: Disk>(place: Place, disk: D, history: Arc<Mutex<History>>, window: &Window) -> String {
    let store = match Store::open(&disk) {
        Ok(store) => store,
        Err(error) => return format!("{CANNOT_START}: {error}"),
    };
    let identity = match settle::<R>(&place.desk, &store, place.at).await {
        Ok(identity) => identity,
        Err(error) => return format!("{CANNOT_START}: {error}"),
    };
    let own = identity.member;
    let config = MemberConfig {
        identity,
        address: Some(place.at),
        southbound: Southbound::default(),
        mutual: None,
        snapshot_every: place.snapshot_every,
    };
    let Started { handle, member, core, from_snapshot } = match controller::start::<R>(store, &config).await {
        Ok(started) => started,
        Err(error) => return format!("{CANNOT_START}: {error}"),
    };
    match R::listen(place.at).await {
        Ok(listener) => R::spawn("members", member.clone().serve(listener)),
        Err(error) => return format!("cannot listen: {error}"),
    }
    R::spawn("clerk", clerk::<R>(place.desk.clone(), handle.clone()));
    for _ in 0..place.clients {
        let client = client(place.clone(), handle.clone(), member.clone(), history.clone());
        R::spawn("client", client);
    }
    window.open(handle, member, own, from_snapshot);
    match core.await {
        Ok(()) => "stopped".to_string(),
        Err(error @ CoreError::Member(ProposeError::Dismissed)) => format!("{DISMISSED}: {error}"),
        Err(error) => format!("stopped: {error}"),
    }
}

fn draw<R: Runtime>(below: u64) -> u64 {
    let mut bytes = [0; 8];
    R::random(&mut bytes);
    u64::from_le_bytes(bytes) % below.max(1)
}

/// Writes and reads, one after the other, for as long as its host lives.
async fn client<R: Runtime>(place: Place, handle: Handle, member: Member<R>, history: Arc<Mutex<History>>) {
    let lock = || history.lock().expect("no holder panics");
    loop {
        R::sleep(Duration::from_millis(1 + draw::<R>(place.think_ms))).await;
        let began = time_on_this_thread();
        if began >= *place.until.lock().expect("no holder panics") {
            return;
        }
        if draw::<R>(3) == 0 {
            if member.catch_up(R::now() + READ_MAX).await.is_ok() {
                let (revision, digest) = handle.read(|state| {
                    let revision = state.nib.revision().0;
                    (revision, digest(&state.nib, revision))
                });
                tracing::debug!(member = %place.seat, revision, ?began, "a read ended");
                lock().read(place.seat, (began, time_on_this_thread()), revision, digest);
            }
            continue;
        }
        let name = R::uuid();
        let number = lock().write(place.seat, began, name);
        let object = Object::TransportZone(TransportZone { common: Common::default() });
        let ended = match handle.submit(Command::Create { uuid: name, object }).await {
            Ok(revision) => {
                // Who wrote here finds here what it wrote, at once.
                let found = handle.read(|state| state.nib.revision().0);
                lock().found(place.seat, time_on_this_thread(), revision.0, found);
                Written::At(revision.0)
            }
            Err(SubmitError::Cluster(ProposeError::NoLeader)) => Written::NotDone,
            Err(SubmitError::Cluster(_) | SubmitError::Stopped(_)) => Written::Unknown,
            // Names are used once: a refusal says that the write was done twice, and the judge sees both.
            Err(SubmitError::Refused(_)) => Written::Unknown,
        };
        tracing::debug!(member = %place.seat, ?ended, ?began, "a write ended");
        lock().written(time_on_this_thread(), number, ended);
    }
}
