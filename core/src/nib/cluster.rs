//! Who the controllers of a cluster are, and who may become one.
//!
//! This is what is wanted; the log's own membership follows it, one change at a time, and is what votes. Numbers of members
//! are given out here, and none is given twice: a disk that comes back after its member was dismissed is nobody's.
//! Start at [`ClusterCommand`].

use super::{Change, Nib, Refusal};
use crate::ids::{MemberId, Revision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

/// Where switches reach a controller, for as far as it takes them in that way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Southbound {
    /// OpenFlow over TLS.
    pub openflow: Option<SocketAddr>,
    /// OpenFlow without.
    pub openflow_tcp: Option<SocketAddr>,
    /// OVSDB over TLS.
    pub ovsdb: Option<SocketAddr>,
    /// OVSDB without.
    pub ovsdb_tcp: Option<SocketAddr>,
}

/// Who writes to a transport node from now on, and who takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The transport node.
    pub node: Uuid,
    /// Who writes to it.
    pub owner: MemberId,
    /// Who takes over if that one fails, if there is anybody.
    pub standby: Option<MemberId>,
}

/// A controller that is a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its name, drawn by itself.
    pub uuid: Uuid,
    /// Where other members reach it.
    pub address: SocketAddr,
    /// Where switches reach it.
    pub southbound: Southbound,
    /// No transport node is to be its own.
    pub is_drained: bool,
    /// Since when it is a member, or at that address.
    pub modified: Revision,
    /// By which invitation it came, and the digest of that one's secret; nothing if it formed the cluster.
    pub invitation: Option<(Uuid, String)>,
}

impl MemberRecord {
    fn new(uuid: Uuid, address: SocketAddr, modified: Revision, invitation: Option<(Uuid, String)>) -> MemberRecord {
        MemberRecord { uuid, address, southbound: Southbound::default(), is_drained: false, modified, invitation }
    }
}

/// Leave to join, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// A digest of the secret that who joins must know.
    pub secret: String,
    /// Until when, in seconds of Unix time by the clock of whoever asks.
    pub until: u64,
    /// Who leaves when it is used.
    pub replaces: Option<MemberId>,
}

/// Something about the cluster is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterCommand {
    /// A member says where it is; the first to say so forms the cluster.
    Enter {
        /// Its number.
        member: MemberId,
        /// Its name.
        uuid: Uuid,
        /// Where other members reach it.
        address: SocketAddr,
        /// Where switches reach it.
        southbound: Southbound,
    },
    /// Somebody may join.
    Invite {
        /// The invitation's name, drawn by the caller. It may be repeated.
        uuid: Uuid,
        /// What it says.
        invitation: Invitation,
        /// The caller's Unix time, in seconds: what ended before is forgotten.
        now: u64,
    },
    /// Somebody joins. It may be repeated, and is the same joining then.
    Admit {
        /// The name that the new member drew for itself.
        uuid: Uuid,
        /// Where other members reach it.
        address: SocketAddr,
        /// By which invitation.
        invitation: Uuid,
        /// The digest of the secret that it showed.
        secret: String,
        /// The caller's Unix time, in seconds.
        now: u64,
    },
    /// A member leaves, or is dead for good.
    Dismiss {
        /// Its number.
        member: MemberId,
    },
    /// A member's transport nodes are handed to others, or it may have some again.
    Drain {
        /// Its number.
        member: MemberId,
        /// Whether it is to have none.
        is_drained: bool,
    },
    /// Transport nodes get new masters. Those that are gone, and controllers that are none, are passed over.
    Assign(Vec<Assignment>),
}

impl ClusterCommand {
    /// What it is about, for the audit log.
    pub(super) fn about(&self) -> Option<String> {
        let controller = |member: &MemberId, what: &str| Some(format!("controller {}{what}", member.0));
        match self {
            ClusterCommand::Enter { member, .. } => controller(member, " enters"),
            ClusterCommand::Invite { uuid, .. } => Some(format!("invitation {uuid}")),
            ClusterCommand::Admit { address, .. } => Some(format!("controller at {address} joins")),
            ClusterCommand::Dismiss { member } => controller(member, " leaves"),
            ClusterCommand::Drain { member, is_drained: true } => controller(member, " drains"),
            ClusterCommand::Drain { member, is_drained: false } => controller(member, " serves again"),
            ClusterCommand::Assign(_) => None,
        }
    }
}

