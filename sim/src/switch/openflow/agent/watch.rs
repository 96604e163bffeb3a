//! Who watches flows is told of changes (OpenFlow 1.5.1, section 7.3.5.19; `ofmonitor_report`), and who made a flow of its
//! end (section 7.4.2).
//!
//! Start at [`Agent::tell_monitors`].

use super::super::bytes::{Put, Reader, Refusal, refusal};
use super::super::oxm::put_match;
use super::super::{actions, dump};
use super::Agent;
use super::asynchronous::FLOW_REMOVED;
use crate::switch::datapath::{Bridge, Entry};
use crate::switch::model::Flow;
use std::time::Duration;

/// The kind of multipart messages that are about flow monitors.
pub(super) const FLOW_MONITOR: u16 = 16;
/// The flag of a flow monitor that wants all in full (section 7.3.5.19).
const NO_ABBREVIATION: u16 = 1 << 5;
/// Open vSwitch reads the flag that asks for nothing but a watcher's own changes as one that asks for them too.
const OWN_CHANGES: u16 = 1 << 6;
/// Whether updates say what flows do.
const INSTRUCTIONS: u16 = 1 << 4;
/// The event of an update that names only the request.
const ABBREVIATED: u16 = 4;
/// The flag of a flow whose going is to be told.
const SEND_FLOW_REMOVED: u16 = 1;

/// What a watcher of flows is to be told of the request that is being handled.
#[derive(Debug, Default)]
pub(super) struct Updates {
    bytes: Vec<u8>,
    /// Whether it says already that the watcher's own request changed something.
    is_abbreviated: bool,
}

impl Agent {
    /// Watches flows: all of them, since nobody here asks for less.
    pub(super) fn watch(&mut self, conn: u64, mut body: Reader<'_>, bridge: &Bridge) -> Result<Vec<Vec<u8>>, Refusal> {
        let (monitor, _port, _group) = (body.u32()?, body.u32()?, body.u32()?);
        let (flags, _table, command) = (body.u16()?, body.u8()?, body.u8()?);
        let connection = self.connections.get_mut(&conn).ok_or(refusal::BAD_MULTIPART)?;
        // Open vSwitch 3.1 has no complete notices of a watcher's own changes.
        if flags & NO_ABBREVIATION != 0 {
            return Err(refusal::BAD_MONITOR_FLAGS);
        }
        match command {
            0 | 1 => _ = connection.monitors.insert(monitor, flags),
            _ => _ = connection.monitors.remove(&monitor),
        }
        let mut initial = Vec::new();
        if flags & 1 != 0 && command <= 1 {
            for (_, entry) in bridge.program().tables.iter() {
                put_update(&mut initial, 0, 0, &entry.flow, flags & INSTRUCTIONS != 0);
            }
        }
        Ok(vec![initial])
    }

    /// Tells those who watch flows of a change, once for all of their monitors; who made it is told in short, once for all
    /// changes of a request, if no monitor asks for its own changes too (`ofmonitor_report`).
    pub(super) fn tell_monitors(&mut self, by: Option<(u64, u32)>, event: u16, reason: u8, flow: &Flow) {
        for (conn, connection) in &mut self.connections {
            let concerned = connection.monitors.values().filter(|flags| *flags & 1 << event != 0);
            let Some(flags) = concerned.copied().reduce(|all, flags| all | flags) else { continue };
            let updates = &mut connection.updates;
            match by.filter(|(author, _)| author == conn && flags & OWN_CHANGES == 0) {
                None => put_update(&mut updates.bytes, event, reason, flow, flags & INSTRUCTIONS != 0),
                Some((_, xid)) if !updates.is_abbreviated => {
                    updates.is_abbreviated = true;
                    updates.bytes.put(8_u16, 2);
                    updates.bytes.put(ABBREVIATED, 2);
                    updates.bytes.put(xid, 4);
                }
                Some(_) => {}
            }
        }
    }

    /// Tells of a flow that is gone: those who watch flows, and, if it was to be told, all who want to know.
    pub(super) fn tell_of_removal(&mut self, now: Duration, by: Option<(u64, u32)>, reason: u8, entry: &Entry) {
        self.tell_monitors(by, 2, reason, &entry.flow);
        if entry.flow.flags & SEND_FLOW_REMOVED != 0 {
            let body = dump::removed(now, entry, reason);
            for conn in self.who_hears(FLOW_REMOVED, reason) {
                self.send(conn, 11, 0, &body);
            }
        }
    }

    /// Sends what watchers are to be told of a request.
    pub(super) fn flush_updates(&mut self) {
        let told: Vec<(u64, Vec<u8>)> = self
            .connections
            .iter_mut()
            .filter(|(_, connection)| !connection.updates.bytes.is_empty())
            .map(|(conn, connection)| (*conn, std::mem::take(&mut connection.updates).bytes))
            .collect();
        for (conn, updates) in told {
            let mut body = Vec::new();
            body.put(FLOW_MONITOR, 2);
            body.put(0_u64, 6);
            body.extend(updates);
            self.send(conn, 19, 0, &body);
        }
    }
}

/// A flow in an update for who watches.
fn put_update(out: &mut Vec<u8>, event: u16, reason: u8, flow: &Flow, with_instructions: bool) {
    let start = out.len();
    out.put(0_u16, 2);
    out.put(event, 2);
    out.put(flow.table, 1);
    out.put(reason, 1);
    [flow.idle_timeout, flow.hard_timeout, flow.priority].into_iter().for_each(|number| out.put(number, 2));
    out.put(0_u32, 4);
    out.put(flow.cookie, 8);
    put_match(out, &flow.matching);
    if with_instructions {
        actions::put_instructions(out, &flow.actions);
    }
    let length = out.len() - start;
    out.patch_u16(start, length);
}
