//! What passed an interface, and from where on it is counted. Switches count for themselves, from when they start; where a
//! user wants to count from is kept here. Start at [`Counters::since`].

use super::{Change, Kind, Nib, Refusal};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What passed an interface, as its switch counts: `rx` is what came from the guest, `tx` what went to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Bytes that came.
    #[serde(default)]
    pub rx_bytes: u64,
    /// Packets that came.
    #[serde(default)]
    pub rx_packets: u64,
    /// Packets that came broken.
    #[serde(default)]
    pub rx_errors: u64,
    /// Bytes that went.
    #[serde(default)]
    pub tx_bytes: u64,
    /// Packets that went.
    #[serde(default)]
    pub tx_packets: u64,
    /// Packets that could not go.
    #[serde(default)]
    pub tx_errors: u64,
}

/// From where on the counters of a port are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedFrom {
    /// The transport node that counts.
    pub node: Uuid,
    /// Its interface.
    pub interface: String,
    /// How far it had counted.
    pub counters: Counters,
}

impl Counters {
    /// What was counted since: everything, if another interface counted then, or if this one began anew.
    #[must_use]
    pub fn since(self, from: Option<&CountedFrom>, node: Uuid, interface: &str) -> Counters {
        let same = from.filter(|from| from.node == node && from.interface == interface);
        same.and_then(|from| self.minus(&from.counters)).unwrap_or(self)
    }

    /// Nothing if any of them is lower than it was: it started again, then.
    fn minus(&self, before: &Counters) -> Option<Counters> {
        Some(Counters {
            rx_bytes: self.rx_bytes.checked_sub(before.rx_bytes)?,
            rx_packets: self.rx_packets.checked_sub(before.rx_packets)?,
            rx_errors: self.rx_errors.checked_sub(before.rx_errors)?,
            tx_bytes: self.tx_bytes.checked_sub(before.tx_bytes)?,
            tx_packets: self.tx_packets.checked_sub(before.tx_packets)?,
            tx_errors: self.tx_errors.checked_sub(before.tx_errors)?,
        })
    }
}

impl Nib {
    /// From where on the counters of a port are counted, if somebody said.
    pub fn counted_from(&self, port: Uuid) -> Option<&CountedFrom> {
        self.counted_from.get(&port)
    }

    /// The counters of a port are counted from there on; from nothing, if nothing counts them now.
    pub(super) fn count_from(&mut self, port: Uuid, from: Option<&CountedFrom>) -> Result<Vec<Change>, Refusal> {
        if self.attachment(port).is_none() {
            return Err(Refusal::NotFound { kind: Kind::LogicalPort, uuid: port });
        }
        match from {
            Some(from) => self.counted_from.insert(port, from.clone()),
            None => self.counted_from.remove(&port),
        };
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_began_anew_count_from_nothing() {
        let node = Uuid::from_u128(1);
        let now = Counters { rx_packets: 10, rx_bytes: 1000, ..Counters::default() };
        let from = |node: u128, interface: &str, rx_packets: u64| CountedFrom {
            node: Uuid::from_u128(node),
            interface: interface.into(),
            counters: Counters { rx_packets, ..Counters::default() },
        };
        let counted = |from: CountedFrom| now.since(Some(&from), node, "tap0").rx_packets;
        assert_eq!(now.since(None, node, "tap0"), now);
        assert_eq!(counted(from(1, "tap0", 4)), 6);
        assert_eq!(counted(from(1, "tap0", 11)), 10, "the switch started again");
        assert_eq!(counted(from(2, "tap0", 4)), 10, "the guest moved");
        assert_eq!(counted(from(1, "tap1", 4)), 10, "the guest has another interface");
    }
}
