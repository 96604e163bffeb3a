//! Applies the faults of a plan, and ends them when their time has come. Start at [`Running`].

use super::director::{CLIENT, Director, host_of};
use crate::plan::HvId;
use crate::plan::controller::{ControllerTrouble, DiskTrouble, Who};
use crate::plan::fault::{Fault, Way};
use crate::plan::physical::Physical;
use crate::stage::{Ability, Path, Stage, Stop};
use crate::window::Seat;
use std::collections::BTreeMap;
use std::time::Duration;

/// What ends a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The path between a host and a controller is good again.
    Path(String, Seat),
    /// The underlay from one hypervisor to another is good again.
    Underlay(HvId, HvId),
    /// What is beneath the underlay works again.
    Physical(Physical),
    /// A controller's host is up again.
    Controller(Seat),
    /// A controller goes on.
    Resume(Seat),
    /// Its disk is good again.
    Disk(Seat),
    /// A hypervisor's ovs-vswitchd is up again, its ports renumbered or not.
    Vswitchd(HvId, bool),
    /// A hypervisor's host is up again.
    Hypervisor(HvId),
    /// A switch takes as many flows as it is given.
    Tables(HvId),
    /// Its bundles are patient.
    Bundles(HvId),
    /// It handles at once what it is sent.
    Speed(HvId),
    /// It carries out transactions again.
    Transactions(HvId),
    /// It tells at once of changes.
    Updates(HvId),
    /// Its datapath does what its tables say.
    Cache(HvId),
}

impl End {
    fn replaced_by(&self, later: &End) -> bool {
        match (self, later) {
            (End::Vswitchd(hv, _), End::Vswitchd(other, _)) => hv == other,
            (one, other) => one == other,
        }
    }
}

/// Faults that are under way, and what they end by.
#[derive(Clone, Debug, Default)]
pub struct Running {
    ends: BTreeMap<(Duration, u64), End>,
    count: u64,
}

impl Running {
    /// The last fault of a kind decides when it ends.
    fn until(&mut self, at: Duration, end: End) {
        self.ends.retain(|_, other| !other.replaced_by(&end));
        self.count += 1;
        self.ends.insert((at, self.count), end);
    }

    /// When the next fault ends.
    pub fn next(&self) -> Option<Duration> {
        self.ends.keys().next().map(|(at, _)| *at)
    }

    /// All that is under way.
    pub fn all(self) -> Vec<End> {
        self.ends.into_values().collect()
    }

    /// Whether the path of a host is bad.
    pub fn has_path(&self, host: &str) -> bool {
        self.ends.values().any(|end| matches!(end, End::Path(of, _) if of == host))
    }

    fn due(&mut self, now: Duration) -> Vec<End> {
        let later = self.ends.split_off(&(now + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.ends, later).into_values().collect()
    }

    /// Somebody will start a controller again.
    pub fn controller_restarts(&mut self, at: Duration, seat: Seat) {
        self.until(at, End::Controller(seat));
    }
}

impl<S: Stage> Director<'_, S> {
    /// Ends the faults whose time has come.
    pub(super) fn end_faults(&mut self) {
        let now = self.now();
        self.running.due(now).into_iter().for_each(|end| self.undo(end));
    }

    /// Ends a fault.
    pub(super) fn undo(&mut self, end: End) {
        let now = self.now();
        match end {
            End::Path(name, seat) => self.set_path(&name, seat, Way::Both, &Path::default()),
            End::Underlay(from, to) => self.plant.weather(from, to, None),
            End::Physical(trouble) => self.plant.physical(now, trouble, false),
            End::Controller(seat) => {
                if self.controllers.of(seat).window.handle().is_none() {
                    self.checks.controller_starts(now, &self.plant, &mut self.report);
                    self.controller_down(seat, Stop::Kill);
                    self.boot_controller(seat);
                }
            }
            End::Resume(seat) => self.stage.pause(&seat.to_string(), false),
            End::Disk(seat) => {
                let disk = &self.controllers.of(seat).disk;
                disk.set_full(false);
                disk.set_read_only(false);
                disk.fail_sync(false);
                self.stage.slow_disk(&seat.to_string(), Duration::ZERO);
            }
            End::Vswitchd(hv, renumber) => self.plant.start_vswitchd(now, hv, renumber),
            End::Hypervisor(hv) => self.boot_hypervisor(hv),
            End::Tables(hv) => self.plant.limit_tables(now, hv, None),
            End::Bundles(hv) => self.plant.bundle_idle(hv, None),
            End::Speed(hv) => self.plant.delay(hv, Duration::ZERO),
            End::Transactions(hv) => self.plant.refuse_transactions(hv, false),
            End::Updates(hv) => self.plant.late_updates(hv, Duration::ZERO),
            End::Cache(hv) => self.plant.cache_lag(now, hv, Duration::ZERO),
        }
    }