/// The cluster as it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    members: BTreeMap<MemberId, MemberRecord>,
    invitations: BTreeMap<Uuid, Invitation>,
    /// The highest number given out.
    last: MemberId,
    /// How many commands were about it, those that were refused among them.
    commands: u64,
}

impl Cluster {
    /// Its members; none if there is only one controller, which nobody can reach.
    pub fn members(&self) -> &BTreeMap<MemberId, MemberRecord> {
        &self.members
    }

    /// Invitations that nobody used yet.
    pub fn invitations(&self) -> &BTreeMap<Uuid, Invitation> {
        &self.invitations
    }

    /// Nobody, yet; numbers of members begin with this one.
    pub(super) fn beginning_after(last: MemberId) -> Cluster {
        Cluster { last, ..Cluster::default() }
    }

    /// The highest number given out.
    pub fn last(&self) -> MemberId {
        self.last
    }

    /// How many commands were about the cluster, those that were refused among them.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Whether somebody was a member once, and is none any more.
    pub fn is_dismissed(&self, member: MemberId) -> bool {
        !self.members.is_empty() && member <= self.last && !self.members.contains_key(&member)
    }

    /// The member at an address, if there is one.
    pub fn member_at(&self, address: SocketAddr) -> Option<MemberId> {
        self.members.iter().find(|(_, record)| record.address == address).map(|(member, _)| *member)
    }

    fn check_address(&self, address: SocketAddr, but: Option<MemberId>) -> Result<(), Refusal> {
        let other = self.member_at(address).filter(|member| Some(*member) != but);
        other.map_or(Ok(()), |by| Err(Refusal::AddressInUse { address, by }))
    }

    fn known(&self, member: MemberId) -> Result<(), Refusal> {
        if self.members.contains_key(&member) { Ok(()) } else { Err(Refusal::NoSuchMember { member }) }
    }

    fn enter(
        &mut self,
        (member, uuid): (MemberId, Uuid),
        (address, southbound): (SocketAddr, Southbound),
        modified: Revision,
    ) -> Result<(), Refusal> {
        self.check_address(address, Some(member))?;
        if self.members.is_empty() {
            self.last = self.last.max(member);
            self.members.insert(member, MemberRecord::new(uuid, address, modified, None));
        }
        let record = self.members.get_mut(&member).filter(|record| record.uuid == uuid);
        let record = record.ok_or(Refusal::NoSuchMember { member })?;
        (record.address, record.southbound, record.modified) = (address, southbound, modified);
        Ok(())
    }

    fn invite(&mut self, uuid: Uuid, invitation: &Invitation, now: u64) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Err(Refusal::NoCluster);
        }
        invitation.replaces.map_or(Ok(()), |member| self.known(member))?;
        self.invitations.retain(|_, other| other.until > now);
        self.invitations.insert(uuid, invitation.clone());
        Ok(())
    }

    fn admit(
        &mut self,
        (uuid, address): (Uuid, SocketAddr),
        (invitation, secret): (Uuid, &str),
        now: u64,
        modified: Revision,
    ) -> Result<(), Refusal> {
        let shown = Some((invitation, secret.to_string()));
        if self.members.values().any(|record| record.uuid == uuid && record.invitation == shown) {
            return Ok(());
        }
        let refused = |why: &'static str| Err(Refusal::NotInvited { why: why.into() });
        let Some(Invitation { secret: right, until, replaces }) = self.invitations.get(&invitation).cloned() else {
            return refused("it was used, has expired, or was never given");
        };
        if right != secret {
            return refused("its secret is wrong");
        }
        if now >= until {
            return refused("it has expired");
        }
        self.check_address(address, replaces)?;
        self.invitations.remove(&invitation);
        replaces.into_iter().for_each(|member| _ = self.members.remove(&member));
        self.last.0 += 1;
        self.members.insert(self.last, MemberRecord::new(uuid, address, modified, shown));
        Ok(())
    }

    fn drain(&mut self, member: MemberId, is_drained: bool) -> Result<(), Refusal> {
        self.known(member)?;
        self.members.entry(member).and_modify(|record| record.is_drained = is_drained);
        Ok(())
    }

    fn dismiss(&mut self, member: MemberId) -> Result<(), Refusal> {
        self.known(member)?;
        if self.members.len() == 1 {
            return Err(Refusal::LastMember { member });
        }
        self.members.remove(&member);
        Ok(())
    }
}

