//! A controller in a simulated world: the code that ships, on the world's runtime and disk.
//!
//! Start at [`software`]; what the harness sees of it is a [`Window`].

use super::client::USER;
use selvedge_core::nib::Command;
use selvedge_net::cluster::MemberConfig;
use selvedge_net::controller::{self, Handle, Started};
use selvedge_net::daemon::serving::{self, Serving, Stopping};
use selvedge_net::runtime::{Disk, Runtime};
use selvedge_net::store::Store;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Where the API listens.
pub const API_PORT: u16 = 80;
/// Where OVSDB listens.
pub const OVSDB_PORT: u16 = 6640;
/// Where OpenFlow listens.
pub const OPENFLOW_PORT: u16 = 6653;

/// The controller's name.
const CONTROLLER_UUID: Uuid = Uuid::from_u128(1);

/// The hash of the simulated clients' password: with the smallest parameters, since what it costs to guess is tested
/// elsewhere. The parameters are part of the hash, so the code that checks it is the same.
const PASSWORD_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$RL46w+5hGK/wIWHciDG7sB3BvJddJJwCt6KNO/0XjGM";

/// What the harness sees of a controller, through all its lives.
#[derive(Clone, Debug, Default)]
pub struct Window(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    handle: Option<Handle>,
    ended: Option<String>,
    from_snapshot: bool,
}

impl Window {
    /// The way to the controller, while it is up.
    pub fn handle(&self) -> Option<Handle> {
        self.lock().handle.clone()
    }

    /// Why the controller's process ended by itself, if it did; said once.
    pub fn take_ended(&self) -> Option<String> {
        self.lock().ended.take()
    }

    /// Whether the process that is up began with a snapshot.
    pub fn began_with_snapshot(&self) -> bool {
        self.lock().from_snapshot
    }

    /// Its process is gone.
    pub fn close(&self) {
        *self.lock() = Seen::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no holder panics")
    }
}

/// What runs on the controller's host. It ends when the controller cannot start or its disk fails: then its process is
/// gone, as the daemon's would be.
pub async fn software<R: Runtime, D: Disk>(address: IpAddr, disk: D, snapshot_every: u64, window: Window) {
    let ended = live::<R, D>(address, disk, snapshot_every, &window).await;
    *window.lock() = Seen { ended: Some(ended), ..Seen::default() };
}

async fn live<R: Runtime, D: Disk>(address: IpAddr, disk: D, snapshot_every: u64, window: &Window) -> String {
    let store = match Store::open(&disk) {
        Ok(opened) => opened,
        Err(error) => return format!("cannot start: {error}"),
    };
    let config = MemberConfig::alone(CONTROLLER_UUID, snapshot_every);
    let Started { handle, member, core, from_snapshot } = match controller::start::<R>(store, &config).await {
        Ok(started) => started,
        Err(error) => return format!("cannot start: {error}"),
    };
    window.lock().from_snapshot = from_snapshot;
    let (failed, failure) = tokio::sync::oneshot::channel();
    R::spawn("core", async move {
        if let Err(error) = core.await {
            // Nobody listens any more only if the process is going down anyway.
            let _ = failed.send(error.to_string());
        }
    });
    if handle.read(|state| state.nib.user(USER).is_none()) {
        let command = Command::SetUser { name: USER.to_string(), password_hash: PASSWORD_HASH.to_string() };
        if let Err(error) = handle.submit(command).await {
            return format!("cannot make the user {USER}: {error}");
        }
    }
    let at = |port| SocketAddr::new(address, port);
    let serving = Serving {
        api: at(API_PORT),
        encrypted: None,
        ovsdb_tcp: Some(at(OVSDB_PORT)),
        openflow_tcp: Some(at(OPENFLOW_PORT)),
        server: "NVP/4.2.1.35000",
        node_uuid: CONTROLLER_UUID,
    };
    if let Err(error) = serving::serve::<R>(&handle, &member, &serving, &Stopping::default()).await {
        return format!("cannot serve: {error}");
    }
    window.lock().handle = Some(handle);
    match failure.await {
        Ok(error) => format!("stopped, since nobody knows what is durable: {error}"),
        Err(_) => "stopped".to_string(),
    }
}
