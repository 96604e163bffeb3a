//! Members on real sockets and disks.

use super::*;
use crate::cluster::join::{JoinError, Welcome, join};
use crate::cluster::types::MemberId;
use crate::cluster::wire::{Application, Secret};
use crate::controller::{Started, start};
use crate::runtime::{HostDisk, Tokio};
use crate::tls::{Authority, Dial};
use selvedge_core::nib::{ClusterCommand, Command, Invitation, Southbound};
use std::collections::BTreeSet;
use std::path::Path;

const CLUSTER: Uuid = Uuid::from_u128(7);
const SECRET: &str = "a secret";

fn write(n: usize) -> Command {
    Command::SetUser { name: format!("user{n}"), password_hash: String::new() }
}

type Listening = <Tokio as Runtime>::Listener;

async fn port() -> (Listening, SocketAddr) {
    let listener = Tokio::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let at = listener.local_addr().expect("an address");
    (listener, at)
}

/// A member that answers at a port.
async fn up(
    directory: &Path,
    identity: Identity,
    mutual: Option<Arc<Mutual>>,
    (listener, at): (Listening, SocketAddr),
) -> (Handle, Member<Tokio>) {
    let own = directory.join(identity.uuid.to_string());
    std::fs::create_dir_all(&own).expect("a directory");
    let store = Store::open(&HostDisk(own)).expect("an empty store");
    let config =
        MemberConfig { identity, address: Some(at), southbound: Southbound::default(), mutual, snapshot_every: 10 };
    let Started { handle, member, core, .. } = start::<Tokio>(store, &config).await.expect("it starts");
    // It ends with an error when the member is stopped or dismissed.
    Tokio::spawn("core", async move { _ = core.await });
    Tokio::spawn("members", member.clone().serve(listener));
    (handle, member)
}

fn identity(cluster: Uuid, member: u64) -> Identity {
    Identity { cluster, member: MemberId(member), uuid: Uuid::from_u128(member.into()) }
}

fn deadline() -> Moment {
    Tokio::now() + Duration::from_secs(20)
}

/// Lets somebody join whose name is `n`; says by which application.
async fn invite(handle: &Handle, n: u128, address: SocketAddr, replaces: Option<MemberId>) -> Application {
    handle.wait::<Tokio, _>(deadline(), |state| (!state.nib.cluster().members().is_empty()).then_some(())).await;
    let secret = Secret(SECRET.to_string());
    let invitation = Invitation { secret: secret.digest(), until: u64::MAX, replaces };
    let command = ClusterCommand::Invite { uuid: Uuid::from_u128(n), invitation, now: 0 };
    handle.submit(Command::Cluster(command)).await.expect("there is a cluster");
    Application { uuid: Uuid::from_u128(n), address, invitation: Uuid::from_u128(n), secret }
}

#[tokio::test]
async fn an_address_that_came_to_another_member_or_cluster_is_noticed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (listener, at) = port().await;
    let (_handle, _) = up(directory.path(), identity(CLUSTER, 1), None, (listener, at)).await;
    let node = BasicNode { addr: at.to_string() };
    let ask = async |cluster, id| {
        let mut peer = Peer::<Tokio>::new(Own::new(cluster, Some(FIRST_MEMBER), None), MemberId(id), &node);
        peer.ask(Ask::ReadIndex, Duration::from_secs(5)).await
    };
    assert!(matches!(ask(CLUSTER, 1).await, Ok(Said::ReadIndex(_))));
    let other = Uuid::from_u128(8);
    assert!(matches!(ask(other, 1).await, Err(Unanswered::Denied(Denied::OtherCluster(CLUSTER)))));
    assert!(matches!(ask(CLUSTER, 3).await, Err(Unanswered::Denied(Denied::OtherMember(FIRST_MEMBER)))));
}

#[tokio::test]
async fn a_disk_of_before_there_were_others_is_noticed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = || async { up(directory.path(), identity(CLUSTER, 1), None, port().await).await };
    let (handle, member) = first().await;
    handle.submit(write(1)).await.expect("agreed upon");
    member.stop().await;
    drop(handle);
    let disk = directory.path().join(Uuid::from_u128(1).to_string()).join(crate::store::FILE_NAME);
    let copy = std::fs::read(&disk).expect("there is one");

    let (listener, at) = port().await;
    let (handle, member) = up(directory.path(), identity(CLUSTER, 1), None, (listener, at)).await;
    let own = port().await;
    let application = invite(&handle, 2, own.1, None).await;
    let joiner = Own::new(CLUSTER, None, None);
    let welcome = join::<Tokio>(joiner, vec![at], application, deadline()).await.expect("it may");
    assert_eq!(welcome.member, MemberId(2));
    let ask = async |at: SocketAddr| {
        let node = BasicNode { addr: at.to_string() };
        let mut peer = Peer::<Tokio>::new(Own::new(CLUSTER, Some(MemberId(2)), None), FIRST_MEMBER, &node);
        peer.ask(Ask::ReadIndex, Duration::from_secs(5)).await
    };
    assert!(matches!(ask(at).await, Ok(Said::ReadIndex(_))), "it knows who asks");
    member.stop().await;
    drop(handle);

    std::fs::write(&disk, copy).expect("put back");
    let (listener, at) = port().await;
    let (_handle, member) = up(directory.path(), identity(CLUSTER, 1), None, (listener, at)).await;
    assert!(matches!(ask(at).await, Err(Unanswered::Denied(Denied::Refused(_)))));
    assert_eq!(Tokio::before(deadline(), member.failure()).await, Some(ProposeError::Outdated(MemberId(2))));
}

