//! What ports that come and go make a switch cross: a node's first or last port of it, and the size from which its
//! members are spread over several groups. Known before the facts are replaced. Start at [`Crossing`].

use super::facts::{PortFact, SwitchFact};
use super::groups::Sharing;
use super::touched::Touched;
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use std::collections::{BTreeMap, BTreeSet};

/// What an update crosses, of switches that stay.
#[derive(Debug, Default)]
pub(super) struct Crossing {
    /// Nodes that are about to have their first port of a switch; to lose their last.
    joined: Vec<(TunnelKey, NodeNumber)>,
    left: Vec<(TunnelKey, NodeNumber)>,
    /// Switches whose sharing is about to change.
    sharing: Vec<TunnelKey>,
}

/// How many are lost and gained.
#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    lost: usize,
    gained: usize,
}

impl Balance {
    fn of(self, had: usize) -> usize {
        had + self.gained - self.lost
    }

    fn add(&mut self, had: bool, has: bool) {
        self.lost += usize::from(had);
        self.gained += usize::from(has);
    }
}

impl Crossing {
    /// What new facts of ports, by what they replace, will make these switches cross.
    pub fn of<'a>(
        switches: &BTreeMap<TunnelKey, SwitchFact>,
        new: impl Iterator<Item = (TunnelKey, PortKey, Option<&'a PortFact>)>,
    ) -> Crossing {
        let mut here: BTreeMap<(TunnelKey, NodeNumber), Balance> = BTreeMap::new();
        let mut ports: BTreeMap<TunnelKey, Balance> = BTreeMap::new();
        for (datapath, key, new) in new {
            let old = switches.get(&datapath).and_then(|switch| switch.ports.get(&key));
            for (port, has) in [(old, false), (new, true)] {
                if let Some(port) = port {
                    here.entry((datapath, port.place.node)).or_default().add(!has, has);
                    ports.entry(datapath).or_default().add(!has, has);
                }
            }
        }
        let mut nodes: BTreeMap<TunnelKey, Balance> = BTreeMap::new();
        let mut crossing = Crossing::default();
        for ((datapath, node), balance) in here {
            let had = switches.get(&datapath).and_then(|s| s.presence.get(&node)).map_or(0, BTreeSet::len);
            let (was, is) = (had > 0, balance.of(had) > 0);
            if was != is {
                let list = if is { &mut crossing.joined } else { &mut crossing.left };
                list.push((datapath, node));
                nodes.entry(datapath).or_default().add(was, is);
            }
        }
        for (datapath, balance) in ports {
            if let Some(switch) = switches.get(&datapath) {
                let nodes = nodes.get(&datapath).copied().unwrap_or_default().of(switch.presence.len());
                if Sharing::of(balance.of(switch.ports.len()), nodes) != switch.sharing() {
                    crossing.sharing.push(datapath);
                }
            }
        }
        crossing
    }

    /// Everything that reads who is present, as the facts are now.
    pub fn touch_presence(&self, switches: &BTreeMap<TunnelKey, SwitchFact>, touched: &mut Touched) {
        touched.left.extend(&self.left);
        for (datapath, node) in self.joined.iter().chain(&self.left) {
            if let Some(switch) = switches.get(datapath) {
                touched.presence(switch, *node);
            }
        }
    }

    /// Everything that is in groups of switches whose sharing changes, as the facts are before that.
    pub fn touch_sharing(&self, switches: &BTreeMap<TunnelKey, SwitchFact>, touched: &mut Touched) {
        self.sharing.iter().for_each(|datapath| touched.sharing(&switches[datapath]));
    }
}
