//! The operator's desk: who is to be let into the cluster, and who is to leave it, as whoever runs the hosts wants it.
//!
//! The harness and hosts lay orders on the [`Desk`]; a [`clerk`] beside each member carries out what nobody did yet, by way
//! of the cluster, so that it is done as soon as any of them can. Start at [`settle`], what a host does before it can be a
//! member.

use selvedge_core::ids::MemberId;
use selvedge_core::nib::{ClusterCommand, Command, Invitation, Refusal};
use selvedge_net::cluster::wire::{Application, Secret};
use selvedge_net::cluster::{JoinError, Own, Welcome, join};
use selvedge_net::controller::{Handle, SubmitError};
use selvedge_net::runtime::{Moment, Runtime};
use selvedge_net::store::{Identity, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use uuid::Uuid;

/// Clerks look at the desk so often, and so do those that wait for an invitation.
const LOOK: Duration = Duration::from_millis(200);
/// So long members are asked in one go.
const JOIN_MAX: Duration = Duration::from_secs(20);

/// What lies on the desk. Clones are the same.
#[derive(Clone, Debug)]
pub struct Desk {
    cluster: Uuid,
    /// Where members may be.
    addresses: Vec<SocketAddr>,
    papers: Arc<Mutex<Papers>>,
}

#[derive(Debug, Default)]
struct Papers {
    /// Somebody formed the cluster: nobody else may.
    is_formed: bool,
    /// Who asked for an invitation: its name, where the asker is, and the secret's digest.
    wanted: BTreeMap<Uuid, (SocketAddr, String)>,
    /// Invitations that were given.
    given: BTreeSet<Uuid>,
    /// Who is to leave.
    leaving: BTreeSet<MemberId>,
}

impl Desk {
    /// The desk of a cluster whose members are at some of these addresses.
    pub fn new(cluster: Uuid, addresses: Vec<SocketAddr>) -> Desk {
        Desk { cluster, addresses, papers: Arc::default() }
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().expect("no holder panics")
    }

    /// Somebody is to leave.
    pub fn dismiss(&self, member: MemberId) {
        self.papers().leaving.insert(member);
    }

    /// What is to be carried out. `replaces` says who is at an address now.
    fn orders(&self, replaces: impl Fn(SocketAddr) -> Option<MemberId>) -> Vec<ClusterCommand> {
        let papers = self.papers();
        let wanted = papers.wanted.iter().filter(|(invitation, _)| !papers.given.contains(invitation));
        let invitations = wanted.map(|(uuid, (address, secret))| {
            // Whoever was there is not any more.
            let invitation = Invitation { secret: secret.clone(), until: u64::MAX, replaces: replaces(*address) };
            ClusterCommand::Invite { uuid: *uuid, invitation, now: 0 }
        });
        let leaving = papers.leaving.iter().map(|member| ClusterCommand::Dismiss { member: *member });
        invitations.chain(leaving).collect()
    }

    /// An order was carried out.
    fn done(&self, order: &ClusterCommand) {
        match order {
            ClusterCommand::Invite { uuid, .. } => _ = self.papers().given.insert(*uuid),
            ClusterCommand::Dismiss { member } => _ = self.papers().leaving.remove(member),
            ClusterCommand::Enter { .. }
            | ClusterCommand::Admit { .. }
            | ClusterCommand::Drain { .. }
            | ClusterCommand::Assign(_) => {}
        }
    }
}

/// Carries out what lies on the desk, by way of a member.
pub async fn clerk<R: Runtime>(desk: Desk, handle: Handle) {
    loop {
        R::sleep(LOOK).await;
        let orders = handle.read(|state| desk.orders(|address| state.nib.cluster().member_at(address)));
        for order in orders {
            match handle.submit(Command::Cluster(order.clone())).await {
                Ok(_) => desk.done(&order),
                Err(SubmitError::Refused(Refusal::NoSuchMember { member })) => {
                    // Gone already; whoever would have replaced it replaces nobody when it is tried again.
                    desk.done(&ClusterCommand::Dismiss { member });
                }
                // It is tried again, here or elsewhere.
                Err(_) => {}
            }
        }
    }
}

/// Who a host at an address is: as its store says, or the one that forms the cluster, or one that joins it.
///
/// # Errors
/// If the disk fails.
pub async fn settle<R: Runtime>(desk: &Desk, store: &Store, address: SocketAddr) -> Result<Identity, StoreError> {
    let cluster = desk.cluster;
    if let Some(identity) = store.identity(cluster)? {
        return Ok(identity);
    }
    let forms = address == desk.addresses[0] && !std::mem::replace(&mut desk.papers().is_formed, true);
    let (member, uuid) = match forms {
        true => (MemberId(1), R::uuid()),
        false => loop {
            let application = match store.application()? {
                Some(application) => application,
                None => apply::<R>(store, address)?,
            };
            let order = (address, application.secret.digest());
            desk.papers().wanted.insert(application.invitation, order);
            match admitted::<R>(desk.clone(), application.clone()).await {
                Ok(Welcome { member, .. }) => break (member, application.uuid),
                Err(JoinError::Refused(why)) => {
                    tracing::info!(why, "refused; asks for another invitation");
                    apply::<R>(store, address)?;
                }
                Err(JoinError::NoAnswer(_)) => {}
            }
        },
    };
    let identity = Identity { cluster, member, uuid };
    store.save_identity(&identity)?;
    Ok(identity)
}

/// Draws a name and asks for an invitation; the store remembers both.
fn apply<R: Runtime>(store: &Store, address: SocketAddr) -> Result<Application, StoreError> {
    let secret = Secret(R::uuid().to_string());
    let application = Application { uuid: R::uuid(), address, invitation: R::uuid(), secret };
    store.save_application(&application)?;
    Ok(application)
}

async fn admitted<R: Runtime>(desk: Desk, application: Application) -> Result<Welcome, JoinError> {
    while !desk.papers().given.contains(&application.invitation) {
        R::sleep(LOOK).await;
    }
    let others: Vec<SocketAddr> = desk.addresses.iter().copied().filter(|at| *at != application.address).collect();
    let deadline: Moment = R::now() + JOIN_MAX;
    join::<R>(Own::new(desk.cluster, None, None), others, application, deadline).await
}