impl Nib {
    /// Who the controllers are.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn change_cluster(&mut self, command: &ClusterCommand) -> Result<Vec<Change>, Refusal> {
        let revision = self.revision;
        let cluster = &mut self.cluster;
        cluster.commands += 1;
        match command {
            ClusterCommand::Enter { member, uuid, address, southbound } => {
                cluster.enter((*member, *uuid), (*address, *southbound), revision)?;
            }
            ClusterCommand::Invite { uuid, invitation, now } => cluster.invite(*uuid, invitation, *now)?,
            ClusterCommand::Admit { uuid, address, invitation, secret, now } => {
                cluster.admit((*uuid, *address), (*invitation, secret), *now, revision)?;
            }
            ClusterCommand::Dismiss { member } => cluster.dismiss(*member)?,
            ClusterCommand::Drain { member, is_drained } => cluster.drain(*member, *is_drained)?,
            ClusterCommand::Assign(assignments) => {
                return Ok(assignments.iter().filter_map(|assignment| self.assign(assignment)).collect());
            }
        }
        Ok(vec![Change::Cluster])
    }

    /// A new owner is a new mastership, under an epoch that is higher than all before.
    fn assign(&mut self, assignment: &Assignment) -> Option<Change> {
        let Assignment { node, owner, standby } = assignment;
        let members = &self.cluster.members;
        let record = self.nodes.get_mut(node).filter(|_| members.contains_key(owner))?;
        let standby = standby.filter(|standby| standby != owner && members.contains_key(standby));
        if record.owner != Some(*owner) {
            self.last_epoch.0 += 1;
            record.epoch = self.last_epoch;
        }
        let is_new = (record.owner, record.standby) != (Some(*owner), standby);
        (record.owner, record.standby) = (Some(*owner), standby);
        is_new.then_some(Change::Master(*node))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn address(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    fn enter(nib: &mut Nib, member: u64, at: u16) -> Result<(), Refusal> {
        let uuid = Uuid::from_u128(member.into());
        let southbound = Southbound::default();
        let command = ClusterCommand::Enter { member: MemberId(member), uuid, address: address(at), southbound };
        nib.apply(&Command::Cluster(command)).map(|_| ())
    }

    fn invite(nib: &mut Nib, n: u128, replaces: Option<u64>) -> Result<(), Refusal> {
        let invitation = Invitation { secret: format!("s{n}"), until: 100, replaces: replaces.map(MemberId) };
        let command = ClusterCommand::Invite { uuid: Uuid::from_u128(n), invitation, now: 10 };
        nib.apply(&Command::Cluster(command)).map(|_| ())
    }

    fn admit(nib: &mut Nib, uuid: u128, by: u128, secret: &str, (at, now): (u16, u64)) -> Result<(), Refusal> {
        let (uuid, invitation, secret) = (Uuid::from_u128(uuid), Uuid::from_u128(by), secret.to_string());
        let command = ClusterCommand::Admit { uuid, address: address(at), invitation, secret, now };
        nib.apply(&Command::Cluster(command)).map(|_| ())
    }

    fn members(nib: &Nib) -> Vec<u64> {
        nib.cluster().members().keys().map(|member| member.0).collect()
    }

    #[test]
    fn an_invitation_is_good_once_for_one_who_knows_its_secret_in_time() {
        let mut nib = Nib::default();
        assert_eq!(invite(&mut nib, 7, None), Err(Refusal::NoCluster));
        enter(&mut nib, 1, 1).expect("it forms the cluster");
        enter(&mut nib, 1, 2).expect("it moved");
        assert_eq!(enter(&mut nib, 2, 3), Err(Refusal::NoSuchMember { member: MemberId(2) }));
        invite(&mut nib, 7, None).expect("lawful");
        let why = |result: Result<(), Refusal>| result.expect_err("refused").to_string();
        assert!(why(admit(&mut nib, 50, 7, "guess", (3, 20))).contains("secret is wrong"));
        assert!(why(admit(&mut nib, 50, 7, "s7", (3, 100))).contains("has expired"));
        assert!(why(admit(&mut nib, 50, 8, "s7", (3, 20))).contains("never given"));
        assert!(why(admit(&mut nib, 50, 7, "s7", (2, 20))).contains("192.0.2.1:2 is that of member 1"));
        admit(&mut nib, 50, 7, "s7", (3, 20)).expect("lawful");
        admit(&mut nib, 50, 7, "s7", (3, 20)).expect("the same again");
        assert_eq!(members(&nib), [1, 2]);
        assert!(why(admit(&mut nib, 51, 7, "s7", (4, 20))).contains("was used"));
    }

    #[test]
    fn numbers_are_not_given_twice_and_the_last_member_stays() {
        let mut nib = Nib::default();
        enter(&mut nib, 1, 1).expect("it forms the cluster");
        invite(&mut nib, 7, None).expect("lawful");
        admit(&mut nib, 50, 7, "s7", (3, 20)).expect("lawful");
        assert!(!nib.cluster().is_dismissed(MemberId(2)) && !nib.cluster().is_dismissed(MemberId(3)));
        invite(&mut nib, 8, Some(2)).expect("lawful");
        admit(&mut nib, 51, 8, "s8", (3, 20)).expect("at the address of whom it replaces");
        assert_eq!(members(&nib), [1, 3]);
        assert!(nib.cluster().is_dismissed(MemberId(2)));
        let dismiss = |nib: &mut Nib, n| {
            nib.apply(&Command::Cluster(ClusterCommand::Dismiss { member: MemberId(n) })).map(|_| ())
        };
        assert_eq!(dismiss(&mut nib, 2), Err(Refusal::NoSuchMember { member: MemberId(2) }));
        dismiss(&mut nib, 3).expect("lawful");
        assert_eq!(dismiss(&mut nib, 1), Err(Refusal::LastMember { member: MemberId(1) }));
        invite(&mut nib, 9, None).expect("lawful");
        admit(&mut nib, 52, 9, "s9", (3, 20)).expect("lawful");
        assert_eq!(members(&nib), [1, 4]);
    }

    #[test]
    fn a_new_owner_is_a_new_epoch_and_strangers_own_nothing() {
        use super::super::Object;
        let mut nib = Nib::default();
        enter(&mut nib, 1, 1).expect("it forms the cluster");
        invite(&mut nib, 7, None).expect("lawful");
        admit(&mut nib, 50, 7, "s7", (3, 20)).expect("lawful");
        let node = Uuid::from_u128(70);
        let object = Object::TransportNode(serde_json::from_str("{}").expect("defaults"));
        nib.apply(&Command::Create { uuid: node, object }).expect("lawful");
        let assign = |nib: &mut Nib, owner, standby: Option<u64>| {
            let assignment = Assignment { node, owner: MemberId(owner), standby: standby.map(MemberId) };
            let changes = nib.apply(&Command::Cluster(ClusterCommand::Assign(vec![assignment]))).expect("lawful");
            let record = &nib.nodes()[&node];
            (changes.len(), record.epoch.0, record.owner, record.standby)
        };
        let (one, two) = (Some(MemberId(1)), Some(MemberId(2)));
        assert_eq!(assign(&mut nib, 1, Some(2)), (1, 2, one, two));
        assert_eq!(assign(&mut nib, 1, Some(2)), (0, 2, one, two));
        assert_eq!(assign(&mut nib, 1, Some(9)), (1, 2, one, None));
        assert_eq!(assign(&mut nib, 2, Some(1)), (1, 3, two, one));
        assert_eq!(assign(&mut nib, 9, Some(1)), (0, 3, two, one));
        assert_eq!(assign(&mut nib, 1, Some(1)), (1, 4, one, None));
    }
}
