//! Starts a controller, and stops it when it is told to. Start at [`run`].

use super::addresses::local_addresses;
use super::banner::{Listening, banner};
use super::config::Config;
use super::enrol;
use super::serving::{self, Encrypted, Serving, Stopping};
use crate::api::{self, auth};
use crate::cluster::member::SNAPSHOT_EVERY;
use crate::cluster::{JoinError, Member, MemberConfig, ProposeError};
use crate::controller::{self, CoreError, Handle, Started, SubmitError};
use crate::runtime::{Runtime, Tokio};
use crate::store::StoreError;
use crate::tls::{self, AuthorityError};
use selvedge_core::ids::MemberId;
use selvedge_core::nib::{Command, Southbound};
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The user that is made on first start.
const ADMIN: &str = "admin";
/// Holds that user's first password.
const PASSWORD_FILE: &str = "admin-password";

/// Why a controller did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The data directory cannot be used.
    #[error("data directory {}: {why}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The store cannot be used.
    #[error("data directory {}: {why}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        why: StoreError,
    },
    /// The certificate authority cannot be used.
    #[error("certificate authority: {0}")]
    Authority(#[from] AuthorityError),
    /// A joining was begun in the data directory.
    #[error("data directory {}: joining a cluster was begun here and not finished: do `selvedge cluster join` again with the same token", path.display())]
    Unfinished {
        /// Which.
        path: PathBuf,
    },
    /// The data directory is another controller's.
    #[error("data directory {}: it is a controller's already: to join another cluster, give an empty one", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// Nobody let it join.
    #[error("cannot join: {0}")]
    Join(#[from] JoinError),
    /// Who let it join gave it no authority, or another one.
    #[error("cannot join: the cluster did not give its certificate authority")]
    NoAuthority,
    /// Others cannot reach it.
    #[error("this is member {0} of a cluster: say where the other controllers reach it, with --cluster ADDR:PORT")]
    NoAddress(MemberId),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {at} for {what}: {why}; is another controller running, or is the port privileged?")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        at: SocketAddr,
        /// Why.
        why: io::Error,
    },
    /// The `Server` header is not one.
    #[error("--server: {0}")]
    Server(#[from] api::BadServer),
    /// The first user cannot be made.
    #[error("cannot make the user {ADMIN}: {0}")]
    Admin(#[from] SubmitError),
    /// The cluster goes on without it.
    #[error(transparent)]
    Gone(ProposeError),
    /// The disk failed while running.
    #[error("stopping, since nobody knows what is durable: {0}")]
    Disk(CoreError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
}

/// Runs a controller until SIGTERM or SIGINT. `announce` is told what to print when it is up.
///
/// # Errors
/// If it cannot start, or its disk fails.
pub async fn run(config: Config, announce: impl FnOnce(&str)) -> Result<(), DaemonError> {
    let directory = &config.data_dir;
    make_directory(directory)?;
    let store = enrol::open(directory)?;
    let (identity, authority) = enrol::settle(directory, &store)?;
    let addresses = local_addresses();
    let credentials = authority.controller(&certificate_names(&config.names), &addresses)?;
    let (node_uuid, number) = (identity.uuid, identity.member);
    let mutual = Some(Arc::new(authority.mutual(&credentials)?));
    let others = match config.cluster {
        Some(at) => Some(serving::bind::<Tokio>("other controllers", at).await?.0),
        None => None,
    };
    let config_of_member = MemberConfig {
        identity,
        address: config.cluster,
        southbound: southbound(&config),
        mutual,
        snapshot_every: SNAPSHOT_EVERY,
    };
    let started = controller::start::<Tokio>(store, &config_of_member).await.map_err(|error| match error {
        CoreError::Store(why) => enrol::store_error(directory, why),
        CoreError::NoAddress => DaemonError::NoAddress(number),
        error @ CoreError::Member(_) => DaemonError::Disk(error),
    })?;
    let Started { handle, member, core, .. } = started;
    if let Some(listener) = others {
        Tokio::spawn("other controllers", member.clone().serve(listener));
    }
    let stopping = Stopping::default();
    let ended = stopping.clone();
    let (failed, failure) = tokio::sync::oneshot::channel();
    Tokio::spawn("core", async move {
        if let Err(error) = core.await {
            // Nobody listens any more only if the daemon is stopping anyway.
            let _ = failed.send(error);
        }
        ended.stop();
    });

    let password = directory.join(PASSWORD_FILE);
    // One of several has the users that the cluster has.
    if member.is_alone().await.map_err(|error| DaemonError::Disk(error.into()))? {
        make_admin(&handle, &password).await?;
    }
    let (listening, api_ended) = listen(&config, (&handle, &member), &credentials, node_uuid, &stopping).await?;
    announce(&banner(&config, &listening, number, reachable(&addresses), &password));
    tokio::select! {
        biased;
        error = failure => return match error {
            Ok(CoreError::Member(gone @ (ProposeError::Dismissed | ProposeError::Outdated(_)))) => {
                Err(DaemonError::Gone(gone))
            }
            Ok(error) => Err(DaemonError::Disk(error)),
            Err(_) => Ok(()),
        },
        signal = signal() => signal.map_err(DaemonError::Signals)?,
    }
    tracing::info!("stopping");
    stopping.stop();
    api_ended.await;
    Ok(())
}

/// Where switches reach this controller: where it listens, or, if that is everywhere, where other controllers reach it.
fn southbound(config: &Config) -> Southbound {
    let told = |at: SocketAddr| {
        let at = match config.cluster {
            Some(cluster) if at.ip().is_unspecified() => SocketAddr::new(cluster.ip(), at.port()),
            Some(_) | None => at,
        };
        // A port that is picked is another one after each start.
        (at.port() != 0).then_some(at)
    };
    Southbound {
        openflow: told(config.openflow),
        openflow_tcp: config.openflow_tcp.and_then(told),
        ovsdb: told(config.ovsdb),
        ovsdb_tcp: config.ovsdb_tcp.and_then(told),
    }
}

/// Where the daemon listens.
async fn listen(
    config: &Config,
    (handle, member): (&Handle, &Member<Tokio>),
    credentials: &tls::Credentials,
    node_uuid: Uuid,
    stopping: &Stopping,
) -> Result<(Listening, impl Future<Output = ()> + use<>), DaemonError> {
    let serving = Serving {
        api: config.api,
        encrypted: Some(Encrypted { credentials, ovsdb: config.ovsdb, openflow: config.openflow }),
        ovsdb_tcp: config.ovsdb_tcp,
        openflow_tcp: config.openflow_tcp,
        server: &config.server,
        node_uuid,
        tenant_rate: config.tenant_rate,
    };
    let up = serving::serve::<Tokio>(handle, member, &serving, stopping).await?;
    let listening = Listening {
        api: up.api,
        ovsdb: up.ovsdb.expect("it is served over TLS"),
        openflow: up.openflow.expect("it is served over TLS"),
    };
    Ok((listening, up.api_ended))
}

pub(super) fn make_directory(path: &Path) -> Result<(), DaemonError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|why| DaemonError::DataDir { path: path.to_path_buf(), why })
}

/// Names for the certificate: those given, and how this machine calls itself.
fn certificate_names(given: &[String]) -> Vec<String> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = [hostname.trim().to_string(), "localhost".to_string()];
    own.into_iter().chain(given.iter().cloned()).filter(|name| !name.is_empty()).collect()
}

/// One of this machine's addresses that others can reach, if it has one.
fn reachable(addresses: &std::collections::BTreeSet<IpAddr>) -> IpAddr {
    let from_outside = |address: &&IpAddr| address.is_ipv4() && !address.is_loopback();
    addresses.iter().find(from_outside).copied().unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

/// Makes the first user, with a password that only this machine's administrator can read.
async fn make_admin(handle: &Handle, password_file: &Path) -> Result<(), DaemonError> {
    if handle.read(|state| state.nib.user(ADMIN).is_some()) {
        return Ok(());
    }
    let mut secret = [0; 15];
    Tokio::random(&mut secret);
    let password: String = secret.iter().map(|byte| ALPHABET[usize::from(byte % 32)] as char).collect();
    // The file first: a user whose password nobody knows could not be mended.
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(password_file)?;
        writeln!(file, "{password}")?;
        file.sync_all()
    };
    write().map_err(|why| DaemonError::DataDir { path: password_file.to_path_buf(), why })?;
    let password_hash = Tokio::blocking(move || auth::hash_password::<Tokio>(&password)).await;
    handle.submit(Command::SetUser { name: ADMIN.to_string(), password_hash }).await?;
    Ok(())
}

/// Five bits a character, without those that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

async fn signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
