//! Passwords and their hashes: Argon2id (RFC 9106) in PHC string format. Start at [`hash_password`].

use crate::runtime::Runtime;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// 19 MiB and two passes: what OWASP recommends, and some 20 to 50 ms on a server of today.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// The hash of a password, as [`Command::SetUser`](selvedge_core::nib::Command::SetUser) wants it. It takes tens of
/// milliseconds, so that guessing does too.
pub fn hash_password<R: Runtime>(password: &str) -> String {
    let mut salt = [0; 16];
    R::random(&mut salt);
    hash_with(password, &salt)
}

fn hash_with(password: &str, salt: &[u8; 16]) -> String {
    let hash = argon2().hash_password_with_salt(password.as_bytes(), salt);
    hash.expect("salt and parameters are within limits, and so is any password in memory").to_string()
}

/// Whether a password fits a hash. Without a hash (no such user) it does not, and that takes as long.
pub(super) fn fits(password: &str, hash: Option<&str>) -> bool {
    match hash {
        Some(hash) => argon2().verify_password(password.as_bytes(), hash).is_ok(),
        None => {
            std::hint::black_box(hash_with(password, &[0; 16]));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tokio;

    #[test]
    fn only_the_right_password_fits() {
        let hash = hash_password::<Tokio>("secret");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(fits("secret", Some(&hash)));
        assert!(!fits("Secret", Some(&hash)));
        assert!(!fits("secret", None));
        assert!(!fits("secret", Some("no hash at all")));
    }

    #[test]
    fn one_password_has_many_hashes() {
        assert_ne!(hash_password::<Tokio>("secret"), hash_password::<Tokio>("secret"));
    }
}
