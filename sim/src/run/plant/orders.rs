//! What a director asks of the physical world: hosts on and off, guests that come, go and talk, and looks at switches.
//!
//! Start at [`Plant::power_on`] and [`Plant::guest`]; what goes wrong is in `trouble`.

use super::{Plant, State, Version};
use crate::guest::{Guest, spoof};
use crate::logical::{Mac, VifId};
use crate::oracles::quiet::Told;
use crate::oracles::realised::Rows;
use crate::plan::{GuestAct, HvId};
use crate::run::director::tunnel_end;
use crate::run::judge::Tag;
use crate::run::rows;
use crate::switch::machine::Input;
use crate::switch::openflow::agent;
use rand::RngExt;
use std::net::IpAddr;
use std::time::Duration;

impl Plant {
    /// A hypervisor's host comes up, with its switch; the guests that were on it come back with it.
    pub fn power_on(&self, now: Duration, hv: HvId, manager: &str) {
        self.with(|state| {
            let hypervisor = state.hypervisors.get_mut(&hv).expect("hypervisors are there for good");
            hypervisor.up = true;
            state.underlay.set_endpoint(tunnel_end(hv), true);
            let hypervisor = state.hypervisors.get_mut(&hv).expect("it is there");
            if !hypervisor.switch.is_up() {
                hypervisor.switch.start_vswitchd(false);
            }
            if hypervisor.switch.server.database.rows("Manager").next().is_none() {
                hypervisor.switch.set_manager(manager);
            }
            let plugged: Vec<VifId> = hypervisor.plugged.iter().copied().collect();
            plugged.into_iter().for_each(|vif| state.plug(now, vif, hv));
            state.step(hv, now, Input::Tick, None);
        });
    }

    /// A hypervisor's host goes down.
    pub fn power_off(&self, hv: HvId) {
        self.with(|state| {
            state.keep_counts(hv);
            let hypervisor = state.hypervisors.get_mut(&hv).expect("hypervisors are there for good");
            hypervisor.up = false;
            hypervisor.switch.power_off();
            (hypervisor.outbox, hypervisor.garbage) = Default::default();
            state.underlay.set_endpoint(tunnel_end(hv), false);
            state.judge.forgot.insert(hv);
        });
    }

    /// A guest's interface appears.
    pub fn plug(&self, now: Duration, vif: VifId, hv: HvId) {
        self.with(|state| {
            let up = state.hypervisors.get(&hv).is_some_and(|hypervisor| hypervisor.up);
            if state.guests.contains_key(&vif) && up {
                state.plug(now, vif, hv);
            }
        });
    }

    /// It goes; whether it was there.
    pub fn unplug(&self, now: Duration, vif: VifId, hv: HvId) -> bool {
        self.with(|state| state.unplug(now, vif, hv))
    }

    /// A guest does something.
    pub fn guest(&self, now: Duration, act: GuestAct) {
        self.with(|state| state.guest(now, act));
    }

    /// A switch's tables; none if it has no bridge.
    pub fn tables(&self, hv: HvId) -> Rows {
        let mut state = self.state();
        state.running(hv).map_or_else(Rows::new, |running| {
            let program = running.bridge.program();
            let flows = program.tables.iter().map(|(_, entry)| &*entry.flow);
            rows::held(flows, program.groups.iter().map(|(id, entry)| (id, &*entry.group)))
        })
    }

    /// While this is the same, so are a switch's tables.
    pub fn version(&self, hv: HvId) -> Version {
        let mut state = self.state();
        let lives = state.hypervisors[&hv].switch.lives();
        Version { lives, changes: state.running(hv).map(|running| running.bridge.changes()) }
    }

    /// What a switch has been told so far.
    pub fn told(&self, hv: HvId) -> Told {
        let mut state = self.state();
        let counts = state.counts(hv);
        let switch = &state.hypervisors[&hv].switch;
        Told {
            flow_mods: counts.flow_mods,
            group_mods: counts.group_mods,
            transactions: switch.server.transactions,
            sessions: switch.sessions,
        }
    }

    /// What a switch's agents counted, those that are gone included.
    pub fn counts(&self, hv: HvId) -> agent::Counts {
        self.state().counts(hv)
    }
}

impl State {
    fn guest(&mut self, now: Duration, act: GuestAct) {
        let address = |state: &State, vif: VifId, v6: bool| -> Option<IpAddr> {
            let vif = &state.guests.get(&vif)?.vif;
            Some(if v6 { vif.v6.into() } else { vif.v4.into() })
        };
        match act {
            GuestAct::Plug { .. } | GuestAct::Unplug { .. } => {}
            GuestAct::Ping { from, to, v6 } => {
                let Some(to) = address(self, to, v6) else { return };
                self.ping(now, from, to);
            }
            GuestAct::Udp { from, to, size } => {
                let Some(to) = address(self, to, false) else { return };
                self.guests.get_mut(&from).into_iter().for_each(|guest| guest.datagram(now, to, usize::from(size)));
            }
            GuestAct::Tcp { from, to, bytes } => {
                let Some(to) = address(self, to, false) else { return };
                self.guests.get_mut(&from).into_iter().for_each(|guest| _ = guest.stream(now, to, bytes));
            }
            GuestAct::Announce { vif } => self.guests.get_mut(&vif).into_iter().for_each(Guest::announce),
            GuestAct::Spoof { from, victim, kind } => self.spoof(now, from, victim, kind),
            GuestAct::Reboot { vif } => self.guests.get_mut(&vif).into_iter().for_each(Guest::reboot),
        }
        self.poll_guests(now);
    }

    /// A guest pings an address; the ping's number.
    pub fn ping(&mut self, now: Duration, from: VifId, to: IpAddr) -> Option<u32> {
        let there = self.is_somewhere(from);
        let number = self.guests.get_mut(&from).filter(|_| there).map(|guest| guest.ping(now, to));
        self.poll_guests(now);
        number
    }

    /// A guest sends a datagram in as large a packet as there is, and so many bytes in a stream; the stream's number, if the
    /// guest is anywhere.
    pub fn send_more(&mut self, now: Duration, from: VifId, to: IpAddr, bytes: u32) -> Option<u32> {
        let there = self.is_somewhere(from);
        let number = self.guests.get_mut(&from).filter(|_| there).map(|guest| {
            guest.datagram(now, to, Guest::datagram_max(to));
            guest.stream(now, to, bytes)
        });
        self.poll_guests(now);
        number
    }

    /// A guest announces itself: who got the frames is asked by their tags.
    pub fn shout(&mut self, now: Duration, from: VifId) -> Vec<Tag> {
        let Some(guest) = self.guests.get_mut(&from) else { return Vec::new() };
        guest.announce();
        let frames = guest.poll(now);
        frames.into_iter().filter_map(|frame| self.guest_sends(now, from, frame)).collect()
    }

    fn spoof(&mut self, now: Duration, from: VifId, victim: VifId, kind: u8) {
        let (Some(own), Some(theirs)) = (self.guests.get(&from), self.guests.get(&victim)) else { return };
        let destinations: Vec<Mac> = self.guests.values().map(|guest| guest.vif.mac).chain([Mac::BROADCAST]).collect();
        let destination = destinations[self.rng.random_range(0..destinations.len())];
        let frame = spoof::frame(kind, &own.vif, &theirs.vif, destination);
        let tag = self.guest_sends(now, from, frame);
        self.spoofs.extend(tag.map(|tag| (tag, from)));
        self.settle_marks();
    }
}
