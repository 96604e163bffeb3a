//! Tenants as a seed draws them: who they are, what they ask of the API, what their guests do.
//!
//! The generator keeps what would be there if all its requests succeeded, so that what it asks for makes sense most of the
//! time; it need not be right, since the world skips what cannot be done. Start at [`Tenants`].

use super::super::{Act, Encap, GuestAct, HvId, Request, Step, Vif};
use super::{Draw, step};
use crate::logical::{Mac, Pair, Port, PortId, Switch, SwitchId, VifId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a seed's tenants have.
pub(super) struct Tenants {
    guests: Vec<Guest>,
    switches: BTreeMap<SwitchId, Home>,
    ports: BTreeMap<PortId, Port>,
    next_port: u16,
    next_switch: u16,
    hypervisors: u16,
    habits: Habits,
}

struct Guest {
    tenant: u16,
    vif: Vif,
    /// Where its interface is.
    places: BTreeSet<HvId>,
}

struct Home {
    tenant: u16,
    config: Switch,
}

/// What a seed's tenants do, and how often: weights.
struct Habits {
    requests: Vec<(Wish, u64)>,
    traffic: Vec<(Traffic, u64)>,
    /// One in so many ports may use any address.
    open_ports: u64,
}

#[derive(Clone, Copy)]
enum Wish {
    CreatePort,
    ChangePort,
    DeletePort,
    RecreatePort,
    Attach,
    Detach,
    Swap,
    ChangeSwitch,
    RecreateSwitch,
    ToggleNode,
    Read,
    Malformed,
}

#[derive(Clone, Copy)]
enum Traffic {
    Ping,
    Udp,
    Tcp,
    Announce,
    Spoof,
    Stray,
    Reboot,
}

/// Kinds left out by a seed have no weight.
fn weigh<T: Copy>(draw: &mut Draw, kinds: &[(T, u64)]) -> Vec<(T, u64)> {
    let kept: Vec<(T, u64)> = kinds.iter().copied().filter(|_| !draw.one_in(4)).collect();
    if kept.is_empty() { kinds.to_vec() } else { kept }
}

fn by_weight<T: Copy>(draw: &mut Draw, kinds: &[(T, u64)]) -> T {
    let mut at = draw.between(1, kinds.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in kinds {
        if at <= *weight {
            return *kind;
        }
        at -= weight;
    }
    kinds[0].0
}

impl Tenants {
    pub fn draw(draw: &mut Draw, hypervisors: u16) -> Tenants {
        let count = draw.between(2, 3) as u16;
        // In half of the worlds tenants use the same addresses.
        let same = draw.one_in(2);
        let mut guests = Vec::new();
        for tenant in 0..count {
            for host in 1..=draw.between(2, 6) as u8 {
                let net = if same { 0 } else { tenant as u8 + 1 };
                let vif = Vif {
                    mac: Mac([2, 0, 0, 0, net, host]),
                    v4: Ipv4Addr::new(10, net, 0, host),
                    v6: Ipv6Addr::new(0xfd00, u16::from(net), 0, 0, 0, 0, 0, u16::from(host)),
                };
                guests.push(Guest { tenant, vif, places: BTreeSet::new() });
            }
        }
        let wishes = [
            (Wish::CreatePort, 8),
            (Wish::ChangePort, 6),
            (Wish::DeletePort, 3),
            (Wish::RecreatePort, 5),
            (Wish::Attach, 8),
            (Wish::Detach, 3),
            (Wish::Swap, 2),
            (Wish::ChangeSwitch, 2),
            (Wish::RecreateSwitch, 1),
            (Wish::ToggleNode, 1),
            (Wish::Read, 3),
            (Wish::Malformed, 1),
        ];
        let traffic = [
            (Traffic::Ping, 12),
            (Traffic::Udp, 5),
            (Traffic::Tcp, 2),
            (Traffic::Announce, 2),
            (Traffic::Spoof, 5),
            (Traffic::Stray, 4),
            (Traffic::Reboot, 1),
        ];
        let habits = Habits {
            requests: weigh(draw, &wishes),
            traffic: weigh(draw, &traffic),
            open_ports: draw.pick(&[2, 5, 1_000]).expect("there are some"),
        };
        let (switches, ports) = (BTreeMap::new(), BTreeMap::new());
        Tenants { guests, switches, ports, next_port: 0, next_switch: 0, hypervisors, habits }
    }

    pub fn vifs(&self) -> Vec<Vif> {
        self.guests.iter().map(|guest| guest.vif.clone()).collect()
    }

    pub fn any_vif(&self, draw: &mut Draw) -> VifId {
        VifId(draw.between(0, self.guests.len() as u64 - 1) as u16)
    }

    fn any_hv(&self, draw: &mut Draw) -> HvId {
        HvId(draw.between(0, u64::from(self.hypervisors) - 1) as u16)
    }

    /// The first configuration: switches, ports, guests, in some order.
    pub fn settle(&mut self, draw: &mut Draw, until_ms: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let tenants: BTreeSet<u16> = self.guests.iter().map(|guest| guest.tenant).collect();
        for tenant in tenants {
            for _ in 0..draw.between(1, 2) {
                steps.push(step(draw.between(1_000, 2_000), self.create_switch(draw, tenant)));
            }
        }
        for index in 0..self.guests.len() {
            let vif = VifId(index as u16);
            let on = self.any_hv(draw);
            let at = draw.between(500, until_ms);
            self.guests[index].places.insert(on);
            steps.push(step(at, Act::Guest(GuestAct::Plug { vif, on })));
            let at = draw.between(2_500, until_ms);
            steps.extend(self.port_for(draw, at, vif));
        }
        steps
    }

    fn create_switch(&mut self, draw: &mut Draw, tenant: u16) -> Act {
        let switch = SwitchId(self.next_switch);
        self.next_switch += 1;
        let config = Switch { isolated: draw.one_in(8) };
        let first = draw.pick(&Encap::ALL).expect("there are some");
        let second = draw.pick(&Encap::ALL).expect("there are some");
        let transports = match draw.between(0, 3) {
            0 => Vec::new(),
            1 if first != second => vec![first, second],
            _ => vec![first],
        };
        self.switches.insert(switch, Home { tenant, config: config.clone() });
        Act::Api(Request::CreateSwitch { switch, config, transports })
    }

    fn switch_of(&self, draw: &mut Draw, tenant: u16) -> Option<SwitchId> {
        let own: Vec<SwitchId> =
            self.switches.iter().filter(|(_, home)| home.tenant == tenant).map(|(id, _)| *id).collect();
        draw.pick(&own)
    }

    /// A port for a guest, and its attachment a little later.
    fn port_for(&mut self, draw: &mut Draw, at: u64, vif: VifId) -> Vec<Step> {
        let tenant = self.guests[usize::from(vif.0)].tenant;
        let Some(switch) = self.switch_of(draw, tenant) else { return Vec::new() };
        let port = PortId(self.next_port);
        self.next_port += 1;
        let pairs = self.some_pairs(draw, vif);
        let enabled = !draw.one_in(12);
        let config = Port { switch, enabled, pairs, learning: draw.one_in(10), vif: None };
        self.ports.values_mut().filter(|other| other.vif == Some(vif)).for_each(|other| other.vif = None);
        self.ports.insert(port, Port { vif: Some(vif), ..config.clone() });
        let attach_at = at + draw.span_ms(1, 3_000);
        vec![
            step(at, Act::Api(Request::CreatePort { port, config })),
            step(attach_at, Act::Api(Request::Attach { port, vif: Some(vif) })),
        ]
    }

    /// What a port may use: its guest's addresses most of the time.
    fn some_pairs(&self, draw: &mut Draw, vif: VifId) -> Vec<Pair> {
        if draw.one_in(self.habits.open_ports) {
            return Vec::new();
        }
        let own = &self.guests[usize::from(vif.0)].vif;
        let other = self.any_vif(draw);
        let other = &self.guests[usize::from(other.0)].vif;
        let v4 = |length| Pair { mac: own.mac, net: Some((IpAddr::V4(own.v4), length)) };
        match draw.between(0, 11) {
            0 => vec![Pair { mac: own.mac, net: None }],
            1 => vec![v4(32)],
            2 => vec![v4(24)],
            3 => vec![Pair { mac: own.mac, net: Some((IpAddr::V6(own.v6), 128)) }],
            4 => own.pairs().into_iter().chain(other.pairs()).collect(),
            5 => other.pairs(),
            6 => vec![v4(32), Pair { mac: own.mac, net: Some((IpAddr::V4(other.v4), 32)) }],
            _ => own.pairs(),
        }
    }

    /// A request of a tenant, or several that belong together.
    pub fn request(&mut self, draw: &mut Draw, at: u64) -> Vec<Step> {
        let wish = by_weight(draw, &self.habits.requests);
        let ports: Vec<PortId> = self.ports.keys().copied().collect();
        let api = |request| vec![step(at, Act::Api(request))];
        match (wish, draw.pick(&ports)) {
            (Wish::CreatePort, _) | (_, None) => {
                let vif = self.any_vif(draw);
                self.port_for(draw, at, vif)
            }
            (Wish::ChangePort, Some(port)) => api(self.change_port(draw, port)),
            (Wish::DeletePort, Some(port)) => {
                self.ports.remove(&port);
                api(Request::DeletePort { port })
            }
            (Wish::RecreatePort, Some(port)) => {
                let vif = self.ports.remove(&port).and_then(|port| port.vif);
                let vif = vif.unwrap_or_else(|| self.any_vif(draw));
                let again = at + draw.span_ms(1, 2_000);
                let mut steps = api(Request::DeletePort { port });
                steps.extend(self.port_for(draw, again, vif));
                steps
            }
            (Wish::Attach, Some(port)) => {
                let vif = self.any_vif(draw);
                self.attach(port, Some(vif));
                api(Request::Attach { port, vif: Some(vif) })
            }
            (Wish::Detach, Some(port)) => {
                self.attach(port, None);
                api(Request::Attach { port, vif: None })
            }
            (Wish::Swap, Some(port)) => self.swap(draw, at, port),
            (Wish::ChangeSwitch, Some(port)) => {
                let switch = self.ports[&port].switch;
                let Some(home) = self.switches.get_mut(&switch) else { return Vec::new() };
                home.config.isolated = !home.config.isolated;
                let config = home.config.clone();
                let (back_at, mut back) = (at + draw.span_ms(100, 20_000), config.clone());
                back.isolated = !back.isolated;
                self.switches.entry(switch).and_modify(|home| home.config = back.clone());
                vec![
                    step(at, Act::Api(Request::SetSwitch { switch, config })),
                    step(back_at, Act::Api(Request::SetSwitch { switch, config: back })),
                ]
            }
            (Wish::RecreateSwitch, Some(port)) => self.recreate_switch(draw, at, port),
            (Wish::ToggleNode, _) => {
                let hypervisor = self.any_hv(draw);
                let back = at + draw.span_ms(100, 20_000);
                vec![
                    step(at, Act::Api(Request::SetNode { hypervisor, enabled: false })),
                    step(back, Act::Api(Request::SetNode { hypervisor, enabled: true })),
                ]
            }
            (Wish::Read, Some(port)) => api(Request::Read { port }),
            (Wish::Malformed, _) => api(Request::Malformed(draw.between(0, 255) as u8)),
        }
    }

    fn attach(&mut self, port: PortId, vif: Option<VifId>) {
        self.ports.entry(port).and_modify(|port| port.vif = vif);
    }

    fn change_port(&mut self, draw: &mut Draw, port: PortId) -> Request {
        let vif = self.ports[&port].vif.unwrap_or_else(|| self.any_vif(draw));
        let pairs = if draw.one_in(2) { self.ports[&port].pairs.clone() } else { self.some_pairs(draw, vif) };
        let config = self.ports.get_mut(&port).expect("it was picked among them");
        config.enabled = if draw.one_in(3) { !config.enabled } else { true };
        config.learning = draw.one_in(10);
        config.pairs = pairs.clone();
        Request::SetPort { port, enabled: config.enabled, pairs, learning: config.learning }
    }

    /// Two guests trade their ports, faster than anybody may notice.
    fn swap(&mut self, draw: &mut Draw, at: u64, one: PortId) -> Vec<Step> {
        let ports: Vec<PortId> = self.ports.keys().copied().filter(|port| *port != one).collect();
        let Some(other) = draw.pick(&ports) else { return Vec::new() };
        let (first, second) = (self.ports[&one].vif, self.ports[&other].vif);
        self.attach(one, second);
        self.attach(other, first);
        let attach = |after: u64, port, vif| step(at + after, Act::Api(Request::Attach { port, vif }));
        vec![attach(0, one, None), attach(1, other, None), attach(2, other, first), attach(3, one, second)]
    }

    /// A switch goes with all its ports, and comes again with its guests.
    fn recreate_switch(&mut self, draw: &mut Draw, at: u64, port: PortId) -> Vec<Step> {
        let switch = self.ports[&port].switch;
        let Some(home) = self.switches.remove(&switch) else { return Vec::new() };
        let gone: Vec<PortId> = self.ports.iter().filter(|(_, p)| p.switch == switch).map(|(id, _)| *id).collect();
        let vifs: Vec<VifId> = gone.iter().filter_map(|port| self.ports.remove(port)?.vif).collect();
        let mut steps = vec![step(at, Act::Api(Request::DeleteSwitch { switch }))];
        let again = at + draw.span_ms(1, 2_000);
        steps.push(step(again, self.create_switch(draw, home.tenant)));
        for vif in vifs {
            let later = again + draw.span_ms(10, 2_000);
            steps.extend(self.port_for(draw, later, vif));
        }
        steps
    }

    /// A guest comes, goes, or moves: in either order, to the end or back.
    pub fn movement(&mut self, draw: &mut Draw, at: u64) -> Vec<Step> {
        let vif = self.any_vif(draw);
        let to = self.any_hv(draw);
        let guest = &mut self.guests[usize::from(vif.0)];
        let act = |after: u64, act| step(at + after, Act::Guest(act));
        let plug = GuestAct::Plug { vif, on: to };
        let Some(from) = guest.places.first().copied() else {
            guest.places.insert(to);
            return vec![act(0, plug)];
        };
        let unplug = GuestAct::Unplug { vif, from };
        let gap = draw.span_ms(1, 5_000);
        match draw.between(0, 5) {
            0 => {
                guest.places.clear();
                vec![act(0, unplug)]
            }
            _ if from == to => vec![act(0, unplug), act(gap, plug)],
            // It fails: the new place is given up.
            1 => vec![act(0, plug), act(gap, GuestAct::Unplug { vif, from: to })],
            2 => {
                guest.places = BTreeSet::from([to]);
                vec![act(0, unplug), act(gap, plug)]
            }
            _ => {
                guest.places = BTreeSet::from([to]);
                vec![act(0, plug), act(gap, unplug), act(gap + 1, GuestAct::Announce { vif })]
            }
        }
    }

    /// What guests send.
    pub fn traffic(&mut self, draw: &mut Draw, at: u64) -> Vec<Step> {
        let from = self.any_vif(draw);
        let tenant = self.guests[usize::from(from.0)].tenant;
        let peers: Vec<VifId> = (0..self.guests.len() as u16)
            .map(VifId)
            .filter(|vif| *vif != from && self.guests[usize::from(vif.0)].tenant == tenant)
            .collect();
        let to = draw.pick(&peers).unwrap_or(from);
        let act = match by_weight(draw, &self.habits.traffic) {
            Traffic::Ping => GuestAct::Ping { from, to, v6: draw.one_in(3) },
            Traffic::Udp => GuestAct::Udp { from, to, size: draw.span_ms(16, 1_400) as u16 },
            Traffic::Tcp => GuestAct::Tcp { from, to, bytes: draw.span_ms(1, 20_000) as u32 },
            Traffic::Announce => GuestAct::Announce { vif: from },
            Traffic::Spoof => GuestAct::Spoof { from, victim: self.any_vif(draw), kind: draw.between(0, 255) as u8 },
            Traffic::Stray => GuestAct::Ping { from, to: self.any_vif(draw), v6: draw.one_in(3) },
            Traffic::Reboot => GuestAct::Reboot { vif: from },
        };
        vec![step(at, Act::Guest(act))]
    }
}
