//! Makes a data directory that of a cluster's first controller, or of one more. Start at [`init`] and [`join`].

use super::DaemonError;
use super::start::make_directory;
use crate::cluster::types::FIRST_MEMBER;
use crate::cluster::wire::Application;
use crate::cluster::{self, Own, Token};
use crate::runtime::{HostDisk, Runtime, Tokio};
use crate::store::{Identity, Store, StoreError};
use crate::tls::{Authority, Dial};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// So long controllers are asked to let somebody in.
const JOIN_MAX: Duration = Duration::from_secs(60);

/// Whose a data directory is: the cluster's first controller's, if it was nobody's.
///
/// # Errors
/// If it cannot be used, holds another cluster's store, or a joining that was not finished.
pub fn init(directory: &Path) -> Result<Identity, DaemonError> {
    make_directory(directory)?;
    let store = open(directory)?;
    settle(directory, &store).map(|(identity, _)| identity)
}

pub(super) fn open(directory: &Path) -> Result<Store, DaemonError> {
    // First of all, since it is what a second instance is refused by.
    Store::open(&HostDisk(directory.to_path_buf())).map_err(|why| store_error(directory, why))
}

pub(super) fn store_error(directory: &Path, why: StoreError) -> DaemonError {
    DaemonError::Store { path: directory.to_path_buf(), why }
}

/// The same, on a store that is open; with the cluster's authority.
pub(super) fn settle(directory: &Path, store: &Store) -> Result<(Identity, Authority), DaemonError> {
    let failed = |why| store_error(directory, why);
    if store.owner().map_err(failed)?.is_none() && store.application().map_err(failed)?.is_some() {
        return Err(DaemonError::Unfinished { path: directory.to_path_buf() });
    }
    let (authority, _) = Authority::open(directory)?;
    let cluster = authority.fingerprint().cluster();
    if let Some(identity) = store.identity(cluster).map_err(failed)? {
        return Ok((identity, authority));
    }
    // The first one is called as its cluster is, as it was before there could be others.
    let identity = Identity { cluster, member: FIRST_MEMBER, uuid: cluster };
    store.save_identity(&identity).map_err(failed)?;
    Ok((identity, authority))
}

/// Makes a data directory that of one more controller, which others will reach at `address`. If it is interrupted, or nobody
/// answers, it may be done again with the same token.
///
/// # Errors
/// If the directory is another controller's, the cluster refuses, or nobody answers within a minute.
pub async fn join(directory: &Path, token: &Token, address: SocketAddr) -> Result<Identity, DaemonError> {
    make_directory(directory)?;
    let store = open(directory)?;
    let failed = |why| store_error(directory, why);
    let cluster = token.authority.cluster();
    if let Some(identity) = store.identity(cluster).map_err(failed)? {
        return Ok(identity);
    }
    let is_used = store.last().map_err(failed)?.is_some() || store.snapshot().map_err(failed)?.is_some();
    let foreign =
        directory.join(crate::tls::CA_FILE).exists() && Authority::open(directory)?.0.fingerprint() != token.authority;
    if is_used || foreign {
        return Err(DaemonError::InUse { path: directory.to_path_buf() });
    }
    let application = application(&store, token, address).map_err(failed)?;
    let own = Own::new(cluster, None, Some(Dial::by_fingerprint(token.authority)?));
    let deadline = Tokio::now() + JOIN_MAX;
    let uuid = application.uuid;
    let welcome = cluster::join::<Tokio>(own, token.members.clone(), application, deadline).await?;
    let files = welcome.authority.filter(|files| files.fingerprint() == Some(token.authority));
    files.ok_or(DaemonError::NoAuthority)?.install(directory)?;
    let identity = Identity { cluster, member: welcome.member, uuid };
    store.save_identity(&identity).map_err(failed)?;
    Ok(identity)
}

/// As whom it asks: the same one as before if the token is the same.
fn application(store: &Store, token: &Token, address: SocketAddr) -> Result<Application, StoreError> {
    let before = store.application()?.filter(|before| before.invitation == token.invitation);
    let uuid = before.map_or_else(Tokio::uuid, |before| before.uuid);
    let application = Application { uuid, address, invitation: token.invitation, secret: token.secret.clone() };
    store.save_application(&application)?;
    Ok(application)
}
