//! Which transport node a peer is. Start at [`identify`].

use crate::controller::{Handle, Protocol, RefusedPeer};
use crate::runtime::Runtime;
use crate::tls::{Fingerprint, peer_identity};
use rustls::pki_types::CertificateDer;
use selvedge_core::nib::Identity;
use std::net::SocketAddr;
use uuid::Uuid;

/// What a peer showed of itself.
pub(super) enum Shown {
    /// A certificate, whose key it has.
    Certificate(CertificateDer<'static>),
    /// Nothing but its address: the connection is not encrypted.
    Address,
}

/// The transport node that a peer is. One that is none is remembered, and logged when it is new.
pub(super) fn identify<R: Runtime>(
    handle: &Handle,
    protocol: Protocol,
    peer: SocketAddr,
    shown: &Shown,
) -> Option<Uuid> {
    let (identity, fingerprint) = match shown {
        Shown::Certificate(der) => (peer_identity(der), Some(Fingerprint::of(der).to_string())),
        Shown::Address => (Identity::Address(peer.ip().to_canonical()), None),
    };
    let node = handle.read(|state| state.nib.node_of_identity(&identity));
    if node.is_none() {
        let why = match shown {
            Shown::Certificate(_) => "no transport node is registered with its certificate",
            Shown::Address => "no transport node is registered with its address",
        };
        refuse::<R>(handle, protocol, peer, why.to_string(), fingerprint);
    }
    node
}

/// Remembers a peer that is turned away, and logs it when it is new.
pub(super) fn refuse<R: Runtime>(
    handle: &Handle,
    protocol: Protocol,
    peer: SocketAddr,
    why: String,
    fingerprint: Option<String>,
) {
    let shown = fingerprint.clone().unwrap_or_default();
    let refused =
        RefusedPeer { peer, protocol: protocol.name(), why: why.clone(), fingerprint, count: 1, last: R::wall() };
    if handle.refuse(refused) {
        tracing::warn!(%peer, protocol = protocol.name(), fingerprint = shown, why, "a peer was turned away");
    }
}
