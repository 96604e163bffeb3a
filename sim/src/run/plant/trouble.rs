//! What goes wrong with the physical world: the underlay, switches that ail, operators that meddle, forged packets.
//!
//! Start at [`Plant::edit`]; which faults come to which of these is in `run/faults.rs`.

use super::{BRIDGE, Hypervisor, PLUG_AGAIN, Plant, State};
use crate::fabric::site::bridge;
use crate::fabric::weather::{Grey, TooBig, Weather};
use crate::fabric::{Packet, Tag as FabricTag};
use crate::guest::spoof;
use crate::logical::VifId;
use crate::oracles::admission::Rogue;
use crate::plan::fault::{Edit, Fault, Trouble};
use crate::plan::physical::Physical;
use crate::plan::{Encap, HvId};
use crate::run::director::{tunnel_address, tunnel_end};
use crate::run::report::Mark;
use crate::switch::datapath::TunnelMetadata;
use crate::switch::datapath::tunnel::{Protocol, TunnelConfig, Tunnels};
use crate::switch::machine::Input;
use crate::switch::model::{Flow, Match};
use crate::switch::openflow::agent;
use crate::switch::vswitchd::Running;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

impl Plant {
    /// The underlay gets worse from one hypervisor to another; none mends it.
    pub fn weather(&self, from: HvId, to: HvId, trouble: Option<Trouble>) {
        self.with(|state| {
            let troubles = state.weather.entry((from, to)).or_default();
            match trouble {
                Some(trouble) => troubles.push(trouble),
                // Of several at a time the last decides when all end.
                None => troubles.clear(),
            }
            let weather = troubles.iter().fold(state.climate.clone(), |weather, trouble| worse(weather, *trouble));
            state.underlay.set_weather(tunnel_end(from), tunnel_end(to), Some(weather));
        });
    }

    /// Something beneath the underlay fails, or works again.
    pub fn physical(&self, now: Duration, trouble: Physical, fails: bool) {
        self.with(|state| {
            let site = state.site();
            match trouble {
                Physical::LinkMoves(hv) => site.move_host(tunnel_address(hv)),
                Physical::SmallTables(addresses) => {
                    site.set_tables(fails.then_some((usize::from(addresses), bridge::AGE)));
                }
                Physical::ShortMemory(seconds) => {
                    let age = Duration::from_secs(seconds.into());
                    site.set_tables(fails.then_some((bridge::CAPACITY, age)));
                }
                Physical::Circle => site.set_loop(fails),
                Physical::MissingVlan { leaf, of } => site.set_vlan(leaf, tunnel_address(of), !fails),
                Physical::Stranger { of, twin } => {
                    site.set_stranger(fails.then_some((tunnel_address(of), twin)));
                }
                Physical::RouterFails { both } => {
                    site.set_router(now, 0, !fails);
                    if both {
                        site.set_router(now, 1, !fails);
                    }
                }
            }
        });
    }

    /// ovs-vswitchd ends.
    pub fn stop_vswitchd(&self, now: Duration, hv: HvId) {
        self.with(|state| {
            state.keep_counts(hv);
            state.judge.forgot.insert(hv);
            let Some(hypervisor) = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
            let mut outputs = Vec::new();
            hypervisor.switch.stop_vswitchd(&mut outputs);
            state.carry_out(hv, now, outputs, None);
        });
    }

    /// It starts again.
    pub fn start_vswitchd(&self, now: Duration, hv: HvId, renumber: bool) {
        self.with(|state| {
            let Some(hypervisor) = state.hypervisors.get_mut(&hv) else { return };
            if hypervisor.up && !hypervisor.switch.is_up() {
                let before = port_numbers(hypervisor);
                hypervisor.switch.start_vswitchd(renumber);
                state.step(hv, now, Input::Tick, None);
                let after = port_numbers(&state.hypervisors[&hv]);
                if before.iter().any(|(name, number)| after.get(name).is_some_and(|other| other != number)) {
                    state.marks.insert(Mark::PortNumberChanged);
                }
            }
        });
    }

    /// ovsdb-server is restarted.
    pub fn restart_ovsdb(&self, now: Duration, hv: HvId) {
        self.with(|state| {
            let Some(hypervisor) = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
            let mut outputs = Vec::new();
            hypervisor.switch.restart_ovsdb(now, &mut outputs);
            state.carry_out(hv, now, outputs, None);
            state.step(hv, now, Input::Tick, None);
        });
    }

    /// Tables hold so many flows each.
    pub fn limit_tables(&self, now: Duration, hv: HvId, flows: Option<usize>) {
        self.with(|state| {
            let Some(running) = state.running(hv) else { return };
            (0..=253).for_each(|table| running.bridge.change(now).tables.set_limit(table, flows));
        });
    }

