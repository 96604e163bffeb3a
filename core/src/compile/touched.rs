//! Which fragments read a fact: what must be looked at again when the fact changes. Asked about the old facts and about
//! the new ones, since either may name fragments that the other does not. Start at [`Touched`].

use super::facts::{PortFact, SwitchFact};
use super::fragment::{FragmentKey, Part};
use crate::ids::{NodeNumber, TunnelKey};
use crate::nib::Encap;
use std::collections::BTreeSet;

/// What an update may touch.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub fragments: BTreeSet<FragmentKey>,
    /// Nodes that may come to hold fragments of a datapath that stay as they are, or cease to: they join it or leave it,
    /// or their tunnels end elsewhere.
    pub relations: BTreeSet<(TunnelKey, NodeNumber)>,
    /// Nodes that will hold nothing of a datapath any more: they leave it, or it goes.
    pub left: BTreeSet<(TunnelKey, NodeNumber)>,
    /// Datapaths that go, with all their fragments.
    pub gone: BTreeSet<TunnelKey>,
}

impl Touched {
    pub fn part(&mut self, datapath: TunnelKey, part: Part) {
        self.fragments.insert(FragmentKey { datapath, part });
    }

    /// What reads a port's own fact.
    pub fn port(&mut self, datapath: TunnelKey, port: &PortFact) {
        self.part(datapath, Part::Binding(port.key));
        for mac in port.macs() {
            self.part(datapath, Part::Mac(mac));
        }
        for (address, _) in port.hosts() {
            self.part(datapath, Part::Host(address));
        }
        for encap in Encap::ALL {
            self.part(datapath, Part::Remote(port.key, encap));
        }
    }

    /// What reads where learning ports of a switch are: `node` has one more, or one less.
    pub fn learner(&mut self, datapath: TunnelKey, node: NodeNumber) {
        self.part(datapath, Part::Datapath);
        self.peer(datapath, node);
    }

    /// What reads where `node`'s tunnels of a switch end, or whether it is present there.
    pub fn presence(&mut self, switch: &SwitchFact, node: NodeNumber) {
        self.relations.insert((switch.key, node));
        self.peer(switch.key, node);
        for port in switch.presence.get(&node).into_iter().flatten() {
            for encap in Encap::ALL {
                self.part(switch.key, Part::Remote(*port, encap));
            }
        }
    }

    /// What reads the configuration of a switch that becomes `new`, or goes.
    pub fn switch(&mut self, old: &SwitchFact, new: Option<&SwitchFact>) {
        let Some(new) = new else {
            self.left.extend(old.presence.keys().map(|node| (old.key, *node)));
            self.gone.insert(old.key);
            return;
        };
        if (&new.transports, new.any_transport) != (&old.transports, old.any_transport) {
            old.presence.keys().for_each(|node| self.presence(old, *node));
        }
        if new.isolated != old.isolated {
            old.by_host.keys().for_each(|address| self.part(old.key, Part::Host(*address)));
        }
    }

    /// What reads whether the members of a switch are spread over several groups.
    pub fn sharing(&mut self, switch: &SwitchFact) {
        self.part(switch.key, Part::Datapath);
        switch.ports.keys().for_each(|port| self.part(switch.key, Part::Binding(*port)));
        switch.presence.keys().for_each(|node| self.peer(switch.key, *node));
    }

    fn peer(&mut self, datapath: TunnelKey, node: NodeNumber) {
        for encap in Encap::ALL {
            self.part(datapath, Part::Peer(node, encap));
        }
    }
}
