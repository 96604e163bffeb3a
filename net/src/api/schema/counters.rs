//! What passed a port, or an interface.

use selvedge_core::nib::Counters;
use serde::Serialize;
use utoipa::ToSchema;

/// What passed a port since it is counted: `rx` is what came from the guest, `tx` what went to it.
#[derive(Serialize, ToSchema)]
pub struct LogicalPortStatistics {
    /// Bytes that came.
    pub rx_bytes: u64,
    /// Packets that came.
    pub rx_packets: u64,
    /// Packets that came broken.
    pub rx_errors: u64,
    /// Bytes that went.
    pub tx_bytes: u64,
    /// Packets that went.
    pub tx_packets: u64,
    /// Packets that could not go.
    pub tx_errors: u64,
    /// Why nothing is counted, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Counters> for LogicalPortStatistics {
    fn from(counters: Counters) -> LogicalPortStatistics {
        let Counters { rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors } = counters;
        LogicalPortStatistics { rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors, reason: None }
    }
}

/// What passed an interface since its switch counts: `rx` is what it was sent, `tx` what it sent.
#[derive(Serialize, ToSchema)]
pub struct TransportNodeInterfaceStatistics {
    /// Bytes that came.
    pub rx_bytes: u64,
    /// Packets that came.
    pub rx_packets: u64,
    /// Packets that came broken.
    pub rx_errors: u64,
    /// Bytes that went.
    pub tx_bytes: u64,
    /// Packets that went.
    pub tx_packets: u64,
    /// Packets that could not go.
    pub tx_errors: u64,
}

impl From<Counters> for TransportNodeInterfaceStatistics {
    fn from(counters: Counters) -> TransportNodeInterfaceStatistics {
        let Counters { rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors } = counters;
        TransportNodeInterfaceStatistics { rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors }
    }
}
