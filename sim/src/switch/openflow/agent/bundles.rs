//! Bundles: modifications that take effect together or not at all (OpenFlow 1.5.1, section 7.3.9; `bundles.c`).
//!
//! Start at [`Agent::bundle_control`].

use super::super::bytes::{Put, Reader, Refusal, refusal};
use super::super::deadly::Deadly;
use super::super::mods::{Changed, Mod};
use super::Agent;
use crate::switch::datapath::Bridge;
use std::time::Duration;

/// Open vSwitch gives up a bundle that nobody fills.
const BUNDLE_IDLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Bundle {
    flags: u16,
    closed: bool,
    mods: Vec<(Mod, Vec<u8>)>,
    pub(super) used: Duration,
    /// The message by which it came to be.
    opened_by: Vec<u8>,
}

impl Agent {
    pub(super) fn expire_bundles(&mut self, now: Duration) {
        let idle = self.ailments.bundle_idle.unwrap_or(BUNDLE_IDLE);
        let mut expired = Vec::new();
        for (conn, connection) in &mut self.connections {
            let idle = connection.bundles.extract_if(.., |_, bundle| bundle.used + idle <= now);
            expired.extend(idle.map(|(_, bundle)| (*conn, bundle.opened_by)));
        }
        self.counts.bundles_expired += expired.len() as u64;
        for (conn, opened_by) in expired {
            self.refuse(conn, refusal::BUNDLE_TIMEOUT, &opened_by);
        }
    }

    /// How many bundles are open: they are lost if the daemon ends.
    pub fn open_bundles(&self) -> u64 {
        self.connections.values().map(|connection| connection.bundles.len() as u64).sum()
    }

    pub(super) fn bundle_control(
        &mut self,
        now: Duration,
        conn: u64,
        message: &[u8],
        bridge: &mut Bridge,
    ) -> Result<(), Refusal> {
        let mut body = Reader::new(&message[4..], refusal::BAD_LEN);
        let xid = body.u32()?;
        let (id, step, flags) = (body.u32()?, body.u16()?, body.u16()?);
        self.may_write(conn)?;
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        let there = connection.bundles.get_mut(&id);
        match (step, there) {
            (0, Some(_)) => {
                connection.bundles.remove(&id);
                return Err(refusal::BAD_BUNDLE);
            }
            (0, None) => {
                let opened_by = message.to_vec();
                let bundle = Bundle { flags, closed: false, mods: Vec::new(), used: now, opened_by };
                connection.bundles.insert(id, bundle);
            }
            (2 | 4 | 6, None) => return Err(refusal::BAD_BUNDLE),
            (2 | 4, Some(bundle)) if bundle.flags != flags => {
                connection.bundles.remove(&id);
                return Err(refusal::BAD_BUNDLE_FLAGS);
            }
            (2, Some(bundle)) if bundle.closed => {
                connection.bundles.remove(&id);
                return Err(refusal::BUNDLE_CLOSED);
            }
            (2, Some(bundle)) => (bundle.closed, bundle.used) = (true, now),
            (4, Some(_)) => {
                let bundle = connection.bundles.remove(&id).expect("it was just there");
                self.commit(now, conn, bundle, bridge)?;
            }
            (6, Some(_)) => _ = connection.bundles.remove(&id),
            _ => return Err(refusal::BAD_BUNDLE_TYPE),
        }
        let mut reply = Vec::new();
        reply.put(id, 4);
        reply.put(step + 1, 2);
        reply.put(0_u16, 2);
        self.send(conn, 33, xid, &reply);
        Ok(())
    }

    pub(super) fn bundle_add(&mut self, now: Duration, conn: u64, xid: u32, whole: &[u8]) -> Result<(), Refusal> {
        self.may_write(conn)?;
        let mut body = Reader::new(&whole[8..], refusal::BAD_LEN);
        let id = body.u32()?;
        body.take(2)?;
        let flags = body.u16()?;
        let inner = body.rest();
        let (kind, length) = match inner {
            [_, kind, high, low, ..] if inner.len() >= 8 => (*kind, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Err(refusal::BAD_LEN),
        };
        let message = inner.get(..length).filter(|_| length >= 8).ok_or(refusal::BAD_LEN)?;
        if message[4..8] != xid.to_be_bytes() {
            return Err(refusal::BUNDLE_XID);
        }
        if !matches!(kind, 14 | 15) {
            return Err(refusal::NOT_BUNDLED);
        }
        let change = Mod::read(kind, &message[8..])?;
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        // A bundle that was never opened is opened by what is put in it (section 6.9.4), as Open vSwitch does.
        let fresh = Bundle { flags, closed: false, mods: Vec::new(), used: now, opened_by: whole.to_vec() };
        let bundle = connection.bundles.entry(id).or_insert(fresh);
        let refused = match (bundle.closed, bundle.flags == flags) {
            (true, _) => Some(refusal::BUNDLE_CLOSED),
            (false, false) => Some(refusal::BAD_BUNDLE_FLAGS),
            (false, true) => None,
        };
        if let Some(refused) = refused {
            connection.bundles.remove(&id);
            return Err(refused);
        }
        let bundle = connection.bundles.get_mut(&id).ok_or(refusal::BAD_BUNDLE)?;
        bundle.mods.push((change, whole.to_vec()));
        bundle.used = now;
        Ok(())
    }

    /// All that is in a bundle, or nothing. Errors quote the whole message by which something was put in it.
    fn commit(&mut self, now: Duration, conn: u64, bundle: Bundle, bridge: &mut Bridge) -> Result<(), Refusal> {
        self.may_write(conn)?;
        let program = bridge.change(now);
        let groups = program.groups.clone();
        program.tables.begin();
        let mut done = Vec::new();
        for (change, message) in &bundle.mods {
            let applied = if self.fails() { Err(refusal::TABLE_FULL) } else { change.apply(now, program) };
            match applied {
                Ok(changed) => done.push(changed),
                Err(why) => {
                    program.tables.take_back();
                    program.groups = groups;
                    self.refuse(conn, why, message);
                    return Err(refusal::MESSAGE_FAILED);
                }
            }
        }
        program.tables.keep();
        let mut fresh = Vec::new();
        for ((change, message), changed) in bundle.mods.iter().zip(done) {
            let xid = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
            let deadly = Deadly::of(change, &changed, &fresh);
            fresh.extend(changed.iter().filter_map(Changed::new_flow).cloned());
            self.wrote(now, (conn, xid), change, changed, deadly);
            let forwarded = change.forwarded(xid, bridge.program());
            forwarded.into_iter().for_each(|told| self.forward(Some(conn), &told));
        }
        self.flush_updates();
        Ok(())
    }

    /// When bundles expire that nobody fills.
    pub(super) fn bundle_deadlines(&self) -> impl Iterator<Item = Duration> {
        let idle = self.ailments.bundle_idle.unwrap_or(BUNDLE_IDLE);
        self.connections
            .values()
            .flat_map(move |connection| connection.bundles.values().map(move |bundle| bundle.used + idle))
    }
}
