//! The rows of a switch's database that name us: the controllers of the integration bridge, and the switch's managers.
//!
//! Controllers of the integration bridge are all ours. Managers are a way into the whole machine, and other software may have
//! its own: those that we want are made ours, whoever wrote them first, and only what is ours is ever removed. Start at
//! [`Planner::correct_controllers`].

use super::super::operation::{Columns, Mutation};
use super::super::value::{Atom, Value};
use super::super::vswitch::{Bridge, Controller, Manager};
use super::{MARK_KEY, Planner, is_marked};
use std::collections::BTreeSet;
use uuid::Uuid;

const MARK_CONTROLLER: &str = "controller";
const MARK_MANAGER: &str = "manager";
const CONNECTION_MODE: &str = "out-of-band";

/// The least that Open vSwitch accepts, in milliseconds: a switch should find its new controller soon.
const MAX_BACKOFF: i64 = 1000;

/// Open vSwitch's default, in milliseconds, so that it does not depend on the version.
const INACTIVITY_PROBE: i64 = 5000;

impl Planner<'_> {
    pub(super) fn correct_controllers(&mut self, bridge: &Atom, found: &Bridge, wanted: &BTreeSet<String>) {
        let vswitch = self.vswitch;
        let mut missing: BTreeSet<&String> = wanted.iter().collect();
        let mut kept = BTreeSet::new();
        for uuid in &found.controllers {
            // A second row with the same target is not wanted.
            if let Some(controller) = vswitch.controllers.get(uuid).filter(|found| missing.remove(&found.target)) {
                kept.insert(*uuid);
                self.correct_controller(*uuid, controller);
            }
        }
        let unwanted = found.controllers.difference(&kept);
        self.remove_references(("Bridge", bridge, "controller"), unwanted, |uuid| {
            let target = vswitch.controllers.get(&uuid).map_or("(unknown)", |controller| &controller.target);
            format!("controller {target} of {} is not wanted", found.name)
        });
        for target in missing {
            self.because(format!("controller {target} of {} was missing", found.name));
            let mut columns = controller_columns();
            columns.insert("target", target.as_str().into());
            columns.insert("external_ids", Value::string_map([(MARK_KEY, MARK_CONTROLLER)]));
            let controller = self.transaction.insert("Controller", columns);
            self.transaction.mutate("Bridge", bridge, vec![Mutation::insert("controller", controller.into())]);
        }
    }

    fn correct_controller(&mut self, uuid: Uuid, found: &Controller) {
        let is_set = found.connection_mode.as_deref() == Some(CONNECTION_MODE)
            && found.max_backoff == Some(MAX_BACKOFF)
            && found.inactivity_probe == Some(INACTIVITY_PROBE);
        if !is_set {
            self.because(format!("controller {} had other settings", found.target));
            self.transaction.update("Controller", &uuid.into(), controller_columns());
        }
        self.correct_mark("Controller", uuid, &found.external_ids, MARK_CONTROLLER, &found.target);
    }

    /// Removes the controllers that are ours.
    pub(super) fn remove_controllers(&mut self, bridge: &Atom, found: &Bridge) {
        let vswitch = self.vswitch;
        let is_ours = |controller: &Controller| is_marked(&controller.external_ids, MARK_CONTROLLER);
        let unwanted = found.controllers.iter().filter(|uuid| vswitch.controllers.get(*uuid).is_some_and(is_ours));
        self.remove_references(("Bridge", bridge, "controller"), unwanted, |uuid| {
            format!("controller {} of {} is not wanted", vswitch.controllers[&uuid].target, found.name)
        });
    }

    pub(super) fn correct_managers(&mut self, wanted: &BTreeSet<String>) {
        let (vswitch, switch) = (self.vswitch, self.switch);
        let mut missing: BTreeSet<&String> = wanted.iter().collect();
        let mut unwanted = BTreeSet::new();
        for (uuid, manager) in switch.managers.iter().filter_map(|uuid| Some((uuid, vswitch.managers.get(uuid)?))) {
            if missing.remove(&manager.target) {
                self.correct_manager(*uuid, manager);
            } else if is_marked(&manager.external_ids, MARK_MANAGER) {
                unwanted.insert(*uuid);
            }
        }
        let row = Atom::from(switch.uuid);
        self.remove_references(("Open_vSwitch", &row, "manager_options"), unwanted.iter(), |uuid| {
            format!("manager {} is not wanted", vswitch.managers[&uuid].target)
        });
        for target in missing {
            self.because(format!("manager {target} was missing"));
            let columns = [
                ("target", target.as_str().into()),
                ("max_backoff", MAX_BACKOFF.into()),
                ("external_ids", Value::string_map([(MARK_KEY, MARK_MANAGER)])),
            ];
            let manager = self.transaction.insert("Manager", columns.into());
            self.transaction.mutate("Open_vSwitch", &row, vec![Mutation::insert("manager_options", manager.into())]);
        }
    }

    fn correct_manager(&mut self, uuid: Uuid, found: &Manager) {
        if found.max_backoff != Some(MAX_BACKOFF) {
            self.because(format!("manager {} had other settings", found.target));
            self.transaction.update("Manager", &uuid.into(), [("max_backoff", MAX_BACKOFF.into())].into());
        }
        self.correct_mark("Manager", uuid, &found.external_ids, MARK_MANAGER, &found.target);
    }
}

fn controller_columns() -> Columns {
    [
        ("connection_mode", CONNECTION_MODE.into()),
        ("max_backoff", MAX_BACKOFF.into()),
        ("inactivity_probe", INACTIVITY_PROBE.into()),
    ]
    .into()
}
