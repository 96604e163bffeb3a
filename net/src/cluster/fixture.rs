//! Clusters for tests, as the commands that make them. Start at [`commands`].

use super::types::{FIRST_MEMBER, MemberId};
use selvedge_core::nib::{ClusterCommand, Command, Invitation, Nib, Object, Southbound};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use uuid::Uuid;

/// Where a member is.
pub(crate) fn address(member: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, member as u8], 7440))
}

/// The name of a transport node.
pub(crate) fn node(n: u128) -> Uuid {
    Uuid::from_u128(1_000 + n)
}

/// Members 1 to `members` come one after the other; then transport nodes that nobody owns yet.
pub(crate) fn commands(members: u64, nodes: u128) -> Vec<Command> {
    let uuid = |member: u64| Uuid::from_u128(member.into());
    let first = ClusterCommand::Enter {
        member: FIRST_MEMBER,
        uuid: uuid(FIRST_MEMBER.0),
        address: address(FIRST_MEMBER.0),
        southbound: Southbound::default(),
    };
    let more = (FIRST_MEMBER.0 + 1..=members).flat_map(|member| {
        let invitation = Invitation { secret: String::new(), until: 9, replaces: None };
        let (uuid, address, secret) = (uuid(member), address(member), String::new());
        [
            ClusterCommand::Invite { uuid, invitation, now: 0 },
            ClusterCommand::Admit { uuid, address, invitation: uuid, secret, now: 0 },
        ]
    });
    let cluster = std::iter::once(first).chain(more).map(Command::Cluster);
    let nodes = (0..nodes).map(|n| {
        let object = Object::TransportNode(serde_json::from_str("{}").expect("all fields have defaults"));
        Command::Create { uuid: node(n), object }
    });
    cluster.chain(nodes).collect()
}

/// The NIB that [`commands`] make.
pub(crate) fn nib(members: u64, nodes: u128) -> Nib {
    let mut nib = Nib::default();
    commands(members, nodes).iter().for_each(|command| _ = nib.apply(command).expect("lawful"));
    nib
}

/// Applies a command that is about the cluster.
pub(crate) fn apply(nib: &mut Nib, command: ClusterCommand) {
    nib.apply(&Command::Cluster(command)).expect("lawful");
}

/// Members by their numbers.
pub(crate) fn members(numbers: &[u64]) -> BTreeSet<MemberId> {
    numbers.iter().copied().map(MemberId).collect()
}
