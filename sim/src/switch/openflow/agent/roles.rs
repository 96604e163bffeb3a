//! Roles of controllers, and the generations under which they have them (OpenFlow 1.5.1, section 6.3.6).
//!
//! Start at [`Agent::role`].

use super::super::bytes::{Put, Reader, Refusal, refusal};
use super::Agent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Equal,
    Primary,
    Secondary,
}

impl Agent {
    pub(super) fn role(&mut self, conn: u64, xid: u32, mut body: Reader<'_>) -> Result<(), Refusal> {
        let role = body.u32()?;
        body.take(4)?;
        let generation = body.u64()?;
        let wanted = match role {
            0 => None,
            1 => Some(Role::Equal),
            2 => Some(Role::Primary),
            3 => Some(Role::Secondary),
            _ => return Err(refusal::BAD_ROLE),
        };
        if matches!(wanted, Some(Role::Primary | Role::Secondary)) {
            // As a signed distance, so that numbers may wrap; an equal one is accepted.
            if self.generation.is_some_and(|known| (generation.wrapping_sub(known) as i64) < 0) {
                self.counts.stale += 1;
                return Err(refusal::STALE);
            }
            self.counts.first_roles += u64::from(self.generation.is_none());
            self.generation = Some(generation);
        }
        let known = self.generation.unwrap_or(u64::MAX);
        if wanted == Some(Role::Primary) {
            self.demote_others(conn, known);
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        connection.role = wanted.unwrap_or(connection.role);
        if matches!(wanted, Some(Role::Primary | Role::Secondary)) {
            connection.generation = Some(generation);
        }
        let number = match connection.role {
            Role::Equal => 1_u32,
            Role::Primary => 2,
            Role::Secondary => 3,
        };
        let mut reply = Vec::new();
        reply.put(number, 4);
        reply.put(0_u32, 4);
        reply.put(known, 8);
        self.send(conn, 25, xid, &reply);
        Ok(())
    }

    /// There is one primary: whoever was is a secondary now, and told so.
    fn demote_others(&mut self, conn: u64, generation: u64) {
        let others: Vec<u64> = self
            .connections
            .iter()
            .filter(|(other, connection)| **other != conn && connection.role == Role::Primary)
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            self.connections.get_mut(&other).expect("it was just there").role = Role::Secondary;
            // Whatever it said that it wants to be told, as Open vSwitch does.
            let mut body = Vec::new();
            body.put(3_u32, 4);
            body.put(0_u32, 4);
            body.put(generation, 8);
            self.send(other, 30, 0, &body);
        }
    }
}