    /// Sets the path between a host and a controller, as seen from the host: up is to the controller.
    fn set_path(&mut self, host: &str, seat: Seat, way: Way, path: &Path) {
        let controller = seat.to_string();
        if way != Way::Down {
            self.stage.path(host, &controller, path.clone());
        }
        if way != Way::Up {
            self.stage.path(&controller, host, path.clone());
        }
    }

    /// Paths between a host and some controllers become worse.
    fn worsen(&mut self, host: &str, seats: &[Seat], way: Way, path: &Path, for_ms: u64) {
        let able = match way {
            Way::Both => path.cut || self.stage.can(Ability::Paths),
            Way::Up | Way::Down => self.stage.can(Ability::OneWayCuts),
        };
        for seat in seats.iter().filter(|_| able) {
            self.set_path(host, *seat, way, path);
            self.ends_after(for_ms, End::Path(host.to_string(), *seat));
        }
    }

    fn ends_after(&mut self, ms: u64, end: End) {
        let at = self.now() + Duration::from_millis(ms);
        self.running.until(at, end);
    }

    /// Applies a fault.
    pub(super) fn apply(&mut self, fault: &Fault) {
        let now = self.now();
        let ms = |ms: u16| Duration::from_millis(u64::from(ms));
        let all: Vec<Seat> = self.controllers.seats().collect();
        match *fault {
            Fault::CutManagement { hv, way, for_ms } => self.worsen(&host_of(hv), &all, way, &cut(), for_ms),
            Fault::PoorManagement { hv, latency_ms, jitter_ms, loss, rate, for_ms } => {
                let path = Path {
                    latency: ms(latency_ms),
                    jitter: ms(jitter_ms),
                    loss: f64::from(loss) / 100.0,
                    rate: rate.map(u64::from),
                    cut: false,
                };
                self.worsen(&host_of(hv), &all, Way::Both, &path, for_ms);
            }
            Fault::ResetManagement { hv } => self.reset(&host_of(hv)),
            Fault::CutClients { for_ms } => self.worsen(CLIENT, &all, Way::Both, &cut(), for_ms),
            Fault::ResetClients => self.reset(CLIENT),
            Fault::Underlay { from, to, trouble, for_ms } => {
                self.plant.weather(from, to, Some(trouble));
                self.ends_after(for_ms, End::Underlay(from, to));
            }
            Fault::Physical { trouble, for_ms } => {
                self.plant.physical(now, trouble, true);
                self.ends_after(for_ms, End::Physical(trouble));
            }
            Fault::Controller { who, trouble } => {
                for seat in self.named(who) {
                    self.apply_to_controller(seat, &trouble, now);
                }
            }
            Fault::Garbage { hv, ovsdb, seed } => self.garbage(hv, ovsdb, seed),
            _ => self.apply_to_switch(fault, now),
        }
    }

    fn reset(&mut self, host: &str) {
        if self.stage.can(Ability::Resets) {
            for seat in self.controllers.seats() {
                self.stage.reset(host, &seat.to_string());
            }
        }
    }

    /// Which controllers those are now.
    fn named(&self, who: Who) -> Vec<Seat> {
        let owner_of = |hv: HvId| {
            let uuid = self.intent.node_uuid(hv)?.parse().ok()?;
            self.controllers.newest()?.read(|state| state.nib.nodes().get(&uuid)?.owner)
        };
        self.controllers.named(who, owner_of)
    }

