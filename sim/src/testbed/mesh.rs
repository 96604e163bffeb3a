//! A network without a controller: learning bridges, tunnels between all hypervisors, and an underlay that is warm.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Duration;

use super::bed::Bed;
use super::error::{Doing, Result};
use super::hypervisor::Hypervisor;
use super::ident::HypervisorId;
use super::wait::wait_until;

impl Bed {
    /// Makes a learning `br-int` everywhere, and a mesh of tunnels between them: a network without a controller.
    ///
    /// `encapsulation` is `geneve`, `vxlan` or `gre`.
    ///
    /// # Errors
    /// What `ovs-vsctl` complains of.
    pub fn make_learning_mesh(&self, encapsulation: &str) -> Result<()> {
        self.each_hypervisor(|hypervisor| {
            let script = learning_bridge(hypervisor.id(), self.hypervisors().iter().map(Hypervisor::id), encapsulation);
            hypervisor.ovs_vsctl(&script.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
        })
    }

    /// Has every hypervisor learn where the others' tunnel endpoints are.
    ///
    /// Open vSwitch drops the first packet to a new peer while it asks by ARP. It learns from answers that it sees, and
    /// looks only when it has tunnels: call this when they are there, before you count packets or measure time.
    ///
    /// # Errors
    /// If they are not learned within a few seconds, as without tunnels.
    pub fn warm_underlay(&self) -> Result<()> {
        self.each_hypervisor(|hypervisor| self.warm(hypervisor))
    }

    fn warm(&self, hypervisor: &Hypervisor) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let own = hypervisor.id();
        let peers = self.hypervisors().iter().map(Hypervisor::id).filter(|id| *id != own);
        let mut unknown: BTreeSet<String> = peers.map(|id| id.underlay_ip().to_string()).collect();
        wait_until(
            || format!("{own} to learn where its peers are; has it tunnels?"),
            PATIENCE,
            || {
                let shown = hypervisor.ovs_appctl(&["tnl/neigh/show"])?;
                for known in shown.lines().filter_map(|line| line.split_whitespace().next()) {
                    unknown.remove(known);
                }
                if !unknown.is_empty() {
                    make_it_ask(hypervisor, &unknown)?;
                }
                Ok(unknown.is_empty())
            },
        )
    }
}

/// Makes a hypervisor's own stack forget peers and ask for them again, so that its switch sees the answers.
fn make_it_ask(hypervisor: &Hypervisor, peers: &BTreeSet<String>) -> Result<()> {
    const DISCARD_PORT: u16 = 9;
    hypervisor.netns().ip(&["neigh flush dev br-phy".to_owned()])?;
    let sent = hypervisor.netns().run(|| {
        let socket = UdpSocket::bind((hypervisor.id().underlay_ip(), 0))?;
        peers.iter().try_for_each(|peer| socket.send_to(&[0], (peer.as_str(), DISCARD_PORT)).map(drop))
    })?;
    sent.doing(|| format!("warming up the underlay of {}", hypervisor.id()))
}

/// `ovs-vsctl` commands for a learning `br-int` with a tunnel to every other hypervisor.
fn learning_bridge(own: HypervisorId, all: impl Iterator<Item = HypervisorId>, encapsulation: &str) -> Vec<String> {
    let mut script =
        "--may-exist add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=standalone".to_owned();
    for peer in all.filter(|peer| *peer != own) {
        // Protected ports do not forward to each other, which keeps a full mesh free of loops.
        script += &format!(
            " -- --may-exist add-port br-int t-{peer} -- set Port t-{peer} protected=true \
             -- set Interface t-{peer} type={encapsulation} options:local_ip={} options:remote_ip={} options:key=1",
            own.underlay_ip(),
            peer.underlay_ip()
        );
    }
    script.split_whitespace().map(str::to_owned).collect()
}