/// On real sockets and disks, over TLS: three form a cluster, agree, and one is replaced by a fourth at another address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_agree_and_are_replaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (authority, _) = Authority::open(directory.path()).expect("made");
    let cluster = authority.fingerprint().cluster();
    let mutual = || {
        let credentials = authority.controller(&[], &BTreeSet::new()).expect("signed");
        Some(Arc::new(authority.mutual(&credentials).expect("sound")))
    };
    let joiner = Own::new(cluster, None, Some(Dial::by_fingerprint(authority.fingerprint()).expect("sound")));
    let (listener, at) = port().await;
    let mut members = vec![up(directory.path(), identity(cluster, 1), mutual(), (listener, at)).await];
    for n in 2..=3 {
        let own = port().await;
        let application = invite(&members[0].0, n, own.1, None).await;
        let welcome = join::<Tokio>(joiner.clone(), vec![at], application.clone(), deadline()).await.expect("it may");
        let Welcome { member, authority: Some(files) } = welcome else { panic!("{welcome:?} has no authority") };
        assert_eq!((member, files.fingerprint()), (MemberId(n as u64), Some(authority.fingerprint())));
        members.push(up(directory.path(), identity(cluster, n as u64), mutual(), own).await);
    }
    let is_voted_for = async |voters: &[u64], by: &Member<Tokio>| {
        let wanted: BTreeSet<MemberId> = voters.iter().map(|n| MemberId(*n)).collect();
        let mut metrics = by.raft.metrics();
        let agreed = async {
            while !metrics.borrow_watched().committed_membership_config.voter_ids().eq(wanted.iter().copied()) {
                metrics.changed().await.expect("it lives");
            }
        };
        Tokio::before(deadline(), agreed).await.expect("the membership is as wanted");
    };
    is_voted_for(&[1, 2, 3], &members[0].1).await;
    let mut revision = None;
    for n in 0..30 {
        let (handle, _) = &members[n % 3];
        let next = Some(handle.submit(write(n)).await.expect("agreed upon"));
        assert!(next > revision, "each is later than what was told before");
        revision = next;
    }
    for (handle, member) in &members {
        member.catch_up(deadline()).await.expect("the leader says");
        assert!(Some(handle.read(|state| state.nib.revision())) >= revision);
        assert!(handle.read(|state| (0..30).all(|n| state.nib.user(&format!("user{n}")).is_some())));
    }

    let refused = |application: Application| {
        let joiner = joiner.clone();
        async move { join::<Tokio>(joiner.clone(), vec![at], application.clone(), deadline()).await.expect_err("refused") }
    };
    let own = port().await;
    let application = invite(&members[0].0, 4, own.1, Some(MemberId(2))).await;
    let wrong = Application { secret: Secret("a guess".into()), ..application.clone() };
    assert!(matches!(refused(wrong).await, JoinError::Refused(why) if why.contains("secret is wrong")));
    // Who shows no certificate may do nothing else.
    let mut stranger = Peer::<Tokio>::somebody(Own::new(cluster, Some(MemberId(3)), joiner.dial.clone()), at);
    let denied = stranger.ask(Ask::ReadIndex, Duration::from_secs(5)).await.expect_err("it shows nothing");
    assert!(denied.to_string().contains("certificate"), "{denied}");

    let welcome = join::<Tokio>(joiner.clone(), vec![at], application.clone(), deadline()).await.expect("it may");
    assert_eq!(welcome.member, MemberId(4));
    let again = join::<Tokio>(joiner.clone(), vec![at], application.clone(), deadline()).await.expect("the same again");
    assert_eq!(again.member, MemberId(4));
    let other = Application { uuid: Uuid::from_u128(5), ..application };
    assert!(matches!(refused(other).await, JoinError::Refused(why) if why.contains("was used")));
    let (handle, fourth) = up(directory.path(), identity(cluster, 4), mutual(), own).await;
    is_voted_for(&[1, 3, 4], &fourth).await;
    assert!(handle.read(|state| state.nib.user("user29").is_some()), "it got everything that was agreed upon before");
    let told = Tokio::before(deadline(), members[1].1.failure()).await;
    assert_eq!(told, Some(ProposeError::Dismissed));
    for (_, member) in &members {
        member.stop().await;
    }
    fourth.stop().await;
}
