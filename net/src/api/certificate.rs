//! Checks the certificates that transport nodes are to be known by. Start at [`check`].

use super::error::ApiError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use selvedge_core::nib::{Credential, Object};

/// Checks that a transport node's certificate, if it has one, is one that TLS can recognise.
///
/// # Errors
/// Why it is not.
pub(super) fn check(object: &Object) -> Result<(), ApiError> {
    let Object::TransportNode(node) = object else { return Ok(()) };
    match &node.credential {
        Some(Credential::SecurityCertificate { client_certificate }) => {
            readable(&client_certificate.pem_encoded).map_err(ApiError::BadCertificate)
        }
        Some(Credential::ManagementAddress { .. }) | None => Ok(()),
    }
}

fn readable(pem: &str) -> Result<(), String> {
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let first = certificates.next().ok_or("it holds no block that begins with -----BEGIN CERTIFICATE-----")?;
    let der = first.map_err(|error| format!("it is no PEM: {error}"))?;
    if certificates.next().is_some() {
        return Err("it holds more than one certificate".into());
    }
    match ParsedCertificate::try_from(&der) {
        Ok(_) => Ok(()),
        Err(error) if format!("{error:?}").contains("UnsupportedCertVersion") => {
            Err("it is an X.509 version 1 certificate, and version 3 is needed".into())
        }
        Err(error) => Err(format!("it is no X.509 certificate: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_certificates_are_told_apart() {
        let key = rcgen::generate_simple_self_signed(vec!["hv1".into()]).expect("a certificate");
        let good = key.cert.pem();
        assert_eq!(readable(&good), Ok(()));
        let check = |pem: &str, want: &str| {
            let why = readable(pem).expect_err("unreadable");
            assert!(why.contains(want), "{why}");
        };
        check("", "no block");
        check("junk", "no block");
        check(&format!("{good}{good}"), "more than one");
        check("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "it is no PEM");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "it is no X.509 certificate");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n", "it is no PEM");
    }
}