    fn ail(&self, hv: HvId, change: impl FnOnce(&mut agent::Ailments)) {
        self.with(|state| {
            if let Some(running) = state.running(hv) {
                change(&mut running.agent.ailments);
            }
        });
    }

    /// The modification so many from now is refused.
    pub fn fail_modification(&self, hv: HvId, nth: u32) {
        self.ail(hv, |ailments| ailments.fail_nth = Some(nth));
    }

    /// Bundles may be idle so long.
    pub fn bundle_idle(&self, hv: HvId, idle: Option<Duration>) {
        self.ail(hv, |ailments| ailments.bundle_idle = idle);
    }

    /// Messages are handled so much later.
    pub fn delay(&self, hv: HvId, delay: Duration) {
        self.ail(hv, |ailments| ailments.delay = delay);
    }

    /// The next transaction's reply is lost.
    pub fn lose_reply(&self, hv: HvId) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.lose_reply = true);
        });
    }

    /// The next transaction is refused.
    pub fn refuse_transaction(&self, hv: HvId) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.refuse = true);
        });
    }

    /// All transactions are refused, or no longer.
    pub fn refuse_transactions(&self, hv: HvId, refuse: bool) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.refuse_all = refuse);
        });
    }

    /// Clients of the database are told so much later.
    pub fn late_updates(&self, hv: HvId, delay: Duration) {
        self.with(|state| {
            state.hypervisors.get_mut(&hv).into_iter().for_each(|hv| hv.switch.server.faults.delay = delay);
        });
    }

    /// The datapath lags behind its tables.
    pub fn cache_lag(&self, now: Duration, hv: HvId, lag: Duration) {
        self.with(|state| {
            if let Some(running) = state.running(hv) {
                running.bridge.cache_lag = lag;
                // What was decided before the lag ended stays in force a while.
                let until = if lag.is_zero() { now + Duration::from_secs(5) } else { Duration::MAX };
                state.judge.lagging.insert(hv, until);
            }
        });
    }

    /// Somebody at a hypervisor sends bytes that are no protocol.
    pub fn garbage(&self, hv: HvId, to: SocketAddr, bytes: Vec<u8>) {
        self.with(|state| {
            let hypervisor = state.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up);
            hypervisor.into_iter().for_each(|hypervisor| hypervisor.garbage.push_back((to, bytes.clone())));
        });
    }

    /// An operator changes something by hand.
    pub fn edit(&self, now: Duration, hv: HvId, edit: Edit) {
        self.with(|state| state.edit(now, hv, edit));
    }

    /// A hypervisor sends a tunnel packet of its own making.
    pub fn rogue(&self, now: Duration, fault: &Fault) {
        self.with(|state| state.rogue(now, fault));
    }

    /// All ailments end.
    pub fn heal(&self, now: Duration) {
        let hvs: Vec<HvId> = self.with(|state| {
            let pairs: Vec<(HvId, HvId)> = state.weather.keys().copied().collect();
            for (from, to) in pairs {
                state.underlay.set_weather(tunnel_end(from), tunnel_end(to), None);
            }
            state.weather.clear();
            state.site().heal(now);
            state.hypervisors.keys().copied().collect()
        });
        for hv in hvs {
            self.ail(hv, |ailments| *ailments = agent::Ailments::default());
            self.limit_tables(now, hv, None);
            self.cache_lag(now, hv, Duration::ZERO);
            self.with(|state| {
                let hypervisor = state.hypervisors.get_mut(&hv).expect("it is there");
                hypervisor.switch.server.faults = Default::default();
            });
        }
    }
}

