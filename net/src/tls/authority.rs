//! The certificate authority of a cluster, in two files of the data directory: `ca.pem`, which everybody may read, and
//! `ca.key`, which nobody else may. Start at [`Authority::open`].

use super::Credentials;
use super::mutual::{Mutual, controller_name};
use super::peers::Fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The authority's certificate in the data directory.
pub const CA_FILE: &str = "ca.pem";
/// Its key.
const KEY_FILE: &str = "ca.key";
/// Certificates are good from this year to that: replacing them is an operator's decision, not a clock's.
const YEARS: (i32, i32) = (2020, 2050);

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// An authority's certificate and key, as its files hold them: whoever has them can sign as it does.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityFiles {
    /// RFC 7468 text.
    pub certificate: String,
    /// PKCS #8, as RFC 7468 text.
    pub key: String,
}

impl fmt::Debug for AuthorityFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorityFiles")
    }
}

impl AuthorityFiles {
    /// Puts them into a data directory, in place of what was left of an attempt before.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn install(&self, directory: &Path) -> Result<(), AuthorityError> {
        // As when they are made: the key first.
        for (name, text, mode) in [(KEY_FILE, &self.key, 0o600), (CA_FILE, &self.certificate, 0o644)] {
            let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
            let failed = |why| AuthorityError::File { path: path.clone(), why };
            if new.exists() {
                std::fs::remove_file(&new).map_err(failed)?;
            }
            write_new(&new, text, mode)?;
            std::fs::rename(&new, &path).map_err(failed)?;
        }
        Ok(())
    }

    /// The authority's fingerprint, if this is a certificate.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of(&CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?))
    }
}

/// A certificate authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    files: AuthorityFiles,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the authority of a data directory, or makes one. Says whether it is new.
    ///
    /// # Errors
    /// If its files cannot be read or written, or one of them is missing or damaged: it is never replaced, since every
    /// switch trusts it.
    pub fn open(directory: &Path) -> Result<(Authority, bool), AuthorityError> {
        let (pem_path, key_path) = (directory.join(CA_FILE), directory.join(KEY_FILE));
        let new = !pem_path.exists() && !key_path.exists();
        if new {
            let key = KeyPair::generate()?;
            let certificate = ca_params(&key).self_signed(&key)?;
            // The key first: a key without a certificate is told apart from a whole authority below.
            write_new(&key_path, &key.serialize_pem(), 0o600)?;
            write_new(&pem_path, &certificate.pem(), 0o644)?;
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|why| AuthorityError::File { path: path.to_path_buf(), why })
        };
        let (pem, key_text) = (read(&pem_path)?, read(&key_path)?);
        let damaged = |path: &Path, why: String| AuthorityError::Damaged { path: path.to_path_buf(), why };
        let key = KeyPair::from_pem(&key_text).map_err(|error| damaged(&key_path, error.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged(&pem_path, format!("no certificate in PEM: {error}")))?;
        let issuer = Issuer::new(ca_params(&key), key);
        Ok((Authority { certificate, files: AuthorityFiles { certificate: pem, key: key_text }, issuer }, new))
    }

    /// The authority's certificate, RFC 7468 text.
    pub fn pem(&self) -> &str {
        &self.files.certificate
    }

    /// Its files.
    pub fn files(&self) -> &AuthorityFiles {
        &self.files
    }

    /// TLS between this controller and others of the cluster.
    ///
    /// # Errors
    /// If the authority's certificate is no root.
    pub fn mutual(&self, credentials: &Credentials) -> Result<Mutual, rustls::Error> {
        Mutual::new(credentials, &self.certificate, self.files.clone())
    }

    /// The authority's fingerprint: names the cluster.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// A certificate and a fresh key for this controller, good for `names` and `addresses`. It lives as long as the
    /// process: what others trust is the authority.
    ///
    /// # Errors
    /// If a name is no DNS name.
    pub fn controller(&self, names: &[String], addresses: &BTreeSet<IpAddr>) -> Result<Credentials, AuthorityError> {
        let role = controller_name(self.fingerprint().cluster());
        let alternatives = names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).chain([role]);
        let mut params = CertificateParams::new(alternatives.collect::<Vec<_>>())?;
        params.distinguished_name = named("Selvedge controller");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(Credentials { chain, key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) })
    }
}

/// The certificate and key of a transport node, in PEM.
pub struct NodeCertificate {
    /// RFC 7468 text.
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
}

/// Makes a certificate for a transport node, signed by its own key: it is known by being registered.
///
/// # Errors
/// If the system gives no key.
pub fn node_certificate(name: &str) -> Result<NodeCertificate, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(NodeCertificate { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What the authority says of itself: it follows from its key, so that it need not be read from its certificate.
fn ca_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    let head: String = Fingerprint::of(key.public_key_raw()).to_string().replace(':', "").chars().take(12).collect();
    params.distinguished_name = named(&format!("Selvedge CA {head}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params);
    params
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(YEARS.0, 1, 1);
    params.not_after = date_time_ymd(YEARS.1, 1, 1);
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|why| AuthorityError::File { path: path.to_path_buf(), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn an_authority_is_made_once_and_its_controllers_are_trusted_after_a_restart() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (first, new) = Authority::open(dir.path()).expect("made");
        assert!(new);
        let (again, new) = Authority::open(dir.path()).expect("read");
        assert!(!new);
        assert_eq!(first.fingerprint(), again.fingerprint());

        let address: IpAddr = "192.0.2.1".parse().expect("an address");
        let controller = again.controller(&["localhost".into()], &BTreeSet::from([address])).expect("signed");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(first.pem().as_bytes()).expect("PEM")).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::super::provider());
        let verifier = verifier.build().expect("a verifier");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        for name in ["localhost", "192.0.2.1"] {
            let name = ServerName::try_from(name).expect("a name");
            let verified = verifier.verify_server_cert(&controller.chain[0], &controller.chain[1..], &name, &[], now);
            assert!(verified.is_ok(), "{verified:?}");
        }
    }

    #[test]
    fn half_an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Authority::open(dir.path()).expect("made");
        std::fs::remove_file(dir.path().join(CA_FILE)).expect("removed");
        let error = Authority::open(dir.path()).err().expect("refused").to_string();
        assert!(error.contains(CA_FILE), "{error}");
    }
}
