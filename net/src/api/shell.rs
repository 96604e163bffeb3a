//! What every answer has around it: `Server`, `Date`, the configuration generation, a request id, and a line in the
//! log. Also what is served without a resource behind it. Start at [`around`].

use super::error::ApiError;
use super::json;
use super::{Api, Peer};
use crate::runtime::Runtime;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const GENERATION: HeaderName = HeaderName::from_static("x-nvp-config-generation");
const WAIT_FOR_GENERATION: HeaderName = HeaderName::from_static("x-nvp-wait-for-config-generation");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// So long a controller may take to be called ready.
const READY_MAX: Duration = Duration::from_secs(1);
/// Longest wait for what others have told.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// What [`around`] needs.
pub(super) struct Shell<R: Runtime> {
    pub server: HeaderValue,
    pub api: Arc<Api<R>>,
}

/// What a request is called in logs.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub String);

/// Numbers, times and logs a request, and completes the headers of its answer.
pub(super) async fn around<R: Runtime>(
    State(shell): State<Arc<Shell<R>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = R::now();
    let id = request_id::<R>();
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let mut response = next.run(request).await;
    let generation = shell.api.handle.read(|state| state.nib.revision());
    let headers = response.headers_mut();
    headers.insert(header::SERVER, shell.server.clone());
    headers.insert(header::DATE, date(R::wall()));
    headers.insert(GENERATION, HeaderValue::from(generation.0));
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hex digits are lawful in a header"));
    let (status, took) = (response.status().as_u16(), R::now().saturating_sub(began));
    shell.api.requests.answered(&method, route.as_ref().map(MatchedPath::as_str), status, took);
    tracing::info!(request = %id, peer = ?peer, %method, path = %path, status, duration = ?took, "answered");
    response
}

fn request_id<R: Runtime>() -> String {
    let mut bytes = [0; 8];
    R::random(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// A `Date` header (RFC 9110, section 5.6.7).
fn date(now: SystemTime) -> HeaderValue {
    let now = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).expect("a date is plain ASCII")
}

/// Holds a request back until the NIB is as new as its sender has seen it elsewhere. A number that nobody in the
/// cluster holds is not waited for: it is of a database that was wiped, and would block the client for good.
pub(super) async fn fresh_enough<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(value) = request.headers().get(WAIT_FOR_GENERATION) {
        let wanted = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        let wanted = wanted.ok_or_else(|| ApiError::Invalid(format!("{WAIT_FOR_GENERATION}: it must be a number")))?;
        let lacks = api.handle.read(|state| state.nib.revision().0) < wanted;
        if lacks && api.member.catch_up(R::now() + CATCH_UP_MAX).await.is_err() {
            return Err(ApiError::NotYet(wanted));
        }
    }
    Ok(next.run(request).await)
}

/// Holds a request back until this controller has had everything once since it started: before, it may know neither users
/// nor anything else.
pub(super) async fn started<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if !api.member.has_been_current() {
        api.member.catch_up(R::now() + CATCH_UP_MAX).await.map_err(ApiError::Cluster)?;
    }
    Ok(next.run(request).await)
}

/// Holds back a request until this controller has everything that any of the cluster had told before: what it reads, and what
/// it builds upon, is that.
pub(super) async fn linearizable<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if api.member.has_others() {
        api.member.catch_up(R::now() + CATCH_UP_MAX).await.map_err(ApiError::Cluster)?;
    }
    Ok(next.run(request).await)
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthy() -> Response {
    json::response(StatusCode::OK, &serde_json::json!({ "healthy": true }))
}

/// `GET /readyz`: the controller has what the cluster has, and tells where it stands.
pub(super) async fn ready<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let revision = api.handle.read(|state| state.nib.revision());
    let is_ready = api.member.catch_up(R::now() + READY_MAX).await.is_ok();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json::response(status, &serde_json::json!({ "ready": is_ready, "revision": revision }))
}

/// Whatever is not served.
pub(super) async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("{} here", uri.path()))
}

/// Whatever is served, but not for this method.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed { method: method.to_string(), path: uri.path().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(date(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
