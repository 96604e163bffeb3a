//! NORMAL: a switch that learns where stations are, per VLAN.

use super::port::{Port, Vlan};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a station is remembered without a packet from it (`mac-aging-time`).
const AGE: Duration = Duration::from_secs(300);
/// How many stations are remembered (`mac-table-size`).
const STATIONS_MAX: usize = 8192;

/// Where stations were seen.
#[derive(Clone, Debug, Default)]
pub struct MacTable {
    stations: BTreeMap<(u16, u64), (u32, Duration)>,
}

impl MacTable {
    /// A station sent a packet by a port. A table that is full learns nothing new until something ages out.
    pub fn learn(&mut self, now: Duration, vlan: u16, mac: u64, port: u32) {
        let is_group = mac >> 40 & 1 == 1;
        if is_group {
            return;
        }
        if self.stations.len() >= STATIONS_MAX && !self.stations.contains_key(&(vlan, mac)) {
            self.stations.retain(|_, (_, seen)| now.saturating_sub(*seen) < AGE);
        }
        if self.stations.len() < STATIONS_MAX || self.stations.contains_key(&(vlan, mac)) {
            self.stations.insert((vlan, mac), (port, now));
        }
    }

    /// By which port a station is.
    pub fn port(&self, now: Duration, vlan: u16, mac: u64) -> Option<u32> {
        let (port, seen) = self.stations.get(&(vlan, mac))?;
        (now.saturating_sub(*seen) < AGE).then_some(*port)
    }

    /// Forgets what is by a port.
    pub fn forget_port(&mut self, port: u32) {
        self.stations.retain(|_, (of, _)| *of != port);
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.stations.clear();
    }
}

/// The VLAN of a packet with this tag that comes in by a port; none if the port does not take it.
pub fn vlan_in(port: &Port, tag: Option<u16>) -> Option<u16> {
    match (&port.vlan, tag.map_or(0, |tag| tag & 0xfff)) {
        (Vlan::Trunk, vlan) => Some(vlan),
        (Vlan::Trunks(allowed), vlan) => allowed.contains(&vlan).then_some(vlan),
        (Vlan::Access(vlan), 0) => Some(*vlan),
        (Vlan::Access(_), _) => None,
    }
}

/// The identifier in the tag with which a packet of a VLAN leaves by a port, zero for none; none if it may not.
pub fn vlan_out(port: &Port, vlan: u16) -> Option<u16> {
    match &port.vlan {
        Vlan::Trunk => Some(vlan),
        Vlan::Trunks(allowed) => allowed.contains(&vlan).then_some(vlan),
        Vlan::Access(own) => (*own == vlan).then_some(0),
    }
}

/// Whether a destination is for bridges themselves (IEEE 802.1D, table 7-10), which NORMAL does not forward.
pub fn is_reserved(mac: u64) -> bool {
    mac & !0xf == 0x0180_c200_0000
}