    fn apply_to_controller(&mut self, seat: Seat, trouble: &ControllerTrouble, now: Duration) {
        let own = seat.to_string();
        match *trouble {
            ControllerTrouble::Kill { down_ms } => {
                self.controller_down(seat, Stop::Kill);
                self.running.controller_restarts(now + Duration::from_millis(down_ms), seat);
            }
            ControllerTrouble::PowerCut { down_ms } => {
                let how = if self.stage.can(Ability::PowerCuts) { Stop::PowerCut } else { Stop::Kill };
                self.controller_down(seat, how);
                self.running.controller_restarts(now + Duration::from_millis(down_ms), seat);
            }
            ControllerTrouble::PowerCutAt { operations, down_ms } => {
                let controller = self.controllers.of_mut(seat);
                controller.disk.cut_power_at(u64::from(operations));
                controller.dark_for = Some(Duration::from_millis(down_ms));
            }
            ControllerTrouble::Pause { for_ms } => {
                if self.stage.can(Ability::Pauses) {
                    self.stage.pause(&own, true);
                    self.ends_after(for_ms, End::Resume(seat));
                }
            }
            ControllerTrouble::Disk { trouble, for_ms } => {
                let disk = &self.controllers.of(seat).disk;
                match trouble {
                    DiskTrouble::SyncFails => disk.fail_sync(true),
                    DiskTrouble::Full => disk.set_full(true),
                    DiskTrouble::ReadOnly => disk.set_read_only(true),
                    DiskTrouble::Slow(delay) => {
                        self.stage.slow_disk(&own, Duration::from_millis(u64::from(delay)));
                    }
                }
                self.ends_after(for_ms, End::Disk(seat));
            }
            ControllerTrouble::Clock { ahead_ms, drift_ppm } => {
                if self.stage.can(Ability::Clocks) {
                    self.stage.clock(&own, ahead_ms, drift_ppm);
                }
            }
            ControllerTrouble::Apart { way, for_ms } => {
                let others: Vec<Seat> = self.controllers.seats().filter(|other| *other != seat).collect();
                self.worsen(&own, &others, way, &cut(), for_ms);
            }
            ControllerTrouble::CutOff { hv, way, for_ms } => {
                self.worsen(&host_of(hv), &[seat], way, &cut(), for_ms);
            }
        }
    }

    fn apply_to_switch(&mut self, fault: &Fault, now: Duration) {
        let ms = |ms: u16| Duration::from_millis(u64::from(ms));
        match *fault {
            Fault::RestartVswitchd { hv, down_ms, renumber } => {
                self.plant.stop_vswitchd(now, hv);
                self.ends_after(down_ms, End::Vswitchd(hv, renumber));
            }
            Fault::RestartOvsdb { hv } => self.plant.restart_ovsdb(now, hv),
            Fault::RebootHypervisor { hv, down_ms } => {
                self.stage.stop(&host_of(hv), Stop::PowerCut);
                self.plant.power_off(hv);
                self.running.ends.retain(|_, end| !matches!(end, End::Vswitchd(which, _) if *which == hv));
                self.ends_after(down_ms, End::Hypervisor(hv));
            }
            Fault::TableFull { hv, flows, for_ms } => {
                self.plant.limit_tables(now, hv, Some(flows as usize));
                self.ends_after(for_ms, End::Tables(hv));
            }
            Fault::FailModification { hv, nth } => self.plant.fail_modification(hv, nth),
            Fault::ImpatientBundles { hv, idle_ms, for_ms } => {
                self.plant.bundle_idle(hv, Some(ms(idle_ms)));
                self.ends_after(for_ms, End::Bundles(hv));
            }
            Fault::SlowSwitch { hv, delay_ms, for_ms } => {
                self.plant.delay(hv, ms(delay_ms));
                self.ends_after(for_ms, End::Speed(hv));
            }
            Fault::EvictFlow { hv, nth } => self.plant.edit(now, hv, crate::plan::fault::Edit::DeleteFlow(nth)),
            Fault::Edit { hv, edit } => self.plant.edit(now, hv, edit),
            Fault::LoseReply { hv } => self.plant.lose_reply(hv),
            Fault::RefuseTransaction { hv } => self.plant.refuse_transaction(hv),
            Fault::RefuseTransactions { hv, for_ms } => {
                self.plant.refuse_transactions(hv, true);
                self.ends_after(for_ms, End::Transactions(hv));
            }
            Fault::LateUpdates { hv, delay_ms, for_ms } => {
                self.plant.late_updates(hv, ms(delay_ms));
                self.ends_after(for_ms, End::Updates(hv));
            }
            Fault::CacheLag { hv, lag_ms, for_ms } => {
                self.plant.cache_lag(now, hv, ms(lag_ms));
                self.ends_after(for_ms, End::Cache(hv));
            }
            Fault::RogueTunnel { .. } => self.plant.rogue(now, fault),
            Fault::CutManagement { .. }
            | Fault::PoorManagement { .. }
            | Fault::ResetManagement { .. }
            | Fault::CutClients { .. }
            | Fault::ResetClients
            | Fault::Underlay { .. }
            | Fault::Physical { .. }
            | Fault::Controller { .. }
            | Fault::Garbage { .. } => unreachable!("{fault} is not of a switch"),
        }
    }
}

/// A path on which nothing passes.
fn cut() -> Path {
    Path { cut: true, ..Path::default() }
}
