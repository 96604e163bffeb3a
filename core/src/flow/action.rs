//! What a flow or a bucket does to a packet. Start at [`Action`].

use super::field::{Field, FieldValue};
use super::text;
use super::{GroupId, Match};
use crate::addr::Mac;
use crate::ids::OfPort;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// One step. Open vSwitch executes them in order (ovs-actions(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Send to a port; the port the packet came in by is skipped.
    Output(OfPort),
    /// Send back by the port the packet came in by.
    OutputInPort,
    /// Give a copy to each bucket of a group.
    Group(GroupId),
    /// Set a field to a value.
    Set(FieldValue),
    /// Copy the whole of one field to another of the same width.
    Copy {
        /// From here.
        from: Field,
        /// To here.
        to: Field,
    },
    /// Look the packet up in a table, do what is found there, then go on.
    Resubmit(u8),
    /// Leave for a later table; only as the last step of a flow, never in a bucket.
    Goto(u8),
}

impl Action {
    /// Set `field` to `value`.
    ///
    /// # Panics
    /// If the value has bits that the field has not.
    pub fn set(field: Field, value: impl Into<u128>) -> Action {
        let value = value.into();
        assert_eq!(value & !field.full_mask(), 0, "value {value:#x} fits {field:?}");
        Action::Set(FieldValue { field, value })
    }

    /// Set an Ethernet address.
    pub fn set_mac(field: Field, mac: Mac) -> Action {
        Action::set(field, mac)
    }

    /// Set an IPv4 address.
    pub fn set_ipv4(field: Field, address: Ipv4Addr) -> Action {
        Action::set(field, address.to_bits())
    }

    /// Set the outer destination address.
    pub fn set_tunnel_destination(address: IpAddr) -> Action {
        match address {
            IpAddr::V4(v4) => Action::set_ipv4(Field::TunDst, v4),
            IpAddr::V6(v6) => Action::set(Field::TunIpv6Dst, v6.to_bits()),
        }
    }
}

/// A list of actions; an empty one drops the packet.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actions(Box<[Action]>);

impl Actions {
    /// Drops the packet.
    pub fn drop() -> Actions {
        Actions::default()
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Action] {
        &self.0
    }
}

impl From<Vec<Action>> for Actions {
    /// # Panics
    /// If [`Action::Goto`] is not the last: the switch would refuse it or run it last anyway.
    fn from(steps: Vec<Action>) -> Actions {
        let early = steps.iter().rev().skip(1).any(|step| matches!(step, Action::Goto(_)));
        assert!(!early, "goto_table comes last in {steps:?}");
        Actions(steps.into_boxed_slice())
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<T: IntoIterator<Item = Action>>(steps: T) -> Actions {
        Actions::from(Vec::from_iter(steps))
    }
}

impl<const N: usize> From<[Action; N]> for Actions {
    fn from(steps: [Action; N]) -> Actions {
        Actions::from(steps.to_vec())
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_actions(f, self, &Match::any(), &text::Numbers)
    }
}
