//! The network information base: what users want, and what transport nodes report.
//!
//! A [`Command`] is applied by [`Nib::apply`], which either refuses it or changes the NIB and says what
//! [`Change`]d. Applying is deterministic: every member of a cluster that applies the same commands in the same
//! order holds the same NIB, numbers included, since all numbers (tunnel keys, port keys, epochs) are allocated here
//! and nowhere else. Each applied command, refused or not, is a [`Revision`].
//!
//! The NIB holds intent and observation, nothing derived; flows are [`crate::compile`]'s. Start at [`Nib`].

mod access;
mod apply;
mod attach;
mod cluster;
mod config;
mod counters;
mod kinds;
mod location;
mod references;
mod refusal;
mod restore;
mod sessions;

pub use access::{
    AUDIT_MAX, AuditRecord, Author, Role, SHARED_SCOPE, TENANT_TAGS_MAX, USER_LENGTH_MAX, USERS_MAX, UserCommand,
};
pub use cluster::{Assignment, Cluster, ClusterCommand, Invitation, MemberRecord, Southbound};
pub use config::*;
pub use counters::{CountedFrom, Counters};
pub use location::{Claim, Location, ObservedVif};
pub use refusal::{Invalid, Refusal};
pub use sessions::{SESSIONS_MAX, SessionCommand, SessionRecord};

use crate::ids::{Epoch, MemberId, NodeNumber, OfPort, PortKey, Revision, TunnelKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use uuid::Uuid;

/// Something to be done to the NIB. Serialised into the log, so variants and fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make a resource.
    Create {
        /// Its name, drawn by the caller.
        uuid: Uuid,
        /// What it is.
        object: Object,
    },
    /// Replace a resource's configuration.
    Update {
        /// Its name.
        uuid: Uuid,
        /// What it is from now on.
        object: Object,
        /// The revision it was read at; refused if it changed since.
        read_at: Revision,
    },
    /// Remove a resource, and what belongs to it.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        uuid: Uuid,
    },
    /// Plug a logical port in, or out.
    Attach {
        /// The port.
        port: Uuid,
        /// What it is plugged into from now on.
        attachment: Attachment,
    },
    /// Count what passes a port from now on.
    CountFrom {
        /// The port.
        port: Uuid,
        /// How far its interface has counted; nothing if it has none.
        from: Option<CountedFrom>,
    },
    /// A transport node's VIFs changed, as its master has seen.
    Observe {
        /// The node.
        node: Uuid,
        /// Under which mastership that was seen: who is not the master any more has no say. Nothing: that is not asked, as in
        /// records of releases that had no masters.
        #[serde(default)]
        epoch: Option<Epoch>,
        /// VIFs that appeared, or whose interface changed.
        present: Vec<ObservedVif>,
        /// VIFs that are no longer there.
        gone: Vec<String>,
    },
    /// Change who the controllers are.
    Cluster(ClusterCommand),
    /// Somebody logs in or out.
    Session(SessionCommand),
    /// Change who may do what.
    User(UserCommand),
    /// Users may only read, or may change things again.
    ReadOnly {
        /// Whether they may only read.
        on: bool,
    },
    /// Do what a user asked for, if they may.
    By {
        /// Who asked.
        author: Author,
        /// For what.
        command: Box<Command>,
    },
    /// Add an administrator of the API, or change their password.
    SetUser {
        /// The login name.
        name: String,
        /// The password's hash, in PHC string format.
        password_hash: String,
    },
}

/// What a command touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A transport zone.
    Zone(Uuid),
    /// A transport node.
    Node(Uuid),
    /// A logical switch.
    Switch(Uuid),
    /// A logical port, its attachment or its location.
    Port(Uuid),
    /// Something from which nothing follows yet.
    Kept(Kind, Uuid),
    /// Users, or what they may do.
    User,
    /// What a transport node is known to have.
    Observed(Uuid),
    /// Which controller writes to a transport node.
    Master(Uuid),
    /// Who the controllers are.
    Cluster,
}

