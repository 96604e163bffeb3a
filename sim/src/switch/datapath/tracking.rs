//! The ct action: takes a packet through the connection tracker, and on from there.
//!
//! What the tracker said is seen only where the packet goes on, in another table and as if it had just come in; the
//! list that has the action goes on without it (`compose_conntrack_action` in Open vSwitch).

use super::super::model::{Action, Ct, CtZone, Field, FieldMatch, Subfield};
use super::super::packet::{Key, commit, parse};
use super::Effect;
use super::conntrack::{Request, Subjected, Tracked};
use super::walk::{Bytes, Walk};

/// How often a packet may go through the tables anew (`MAX_RECIRC_DEPTH`).
const RECIRCULATIONS_MAX: u32 = 6;

impl Walk<'_> {
    /// Tracks the packet, and lets a copy go on in the table that the action names.
    pub(super) fn track(&mut self, ct: &Ct) {
        self.commit();
        let request = self.request(ct);
        let Bytes { data, layout, base } = &mut self.bytes;
        let mut key = base.clone();
        let mut packet = Subjected { frame: data, layout, key: &mut key };
        self.bridge.conntrack.track(self.now, &mut packet, &mut self.tracked, &request);
        commit(data, layout, &mut base.clone(), &key);
        if let Some(table) = ct.recirculate {
            self.recirculate(table);
        }
        forget(&mut self.key);
        forget(&mut self.bytes.base);
    }

    /// Makes the packet one that was never tracked.
    pub(super) fn untrack(&mut self) {
        forget(&mut self.key);
        forget(&mut self.bytes.base);
        self.tracked = Tracked::default();
    }

    fn request(&self, ct: &Ct) -> Request {
        let zone = match ct.zone {
            CtZone::Fixed(zone) => zone,
            CtZone::Field(part) => self.key.read(part) as u16,
        };
        let mut request = Request { zone, commit: ct.commit, force: ct.force, ..Request::default() };
        let (mut values, mut masks) = (self.key.clone(), Key::default());
        for action in &ct.actions {
            match action {
                Action::Set(change) => {
                    values.set_masked(*change);
                    masks.set_bits(FieldMatch { value: change.mask, ..*change });
                }
                Action::Move { from, to } => {
                    values.write(*to, self.key.read(*from));
                    masks.write(Subfield { bits: from.bits, ..*to }, u128::MAX);
                }
                Action::Nat(nat) => request.nat = Some(nat.clone()),
                _ => {}
            }
        }
        let bits = |field| Some((values.get(field), masks.get(field))).filter(|(_, mask)| *mask != 0);
        request.mark = bits(Field::CtMark).map(|(value, mask)| (value as u32, mask as u32));
        request.label = bits(Field::CtLabel);
        request
    }

    /// Lets a copy of the packet go through the tables from this one on, then forgets what became of it.
    fn recirculate(&mut self, table: u8) {
        if self.recirculations >= RECIRCULATIONS_MAX {
            return;
        }
        let (mut key, layout) = parse(&self.bytes.data);
        key.take_metadata(&self.key);
        key.set(Field::CtState, self.tracked.state.into());
        key.set(Field::CtZone, self.tracked.zone.into());
        key.set(Field::CtMark, self.tracked.mark.into());
        key.set(Field::CtLabel, self.tracked.label);
        let bytes = Bytes { data: self.bytes.data.clone(), layout, base: key.clone() };
        let packet = (std::mem::replace(&mut self.key, key), std::mem::replace(&mut self.bytes, bytes));
        let state = (self.tracked.clone(), self.stack.clone(), self.stacked, self.action_set.clone());
        let lists = std::mem::take(&mut self.lists);
        let limits = (self.depth, self.resubmits, self.is_dropped, self.table);
        let effects = self.effects.len();
        (self.depth, self.resubmits) = (0, 0);
        self.recirculations += 1;

        self.found_in(table, self.in_port());
        self.run();
        self.do_action_set();
        if self.is_aborted {
            self.bridge.aborted += 1;
            let is_kept = |effect: &Effect| matches!(effect, Effect::Learned(_));
            let learnt: Vec<Effect> = self.effects.drain(effects..).filter(is_kept).collect();
            self.effects.extend(learnt);
        }

        (self.is_aborted, self.has_exited) = (false, false);
        self.recirculations -= 1;
        (self.key, self.bytes) = packet;
        (self.tracked, self.stack, self.stacked, self.action_set) = state;
        self.lists = lists;
        (self.depth, self.resubmits, self.is_dropped, self.table) = limits;
    }

    /// Looks the packet up with addresses and ports as in the first packet of its connection. Without a connection
    /// there is nothing to look up.
    pub(super) fn enter_by_original_tuple(&mut self, table: u8, in_port: u32) {
        let is_tracked = self.key.get(Field::CtState) != 0;
        let Some(original) = self.tracked.original.filter(|_| is_tracked && self.key.is_ip()) else { return };
        let own = self.key.clone();
        let (from, to) = (original.source, original.destination);
        let is_icmp = matches!(original.protocol, 1 | 58);
        for (end, v4, v6) in [(from, Field::Ipv4Src, Field::Ipv6Src), (to, Field::Ipv4Dst, Field::Ipv6Dst)] {
            match end.address {
                std::net::IpAddr::V4(address) => self.key.set(v4, address.to_bits().into()),
                std::net::IpAddr::V6(address) => self.key.set(v6, address.to_bits()),
            }
        }
        let ports = if is_icmp { (from.kind.into(), 0) } else { (from.port, to.port) };
        self.key.set(Field::IpProto, original.protocol.into());
        self.key.set(Field::TcpSrc, ports.0.into());
        self.key.set(Field::TcpDst, ports.1.into());
        self.enter(table, in_port);
        self.key = own;
    }
}

fn forget(key: &mut Key) {
    for field in [Field::CtState, Field::CtZone, Field::CtMark, Field::CtLabel] {
        key.set(field, 0);
    }
}
