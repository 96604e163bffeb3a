//! What controllers are told unasked, and who wants to hear of what (OpenFlow 1.5.1, section 7.3.10).
//!
//! Start at [`Agent::who_hears`].

use super::super::bytes::{Reader, Refusal, refusal};
use super::Agent;
use super::Connection;
use super::roles::Role;

/// Kinds of unasked messages, for secondaries (section 7.3.10); for others the number is one higher.
const PACKET_IN: u16 = 0;
pub(super) const PORT_STATUS: u16 = 2;
pub(super) const FLOW_REMOVED: u16 = 4;
const ROLE_STATUS: u16 = 6;
const TABLE_STATUS: u16 = 8;
pub(super) const REQUEST_FORWARD: u16 = 10;

impl Agent {
    /// The connections that want an unasked message of a kind (the type for secondaries; others have the next) for a
    /// reason. What was never said is as in section 7.3.10: equals and primaries hear all, secondaries of ports only.
    pub(super) fn who_hears(&self, kind: u16, reason: u8) -> Vec<u64> {
        let hears = |connection: &&Connection| {
            let secondary = connection.role == Role::Secondary;
            let default = match kind {
                PORT_STATUS => u32::MAX,
                // Nobody is told of others' requests who did not ask for it, as in Open vSwitch's ofp-prop defaults.
                REQUEST_FORWARD => 0,
                _ if secondary => 0,
                _ => u32::MAX,
            };
            let mask = connection.asynchronous.get(&(kind + u16::from(!secondary))).copied().unwrap_or(default);
            connection.greeted && mask & 1 << reason != 0
        };
        self.connections.iter().filter(|(_, connection)| hears(connection)).map(|(conn, _)| *conn).collect()
    }

    pub(super) fn set_async(&mut self, conn: u64, mut body: Reader<'_>) -> Result<(), Refusal> {
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        let mut asynchronous = connection.asynchronous.clone();
        while !body.is_empty() {
            let (kind, length) = (body.u16()?, usize::from(body.u16()?));
            let mut property = body.part(length.checked_sub(4).ok_or(refusal::BAD_LEN)?, refusal::BAD_LEN)?;
            // The reasons that there are for each kind of message (section 7.3.10).
            let lawful = match kind {
                PACKET_IN..PORT_STATUS => 0x3f,
                PORT_STATUS..FLOW_REMOVED => 7,
                FLOW_REMOVED..ROLE_STATUS => 0x3f,
                ROLE_STATUS..TABLE_STATUS => 7,
                TABLE_STATUS..REQUEST_FORWARD => 0x18,
                REQUEST_FORWARD..12 => 3,
                _ => return Err(refusal::UNKNOWN_ASYNC),
            };
            let mask = property.u32()?;
            if mask & !lawful != 0 {
                return Err(refusal::BAD_ASYNC);
            }
            asynchronous.insert(kind, mask);
        }
        connection.asynchronous = asynchronous;
        Ok(())
    }
}