impl Change {
    /// The resource that it is about, if users see one.
    pub fn resource(self) -> Option<(Kind, Uuid)> {
        match self {
            Change::Zone(uuid) => Some((Kind::TransportZone, uuid)),
            Change::Node(uuid) => Some((Kind::TransportNode, uuid)),
            Change::Switch(uuid) => Some((Kind::LogicalSwitch, uuid)),
            Change::Port(uuid) => Some((Kind::LogicalPort, uuid)),
            Change::Kept(kind, uuid) => Some((kind, uuid)),
            Change::User | Change::Observed(_) | Change::Master(_) | Change::Cluster => None,
        }
    }
}

/// A transport zone in the NIB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecord {
    /// As configured.
    pub config: TransportZone,
    /// When it last changed.
    pub modified: Revision,
}

/// A transport node in the NIB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// As configured.
    pub config: TransportNode,
    /// Its number in cookies and buckets.
    pub number: NodeNumber,
    /// The mastership it is under.
    pub epoch: Epoch,
    /// The controller that writes to it; nobody in particular if there is only one.
    #[serde(default)]
    pub owner: Option<MemberId>,
    /// The controller that takes over if that one fails.
    #[serde(default)]
    pub standby: Option<MemberId>,
    /// When its configuration last changed.
    pub modified: Revision,
    /// The VIFs it reports, by VIF identifier.
    pub vifs: BTreeSet<String>,
}

/// A logical switch in the NIB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchRecord {
    /// As configured.
    pub config: LogicalSwitch,
    /// Its key in tunnels.
    pub key: TunnelKey,
    /// The highest port key given out so far.
    pub last_port_key: PortKey,
    /// When its configuration last changed.
    pub modified: Revision,
}

/// A logical port in the NIB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRecord {
    /// The switch it belongs to.
    pub switch: Uuid,
    /// As configured; `portno` is always there.
    pub config: LogicalPort,
    /// Its key on the switch.
    pub key: PortKey,
    /// What it is plugged into.
    pub attachment: Attachment,
    /// When its configuration last changed.
    pub modified: Revision,
    /// When it last changed in any way that a transport node must learn of: configuration, attachment, location.
    pub touched: Revision,
}

/// A port of a logical router in the NIB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterPortRecord {
    /// The router it belongs to.
    pub router: Uuid,
    /// As configured; `portno` and `mac_address` are always there.
    pub config: LogicalRouterPort,
    /// What it is plugged into.
    pub attachment: Attachment,
    /// When its configuration last changed.
    pub modified: Revision,
}

/// A resource that is what was configured, and no more: nothing is allocated for it, and no flows follow from it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As configured.
    pub object: Object,
    /// When it last changed.
    pub modified: Revision,
}

/// A user of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The password's hash, in PHC string format.
    pub password_hash: String,
    /// What they may do. A release before knew only administrators.
    #[serde(default)]
    pub role: Role,
}

/// The network information base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nib {
    revision: Revision,
    zones: BTreeMap<Uuid, ZoneRecord>,
    nodes: BTreeMap<Uuid, NodeRecord>,
    switches: BTreeMap<Uuid, SwitchRecord>,
    ports: BTreeMap<Uuid, PortRecord>,
    /// A release before had none.
    #[serde(default)]
    router_ports: BTreeMap<Uuid, RouterPortRecord>,
    /// A release before had none.
    #[serde(default)]
    kept: BTreeMap<Kind, BTreeMap<Uuid, Kept>>,
    /// What ports that are kept are plugged into, if they are. A release before had none.
    #[serde(default)]
    plugged: BTreeMap<Uuid, Attachment>,
    /// By port. A release before had none.
    #[serde(default)]
    counted_from: BTreeMap<Uuid, CountedFrom>,
    /// When users last changed something, in seconds since 1970. A release before did not know.
    #[serde(default)]
    modified_at: BTreeMap<Kind, BTreeMap<Uuid, u64>>,
    users: BTreeMap<String, User>,
    /// Who says to have a VIF: by VIF, then by transport node.
    claims: BTreeMap<String, BTreeMap<Uuid, Claim>>,
    last_tunnel_key: TunnelKey,
    last_node_number: NodeNumber,
    last_epoch: Epoch,
    /// A release before had none.
    #[serde(default)]
    cluster: Cluster,
    /// By a digest of what clients show. A release before had none.
    #[serde(default)]
    sessions: BTreeMap<String, SessionRecord>,
    /// A release before had none.
    #[serde(default)]
    audit: VecDeque<AuditRecord>,
    /// A release before had no such thing.
    #[serde(default)]
    is_read_only: bool,
    /// Derived from the rest; rebuilt on load.
    #[serde(skip)]
    index: Index,
}

