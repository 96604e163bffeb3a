//! How controllers of a cluster prove to each other who they are. Start at [`Mutual`].
//!
//! Every controller has a certificate that the cluster's authority signed, good for a name that only controllers of that
//! cluster have ([`controller_name`]); transport nodes sign their own. Who would join has none yet: it knows the authority by
//! its fingerprint, which its token carries, and shows nothing but the token.

use super::authority::AuthorityFiles;
use super::{Credentials, Fingerprint, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What a controller's certificate is good for, beside its addresses, in a cluster.
pub(super) fn controller_name(cluster: Uuid) -> String {
    format!("controller.{cluster}.selvedge.internal")
}

/// How a controller is called up.
#[derive(Clone, Debug)]
pub struct Dial {
    /// TLS as a client.
    pub client: Arc<ClientConfig>,
    /// What the other's certificate must be good for.
    pub name: ServerName<'static>,
}

impl Dial {
    /// For one that knows the authority by its fingerprint only, and has nothing to show.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn by_fingerprint(authority: Fingerprint) -> Result<Dial, Error> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let verifier = ByFingerprint { authority, provider: provider() };
        let client = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        Ok(Dial { client: Arc::new(client), name: server_name(authority.cluster())? })
    }
}

/// TLS between controllers, both ways.
pub struct Mutual {
    /// For those that call: a controller's certificate, or none.
    pub server: Arc<ServerConfig>,
    /// For calling others.
    pub dial: Dial,
    /// What a new member is given.
    pub authority: AuthorityFiles,
}

impl fmt::Debug for Mutual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutual").field("dial", &self.dial).finish_non_exhaustive()
    }
}

impl Mutual {
    /// For a controller of the cluster whose authority this is.
    ///
    /// # Errors
    /// If the authority's certificate is no root, or the key does not fit the certificate.
    pub fn new(
        credentials: &Credentials,
        root: &CertificateDer<'static>,
        authority: AuthorityFiles,
    ) -> Result<Mutual, Error> {
        let name = server_name(Fingerprint::of(root).cluster())?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).allow_unauthenticated();
        let inner = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        let verifier = Arc::new(Controllers { inner, name: name.clone() });
        let server = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let server = server.with_client_cert_verifier(verifier);
        let server = server.with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let client = client.with_root_certificates(roots);
        let client = client.with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())?;
        Ok(Mutual { server: Arc::new(server), dial: Dial { client: Arc::new(client), name }, authority })
    }
}

fn server_name(cluster: Uuid) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(controller_name(cluster)).map_err(|error| Error::General(error.to_string()))
}

/// Takes controllers of the cluster, and those that show nothing.
#[derive(Debug)]
struct Controllers {
    inner: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for Controllers {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes a server whose chain ends with the authority of a fingerprint.
#[derive(Debug)]
struct ByFingerprint {
    authority: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = intermediates.last().filter(|root| Fingerprint::of(root) == self.authority);
        let root = root.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Authority, node_certificate};
    use rustls::pki_types::pem::PemObject;
    use std::collections::BTreeSet;

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000))
    }

    #[test]
    fn controllers_of_this_cluster_are_told_from_nodes_and_from_those_of_another() {
        let (here, there) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let (ours, _) = Authority::open(here.path()).expect("made");
        let (theirs, _) = Authority::open(there.path()).expect("made");
        let own = ours.controller(&[], &BTreeSet::new()).expect("signed");
        let other = theirs.controller(&[], &BTreeSet::new()).expect("signed");
        let node = node_certificate("hv1").expect("made").certificate;
        let node = CertificateDer::from_pem_slice(node.as_bytes()).expect("PEM");
        let name = server_name(ours.fingerprint().cluster()).expect("a name");
        let mut roots = RootCertStore::empty();
        roots.add(own.chain[1].clone()).expect("a root");
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().expect("made");
        let verifier = Controllers { inner, name: name.clone() };
        verifier.verify_client_cert(&own.chain[0], &own.chain[1..], now()).expect("one of ours");
        verifier.verify_client_cert(&other.chain[0], &other.chain[1..], now()).expect_err("one of theirs");
        verifier.verify_client_cert(&node, &[], now()).expect_err("a node");

        let joiner = ByFingerprint { authority: ours.fingerprint(), provider: provider() };
        let verify =
            |chain: &[CertificateDer<'static>]| joiner.verify_server_cert(&chain[0], &chain[1..], &name, &[], now());
        verify(&own.chain).expect("one of ours");
        verify(&other.chain).expect_err("one of theirs");
        // Their certificate, with our authority's beside it.
        verify(&[other.chain[0].clone(), own.chain[1].clone()]).expect_err("not signed by it");
        verify(&[node]).expect_err("a node");
    }
}
