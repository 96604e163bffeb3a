//! Who drives a transport node's connection. A node that connects anew replaces its earlier connection, which may be
//! long dead without anybody having noticed. Start at [`Link`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// OpenFlow, of the integration bridge.
    OpenFlow,
    /// OVSDB.
    Ovsdb,
}

impl Protocol {
    pub(super) const FIRST: Protocol = Protocol::OpenFlow;
    pub(super) const LAST: Protocol = Protocol::Ovsdb;

    /// The word for it in logs and answers.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::OpenFlow => "openflow",
            Protocol::Ovsdb => "ovsdb",
        }
    }
}

/// The core's hold on the driver of a connection. Clones are the same link.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    replaced: AtomicBool,
    woken: Notify,
}

impl Link {
    /// Completes when the driver should look at the node's configuration again.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// Whether another connection of the node took this one's place.
    pub fn replaced(&self) -> bool {
        self.0.replaced.load(Ordering::Acquire)
    }

    /// Makes the driver look again.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }

    pub(super) fn replace(&self) {
        self.0.replaced.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn same(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