/// Ways to find records, derived from them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    ports_of: BTreeMap<Uuid, BTreeSet<Uuid>>,
    /// What belongs to a logical router or services node.
    parts_of: BTreeMap<Uuid, BTreeSet<(Kind, Uuid)>>,
    /// What refers to an object.
    referrers: BTreeMap<(Kind, Uuid), BTreeSet<(Kind, Uuid)>>,
    /// The port that has a segment outside, by gateway service and VLAN.
    port_of_segment: BTreeMap<(Uuid, u16), Uuid>,
    port_of_vif: BTreeMap<String, Uuid>,
    /// Which VIF a transport node says to have at an OpenFlow port.
    vif_at: BTreeSet<(Uuid, OfPort, String)>,
    portnos: BTreeMap<Uuid, PortNumbers>,
    node_of_identity: BTreeMap<Identity, Uuid>,
    switch_of_key: BTreeMap<TunnelKey, Uuid>,
    node_of_number: BTreeMap<NodeNumber, Uuid>,
}

/// The `portno`s in use on one switch or router.
#[derive(Clone, Debug, Eq)]
struct PortNumbers {
    used: BTreeMap<u32, Uuid>,
    /// No number below this one is free.
    lowest_maybe_free: u32,
}

impl PartialEq for PortNumbers {
    /// What is known of the lowest free number is a short cut, not a fact.
    fn eq(&self, other: &PortNumbers) -> bool {
        self.used == other.used
    }
}

impl Default for PortNumbers {
    fn default() -> PortNumbers {
        PortNumbers { used: BTreeMap::new(), lowest_maybe_free: 1 }
    }
}

impl PortNumbers {
    /// A port gets the number that it asks for, which is free, or the lowest that is.
    fn assign(&mut self, number: &mut Option<u32>, port: Uuid) -> Result<(), Refusal> {
        let full = || Refusal::Exhausted { what: "port numbers".into(), limit: PORTNO_MAX };
        let given = match *number {
            Some(number) => number,
            None => self.lowest_free().ok_or_else(full)?,
        };
        self.take(given, port);
        *number = Some(given);
        Ok(())
    }

    fn take(&mut self, number: u32, port: Uuid) {
        let earlier = self.used.insert(number, port);
        assert!(earlier.is_none(), "portno {number} was free");
    }

    fn release(&mut self, number: u32) {
        self.used.remove(&number);
        self.lowest_maybe_free = self.lowest_maybe_free.min(number);
    }

    /// A port gets another number, if it is to have another; none means that it keeps its own.
    fn renumber(&mut self, old: Option<u32>, new: &mut Option<u32>, port: Uuid) {
        let old = old.expect("every port has a number");
        let new = *new.get_or_insert(old);
        if new != old {
            self.release(old);
            self.take(new, port);
        }
    }

    fn lowest_free(&mut self) -> Option<u32> {
        let mut number = self.lowest_maybe_free;
        while self.used.contains_key(&number) {
            number += 1;
        }
        self.lowest_maybe_free = number;
        (number <= PORTNO_MAX).then_some(number)
    }
}

impl Nib {
    /// How many commands were applied.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// All transport zones.
    pub fn zones(&self) -> &BTreeMap<Uuid, ZoneRecord> {
        &self.zones
    }

    /// All transport nodes.
    pub fn nodes(&self) -> &BTreeMap<Uuid, NodeRecord> {
        &self.nodes
    }

    /// All logical switches.
    pub fn switches(&self) -> &BTreeMap<Uuid, SwitchRecord> {
        &self.switches
    }

