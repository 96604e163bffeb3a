//! What the stages need to know, distilled from the NIB: ports with their places, switches with who is present, nodes
//! with the ends of their tunnels.
//!
//! Facts are what a fragment reads. The engine keeps them in step with the NIB and derives from their old and new
//! value which fragments to compute again. Start at [`SwitchFact`].

use super::groups::Sharing;
use crate::addr::Mac;
use crate::ids::{NodeNumber, OfPort, PortKey, TunnelKey};
use crate::nib::{AddressPair, Encap, Nib, NodeRecord, PortRecord, SwitchRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use uuid::Uuid;

/// A transport node: where its tunnels end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeFact {
    pub number: NodeNumber,
    /// By zone and encapsulation.
    pub ends: BTreeMap<(Uuid, Encap), IpAddr>,
}

impl NodeFact {
    pub fn of(record: &NodeRecord) -> NodeFact {
        let connectors = record.config.transport_connectors.iter();
        let ends = connectors.filter_map(|c| Some(((c.transport_zone_uuid, c.kind.encap()?), c.ip_address)));
        NodeFact { number: record.number, ends: ends.collect() }
    }
}

/// Where a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub node: NodeNumber,
    pub ofport: OfPort,
    /// The guest's address as the transport node knows it.
    pub mac: Option<Mac>,
}

/// A logical port that takes part: it is enabled, and its VIF is somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortFact {
    pub key: PortKey,
    pub pairs: Vec<AddressPair>,
    pub learning: bool,
    pub place: Place,
}

impl PortFact {
    /// The fact of a port, if it takes part.
    pub fn of(nib: &Nib, record: &PortRecord) -> Option<PortFact> {
        let location = nib.port_location(record).filter(|_| record.config.admin_status_enabled)?;
        let observed = &location.claim.observed;
        let node = nib.nodes().get(&location.node)?.number;
        Some(PortFact {
            key: record.key,
            pairs: record.config.allowed_address_pairs.clone(),
            learning: record.config.mac_learning.unwrap_or(false),
            place: Place { node, ofport: observed.ofport, mac: observed.attached_mac },
        })
    }

    /// The addresses frames are delivered here for: the allowed ones, or the one the transport node knows.
    pub fn macs(&self) -> BTreeSet<Mac> {
        let allowed = self.pairs.iter().map(|pair| pair.mac_address);
        match self.pairs.is_empty() {
            false => allowed.collect(),
            true => self.place.mac.filter(|mac| !mac.is_group()).into_iter().collect(),
        }
    }

    /// The IP addresses known to be here, each with its Ethernet address.
    pub fn hosts(&self) -> BTreeSet<(IpAddr, Mac)> {
        let known = |pair: &AddressPair| Some((pair.ip_address.as_ref()?.host()?, pair.mac_address));
        self.pairs.iter().filter_map(known).collect()
    }
}

/// A logical switch, with the ports that take part and where they are.
#[derive(Clone, Debug)]
pub(super) struct SwitchFact {
    pub key: TunnelKey,
    pub isolated: bool,
    /// Zones and encapsulations, best first; none means any.
    pub transports: Vec<(Uuid, Encap)>,
    /// Whether `transports` was given at all: a switch with none but unsupported transports has no tunnels.
    pub any_transport: bool,
    pub ports: BTreeMap<PortKey, PortFact>,
    pub by_mac: BTreeMap<Mac, BTreeSet<PortKey>>,
    pub by_host: BTreeMap<IpAddr, BTreeSet<(PortKey, Mac)>>,
    /// Which transport nodes have which of its ports.
    pub presence: BTreeMap<NodeNumber, BTreeSet<PortKey>>,
    /// Which transport nodes have which of its learning ports.
    pub learners: BTreeMap<NodeNumber, BTreeSet<PortKey>>,
}

impl SwitchFact {
    /// A switch without its ports.
    pub fn of(record: &SwitchRecord) -> SwitchFact {
        let zones = record.config.transport_zones.iter();
        SwitchFact {
            key: record.key,
            isolated: record.config.port_isolation_enabled,
            transports: zones.filter_map(|zone| Some((zone.zone_uuid, zone.transport_type.encap()?))).collect(),
            any_transport: record.config.transport_zones.is_empty(),
            ports: BTreeMap::new(),
            by_mac: BTreeMap::new(),
            by_host: BTreeMap::new(),
            presence: BTreeMap::new(),
            learners: BTreeMap::new(),
        }
    }

    /// Takes over the configuration of `other`; the ports stay.
    pub fn reconfigure(&mut self, other: SwitchFact) {
        assert_eq!(self.key, other.key, "a switch keeps its key");
        self.isolated = other.isolated;
        self.transports = other.transports;
        self.any_transport = other.any_transport;
    }

    pub fn insert(&mut self, port: PortFact) {
        let (key, node) = (port.key, port.place.node);
        for mac in port.macs() {
            self.by_mac.entry(mac).or_default().insert(key);
        }
        for (address, mac) in port.hosts() {
            self.by_host.entry(address).or_default().insert((key, mac));
        }
        self.presence.entry(node).or_default().insert(key);
        if port.learning {
            self.learners.entry(node).or_default().insert(key);
        }
        let earlier = self.ports.insert(key, port);
        assert!(earlier.is_none(), "the port was taken out before");
    }

    pub fn remove(&mut self, key: PortKey) {
        let Some(port) = self.ports.remove(&key) else { return };
        for mac in port.macs() {
            take(&mut self.by_mac, &mac, &key);
        }
        for (address, mac) in port.hosts() {
            take(&mut self.by_host, &address, &(key, mac));
        }
        take(&mut self.presence, &port.place.node, &key);
        take(&mut self.learners, &port.place.node, &key);
    }

    /// Whether its members are spread over several groups.
    pub fn sharing(&self) -> Sharing {
        Sharing::of(self.ports.len(), self.presence.len())
    }

    /// The port that frames to `mac` go to: of several that claim it, the oldest.
    pub fn owner_of_mac(&self, mac: Mac) -> Option<&PortFact> {
        let key = self.by_mac.get(&mac)?.first()?;
        self.ports.get(key)
    }

    /// The only port known to have `address`; none if several claim it, for then nobody can answer for it.
    pub fn owner_of_host(&self, address: IpAddr) -> Option<(&PortFact, Mac)> {
        let claims = self.by_host.get(&address)?;
        let (key, mac) = claims.first().filter(|_| claims.len() == 1)?;
        self.ports.get(key).map(|port| (port, *mac))
    }

    /// How frames of this switch travel between two nodes, if they can.
    ///
    /// The first of the switch's transports that both ends have; a switch that names none uses the first they share.
    /// It is the same in both directions.
    pub fn path(&self, from: &NodeFact, to: &NodeFact) -> Option<Path> {
        let shared = |end: &(Uuid, Encap)| {
            from.ends.get(end)?;
            to.ends.get(end).map(|destination| Path { encap: end.1, destination: *destination })
        };
        match self.any_transport {
            true => from.ends.keys().filter_map(shared).min_by_key(|path| path.encap),
            false => self.transports.iter().find_map(shared),
        }
    }
}

/// Takes `item` out of the set at `key`, and the set out of the map when it is empty.
fn take<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: &K, item: &T) {
    if let Some(set) = map.get_mut(key) {
        set.remove(item);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

/// How frames travel between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub encap: Encap,
    pub destination: IpAddr,
}
