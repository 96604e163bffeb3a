//! Why a request was not carried out, and what its sender is told: a status, a word, a sentence.
//!
//! Start at [`ApiError`].

use super::json;
use crate::cluster::ProposeError;
use crate::controller::{Stopped, SubmitError, Unanswered};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use selvedge_core::nib::{Invalid, Refusal};
use std::time::Duration;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The NIB refused the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The controller is going down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The cluster did not agree, or nobody knows whether it did.
    #[error(transparent)]
    Cluster(ProposeError),
    /// Nothing is served at that path.
    #[error("there is no {0}")]
    NotFound(String),
    /// Something is, but not for that method.
    #[error("{method} is not allowed on {path}")]
    MethodNotAllowed { method: String, path: String },
    /// Something in the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A certificate that cannot be read. The words are what one client looks for.
    #[error("Invalid SecurityCertificate: credential.client_certificate.pem_encoded: {0}")]
    BadCertificate(String),
    /// The body is longer than it may be.
    #[error("the body is longer than {limit} bytes")]
    TooLarge { limit: usize },
    /// There is no session, or it has ended.
    #[error("there is no session: log in at /ws.v1/login")]
    NoSession,
    /// User or password is wrong.
    #[error("the user name or the password is wrong")]
    WrongPassword {
        /// Whether they came by HTTP Basic, whose clients expect a challenge.
        basic: bool,
    },
    /// Too many wrong passwords for one user.
    #[error("too many wrong passwords; try again in {} seconds", wait.as_secs())]
    TooManyFailures { wait: Duration },
    /// Who asks may not.
    #[error("it is not allowed: {0}")]
    Forbidden(String),
    /// As many follow changes as can.
    #[error("too many follow changes; try again later, or on another controller")]
    TooManyStreams,
    /// A tenant sends more than they may.
    #[error("too many requests; try again in {} ms", wait.as_millis())]
    TooManyRequests { wait: Duration },
    /// The NIB is not as far as the client knows it to be elsewhere.
    #[error("this controller has not reached configuration generation {0} yet")]
    NotYet(u64),
    /// Promised by the dialect, and not done here.
    #[error("{0}")]
    NotImplemented(String),
    /// A transport node that has to be asked does not answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> ApiError {
        match error {
            SubmitError::Refused(refusal) => ApiError::Refused(refusal),
            SubmitError::Stopped(stopped) => ApiError::Stopped(stopped),
            SubmitError::Cluster(error) => ApiError::Cluster(error),
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> ApiError {
        ApiError::Refused(invalid.into())
    }
}

impl ApiError {
    /// Status and word of the answer.
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Refused(refusal) => refusal_status(refusal),
            ApiError::Stopped(_)
            | ApiError::Cluster(ProposeError::Fatal(_) | ProposeError::Dismissed | ProposeError::Outdated(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "STOPPING")
            }
            ApiError::Cluster(ProposeError::NoLeader) => (StatusCode::SERVICE_UNAVAILABLE, "NO_LEADER"),
            ApiError::Cluster(ProposeError::Unknown(_)) => (StatusCode::GATEWAY_TIMEOUT, "UNKNOWN_OUTCOME"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            ApiError::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            ApiError::Invalid(_) => (StatusCode::BAD_REQUEST, "INVALID"),
            ApiError::BadCertificate(_) => (StatusCode::BAD_REQUEST, "INVALID_CERTIFICATE"),
            ApiError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE"),
            ApiError::NoSession => (StatusCode::UNAUTHORIZED, "NO_SESSION"),
            ApiError::WrongPassword { .. } => (StatusCode::UNAUTHORIZED, "WRONG_PASSWORD"),
            ApiError::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS"),
            ApiError::TooManyFailures { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_FAILURES"),
            ApiError::Forbidden(_) => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            ApiError::TooManyStreams => (StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_STREAMS"),
            ApiError::NotYet(_) => (StatusCode::SERVICE_UNAVAILABLE, "NOT_YET"),
            ApiError::NotImplemented(_) => (StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
            ApiError::Unanswered(_) => (StatusCode::SERVICE_UNAVAILABLE, "NODE_UNREACHABLE"),
        }
    }
}

/// A full switch is a conflict, not a 503: clients would try the next controller, in vain.
fn refusal_status(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NotFound { .. } => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Refusal::NoSuchReference { .. } => (StatusCode::BAD_REQUEST, "NO_SUCH_REFERENCE"),
        Refusal::Exists { .. } => (StatusCode::CONFLICT, "EXISTS"),
        Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "INVALID"),
        Refusal::InUse { .. } | Refusal::Occupied { .. } => (StatusCode::CONFLICT, "IN_USE"),
        Refusal::Stale { .. } => (StatusCode::CONFLICT, "STALE"),
        Refusal::Exhausted { .. } => (StatusCode::CONFLICT, "EXHAUSTED"),
        Refusal::NotMaster { .. } => (StatusCode::CONFLICT, "NOT_MASTER"),
        Refusal::NoCluster => (StatusCode::CONFLICT, "NO_CLUSTER"),
        Refusal::NotInvited { .. } => (StatusCode::FORBIDDEN, "NOT_INVITED"),
        Refusal::Forbidden { .. } => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        Refusal::ReadOnly => (StatusCode::FORBIDDEN, "READ_ONLY"),
        Refusal::NoSuchUser { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_USER"),
        Refusal::LastAdmin { .. } => (StatusCode::CONFLICT, "LAST_ADMIN"),
        Refusal::NoSuchMember { .. } => (StatusCode::NOT_FOUND, "NO_SUCH_MEMBER"),
        Refusal::LastMember { .. } => (StatusCode::CONFLICT, "LAST_MEMBER"),
        Refusal::AddressInUse { .. } => (StatusCode::CONFLICT, "ADDRESS_IN_USE"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let body = serde_json::json!({ "error": self.to_string(), "code": code });
        let mut response = json::response(status, &body);
        match self {
            ApiError::TooManyFailures { wait } | ApiError::TooManyRequests { wait } => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            }
            ApiError::WrongPassword { basic: true } => {
                let challenge = HeaderValue::from_static("Basic realm=\"ws.v1\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::ids::Revision;
    use selvedge_core::nib::Kind;
    use uuid::Uuid;

    #[test]
    fn every_refusal_has_a_status_that_clients_understand() {
        let (kind, uuid) = (Kind::LogicalSwitch, Uuid::nil());
        let check = |refusal: Refusal, want: u16| {
            assert_eq!(ApiError::from(SubmitError::from(refusal)).status().0.as_u16(), want);
        };
        check(Refusal::NotFound { kind, uuid }, 404);
        check(Refusal::NoSuchReference { field: "transport_zones[0].zone_uuid".into(), kind, uuid }, 400);
        check(Refusal::Exists { kind, uuid }, 409);
        check(Refusal::InUse { what: "VIF a".into(), kind, by: uuid }, 409);
        check(Refusal::Stale { kind, uuid, now: Revision(3) }, 409);
        check(Refusal::Exhausted { what: "tunnel keys".into(), limit: 3 }, 409);
        assert_eq!(ApiError::from(SubmitError::from(Stopped)).status().0.as_u16(), 503);
    }
}