    /// All logical ports.
    pub fn ports(&self) -> &BTreeMap<Uuid, PortRecord> {
        &self.ports
    }

    /// All ports of logical routers.
    pub fn router_ports(&self) -> &BTreeMap<Uuid, RouterPortRecord> {
        &self.router_ports
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// The ports of a switch, by uuid; none if there is no such switch.
    pub fn ports_of(&self, switch: Uuid) -> impl Iterator<Item = (Uuid, &PortRecord)> {
        let uuids = self.index.ports_of.get(&switch).into_iter().flatten();
        uuids.filter_map(|uuid| self.ports.get(uuid).map(|port| (*uuid, port)))
    }

    /// The ports of a switch that come after one uuid in the order of uuids; from the first on if that is none.
    pub fn ports_of_after(&self, switch: Uuid, after: Option<Uuid>) -> impl Iterator<Item = Uuid> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ports = self.index.ports_of.get(&switch);
        ports.into_iter().flat_map(move |ports| ports.range((from, Bound::Unbounded)).copied())
    }

    /// The port that a VIF is plugged into.
    pub fn port_of_vif(&self, vif: &str) -> Option<Uuid> {
        self.index.port_of_vif.get(vif).copied()
    }

    /// The transport node that a peer is, by what it showed.
    pub fn node_of_identity(&self, identity: &Identity) -> Option<Uuid> {
        self.index.node_of_identity.get(identity).copied()
    }

    /// The switch that has a tunnel key.
    pub fn switch_of_key(&self, key: TunnelKey) -> Option<Uuid> {
        self.index.switch_of_key.get(&key).copied()
    }

    /// The transport node that has a number.
    pub fn node_of_number(&self, number: NodeNumber) -> Option<Uuid> {
        self.index.node_of_number.get(&number).copied()
    }

    /// The records without what is derived from them, which is as large: a NIB to be written.
    #[must_use]
    pub fn unindexed(&self) -> Nib {
        let Nib {
            revision,
            zones,
            nodes,
            switches,
            ports,
            router_ports,
            kept,
            plugged,
            counted_from,
            modified_at,
            users,
            claims,
            last_tunnel_key,
            last_node_number,
            last_epoch,
            cluster,
            sessions,
            audit,
            is_read_only,
            index: _,
        } = self;
        Nib {
            revision: *revision,
            zones: zones.clone(),
            nodes: nodes.clone(),
            switches: switches.clone(),
            ports: ports.clone(),
            router_ports: router_ports.clone(),
            kept: kept.clone(),
            plugged: plugged.clone(),
            counted_from: counted_from.clone(),
            modified_at: modified_at.clone(),
            users: users.clone(),
            claims: claims.clone(),
            last_tunnel_key: *last_tunnel_key,
            last_node_number: *last_node_number,
            last_epoch: *last_epoch,
            cluster: cluster.clone(),
            sessions: sessions.clone(),
            audit: audit.clone(),
            is_read_only: *is_read_only,
            index: Index::default(),
        }
    }

    /// Derives the index again, after the records were read from disk.
    #[must_use]
    pub fn reindexed(mut self) -> Nib {
        self.index = Index::default();
        for (uuid, node) in &self.nodes {
            self.index.node_of_number.insert(node.number, *uuid);
            if let Some(credential) = &node.config.credential {
                self.index.node_of_identity.insert(credential.identity(), *uuid);
            }
        }
        for (uuid, switch) in &self.switches {
            self.index.ports_of.insert(*uuid, BTreeSet::new());
            self.index.portnos.insert(*uuid, PortNumbers::default());
            self.index.switch_of_key.insert(switch.key, *uuid);
        }
        for (uuid, port) in &self.ports {
            self.index.ports_of.entry(port.switch).or_default().insert(*uuid);
            if let Some(number) = port.config.portno {
                self.index.portnos.entry(port.switch).or_default().take(number, *uuid);
            }
        }
        self.index_parts();
        self.index_references();
        for (vif, claims) in &self.claims {
            let places = claims.iter().map(|(node, claim)| (*node, claim.observed.ofport, vif.clone()));
            self.index.vif_at.extend(places);
        }
        self
    }
}
