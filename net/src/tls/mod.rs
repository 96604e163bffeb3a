//! Certificates and TLS: our own certificate authority, and how peers are told apart.
//!
//! The authority is made on first start and signs the controller's certificate; switches and API clients trust it by
//! `ca.pem`. Transport nodes are *not* told apart by an authority: as in NVP, a node is known by the very certificate
//! that was registered for it. So the southbound side takes any certificate whose key the peer proves to have, and
//! compares it with those registered ([`peer_identity`]); who is unknown is turned away, and can be named.
//!
//! TLS 1.2 and 1.3. X.509 version 1 certificates are refused by the TLS library.
//! Start at [`Authority`] and [`southbound_config`].

mod authority;
mod mutual;
mod peers;

pub use authority::{Authority, AuthorityError, AuthorityFiles, CA_FILE, NodeCertificate, node_certificate};
pub use mutual::{Dial, Mutual};
pub use peers::{Fingerprint, peer_identity};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// The cryptography in use.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Credentials {
    /// The certificate, then those of its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

/// TLS for the northbound API: clients show no certificate.
///
/// # Errors
/// If the key does not fit the certificate.
pub fn northbound_config(credentials: &Credentials) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = builder.with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?))
}

/// TLS for OVSDB and OpenFlow: the peer must prove that it has the key of the certificate it shows.
///
/// # Errors
/// If the key does not fit the certificate.
pub fn southbound_config(credentials: &Credentials) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = builder.with_client_cert_verifier(Arc::new(peers::AnyCertificate::new(provider())));
    Ok(Arc::new(config.with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?))
}
