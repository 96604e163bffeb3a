//! A controller in a simulated world: the code that ships, on the world's runtime and disk.
//!
//! Start at [`software`]; what the harness sees of it is a [`Window`].

use super::client::USER;
use crate::cluster::desk::{Desk, clerk, settle};
use crate::window::Window;
use selvedge_core::nib::{Command, Southbound};
use selvedge_net::api::auth::Rate;
use selvedge_net::cluster::MemberConfig;
use selvedge_net::controller::{self, Started};
use selvedge_net::daemon::serving::{self, Serving, Stopping};
use selvedge_net::runtime::{Disk, Runtime};
use selvedge_net::store::{Store, StoreError};
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// Where the API listens.
pub const API_PORT: u16 = 80;
/// Where OVSDB listens.
pub const OVSDB_PORT: u16 = 6640;
/// Where OpenFlow listens.
pub const OPENFLOW_PORT: u16 = 6653;

/// Where controllers listen to each other.
pub const CLUSTER_PORT: u16 = 7440;

/// The name of a controller that is alone.
const CONTROLLER_UUID: Uuid = Uuid::from_u128(1);

/// The hash of the simulated clients' password: with the smallest parameters, since what it costs to guess is tested
/// elsewhere. The parameters are part of the hash, so the code that checks it is the same.
const PASSWORD_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$RL46w+5hGK/wIWHciDG7sB3BvJddJJwCt6KNO/0XjGM";

/// What a controller is given.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its host's address.
    pub at: IpAddr,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
    /// Where it becomes one of several; nothing if it is the only one.
    pub desk: Option<Desk>,
}

/// What runs on a controller's host. It ends when the controller cannot start or its disk fails: then its process is
/// gone, as the daemon's would be.
pub async fn software<R: Runtime, D: Disk>(place: Place, disk: D, window: Window) {
    let ended = live::<R, D>(&place, disk, &window).await;
    window.end(ended);
}

async fn live<R: Runtime, D: Disk>(place: &Place, disk: D, window: &Window) -> String {
    let store = match Store::open(&disk) {
        Ok(opened) => opened,
        Err(error) => return format!("cannot start: {error}"),
    };
    let config = match config::<R>(place, &store).await {
        Ok(config) => config,
        Err(error) => return format!("cannot start: {error}"),
    };
    let Started { handle, member, core, from_snapshot } = match controller::start::<R>(store, &config).await {
        Ok(started) => started,
        Err(error) => return format!("cannot start: {error}"),
    };
    if let Some(desk) = &place.desk {
        match R::listen(SocketAddr::new(place.at, CLUSTER_PORT)).await {
            Ok(listener) => R::spawn("members", member.clone().serve(listener)),
            Err(error) => return format!("cannot listen: {error}"),
        }
        R::spawn("clerk", clerk::<R>(desk.clone(), handle.clone()));
    }
    let (failed, failure) = tokio::sync::oneshot::channel();
    R::spawn("core", async move {
        if let Err(error) = core.await {
            // Nobody listens any more only if the process is going down anyway.
            let _ = failed.send(error.to_string());
        }
    });
    // One of several has the users that the cluster has.
    let is_alone = member.is_alone().await.unwrap_or(false);
    if is_alone && handle.read(|state| state.nib.user(USER).is_none()) {
        let command = Command::SetUser { name: USER.to_string(), password_hash: PASSWORD_HASH.to_string() };
        if let Err(error) = handle.submit(command).await {
            return format!("cannot make the user {USER}: {error}");
        }
    }
    let at = |port| SocketAddr::new(place.at, port);
    let serving = Serving {
        api: at(API_PORT),
        encrypted: None,
        ovsdb_tcp: Some(at(OVSDB_PORT)),
        openflow_tcp: Some(at(OPENFLOW_PORT)),
        server: "NVP/4.2.1.35000",
        node_uuid: config.identity.uuid,
        tenant_rate: Rate::default(),
    };
    if let Err(error) = serving::serve::<R>(&handle, &member, &serving, &Stopping::default()).await {
        return format!("cannot serve: {error}");
    }
    window.open(handle, member, config.identity.member, from_snapshot);
    match failure.await {
        Ok(error) => format!("stopped, since nobody knows what is durable: {error}"),
        Err(_) => "stopped".to_string(),
    }
}

/// Who it is: as its store says, or as it became.
async fn config<R: Runtime>(place: &Place, store: &Store) -> Result<MemberConfig, StoreError> {
    let Some(desk) = &place.desk else { return Ok(MemberConfig::alone(CONTROLLER_UUID, place.snapshot_every)) };
    let at = |port| SocketAddr::new(place.at, port);
    let southbound =
        Southbound { openflow_tcp: Some(at(OPENFLOW_PORT)), ovsdb_tcp: Some(at(OVSDB_PORT)), ..Southbound::default() };
    let identity = settle::<R>(desk, store, at(CLUSTER_PORT)).await?;
    let snapshot_every = place.snapshot_every;
    Ok(MemberConfig { identity, address: Some(at(CLUSTER_PORT)), southbound, mutual: None, snapshot_every })
}