impl State {
    fn edit(&mut self, now: Duration, hv: HvId, edit: Edit) {
        let Some(hypervisor) = self.hypervisors.get_mut(&hv).filter(|hypervisor| hypervisor.up) else { return };
        self.judge.meddled.insert(hv);
        let drop_all = |table| Flow {
            table,
            priority: 60_000,
            matching: Match::default(),
            cookie: 0xbad,
            actions: Vec::new(),
            idle_timeout: 0,
            hard_timeout: 0,
            flags: 0,
            importance: 0,
        };
        let by_hand = match edit {
            Edit::DeleteFlow(nth) => Some(agent::Edit::DeleteFlow(usize::from(nth))),
            Edit::DeleteAllFlows => Some(agent::Edit::DeleteAllFlows),
            Edit::AddDrop(table) => Some(agent::Edit::Add(drop_all(table))),
            Edit::EmptyGroup(nth) => Some(agent::Edit::EmptyGroup(usize::from(nth))),
            Edit::DeleteGroup(nth) => Some(agent::Edit::DeleteGroup(usize::from(nth))),
            Edit::FailMode | Edit::Controllers | Edit::DeleteTunnel(_) | Edit::DeleteBridge => None,
        };
        let of_bridge = json!([["name", "==", BRIDGE]]);
        let none = json!(["set", []]);
        let update = |row| json!({"op": "update", "table": "Bridge", "where": of_bridge, "row": row});
        let operations = match edit {
            Edit::FailMode => vec![update(json!({"fail_mode": none}))],
            Edit::Controllers => vec![update(json!({"controller": none}))],
            Edit::DeleteBridge => {
                vec![json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"bridges": none}})]
            }
            Edit::DeleteTunnel(nth) => tunnel_deletion(hypervisor, nth),
            _ => Vec::new(),
        };
        if !operations.is_empty() {
            hypervisor.switch.transact(&operations);
        }
        if edit == Edit::DeleteBridge {
            // Ports went with the bridge: whoever runs the guests plugs them in again.
            let plugged: Vec<VifId> = hypervisor.plugged.iter().copied().collect();
            plugged.into_iter().for_each(|vif| _ = self.again.insert((vif, hv), now + PLUG_AGAIN));
        }
        if let (Some(by_hand), Some(running)) = (by_hand, self.running(hv)) {
            let Running { bridge, agent, .. } = running;
            agent.edit(now, bridge, by_hand);
        }
        self.step(hv, now, Input::Tick, None);
    }

    fn rogue(&mut self, now: Duration, fault: &Fault) {
        let Fault::RogueTunnel { from, to, encap, key, posing, victim, as_from } = *fault else { return };
        let (Some(own), Some(theirs)) = (self.guests.get(&posing), self.guests.get(&victim)) else { return };
        let inner = spoof::frame(1, &own.vif, &theirs.vif, theirs.vif.mac);
        let protocol = match encap {
            Encap::Geneve => Protocol::Geneve,
            Encap::Vxlan => Protocol::Vxlan,
            Encap::Gre => Protocol::Gre,
            Encap::Stt => Protocol::Stt,
        };
        let claimed = as_from.unwrap_or(from);
        let metadata = TunnelMetadata {
            id: u64::from(key),
            source: Some(tunnel_end(claimed)),
            destination: Some(tunnel_end(to)),
            ttl: 64,
            ..TunnelMetadata::default()
        };
        let sealed = Tunnels::default().encapsulate(&TunnelConfig::of_flows(protocol), &metadata, &inner);
        let tag = self.judge.made_up(Rogue { from, key, as_from: claimed, at: now });
        for packet in sealed.into_iter().flatten() {
            self.capture(now, true, &packet);
            self.underlay.send_from(now, tunnel_end(from), Packet { tag: FabricTag(tag), bytes: packet });
        }
        self.rogues.push(tag);
        self.settle_marks();
    }
}

/// The transaction that deletes a tunnel port, by number among those there are.
fn tunnel_deletion(hypervisor: &Hypervisor, nth: u8) -> Vec<serde_json::Value> {
    let database = &hypervisor.switch.server.database;
    let is_tunnel = |uuid: &uuid::Uuid| {
        let kind = database.row("Interface", *uuid).and_then(|row| row["type"].text());
        kind.is_some_and(|kind| ["geneve", "vxlan", "gre", "stt"].contains(&kind))
    };
    let tunnels: Vec<uuid::Uuid> = database
        .rows("Port")
        .filter(|(_, port)| port["interfaces"].uuids().iter().any(is_tunnel))
        .map(|(uuid, _)| uuid)
        .collect();
    let Some(port) = tunnels.get(usize::from(nth) % tunnels.len().max(1)) else { return Vec::new() };
    let gone = json!(["set", [["uuid", port.to_string()]]]);
    vec![json!({"op": "mutate", "table": "Bridge", "where": [], "mutations": [["ports", "delete", gone]]})]
}

/// Port numbers that a switch's database tells, by name of the interface.
fn port_numbers(hypervisor: &Hypervisor) -> BTreeMap<String, i64> {
    let rows = hypervisor.switch.server.database.rows("Interface");
    rows.filter_map(|(_, row)| Some((row["name"].text()?.to_string(), row["ofport"].number()?))).collect()
}

fn worse(weather: Weather, trouble: Trouble) -> Weather {
    let share = |percent: u8| f64::from(percent) / 100.0;
    match trouble {
        Trouble::Loss(percent) => Weather { loss: share(percent), ..weather },
        Trouble::Cut => Weather { cut: true, ..weather },
        Trouble::Duplicates(percent) => Weather { duplication: share(percent), ..weather },
        Trouble::Jitter(ms) => Weather { jitter: Duration::from_millis(u64::from(ms)), ..weather },
        Trouble::Mtu(mtu) => Weather { mtu, ..weather },
        Trouble::Fragments(mtu) => Weather { mtu, too_big: TooBig::Fragmented, ..weather },
        Trouble::Grey(percent) => {
            Weather { grey: Some(Grey { flows: share(percent), loss: 1.0, salt: u64::from(percent) }), ..weather }
        }
    }
}
