//! Who sends a request: sessions opened at `/ws.v1/login`, or HTTP Basic.
//!
//! A request without a living session is answered 401 before anything else is looked at; clients notice by it that
//! they must log in, here or on the controller they were redirected to. One password check costs tens of
//! milliseconds and 19 MiB, on purpose, so that stolen hashes are slow to guess; at most two run at once.
//!
//! Start at [`require`] and [`login`]. [`sessions`], [`throttle`] and [`password`] decide; this file acts.

mod basic;
mod password;
mod rate;
mod sessions;
mod throttle;

pub use password::hash_password;
pub use rate::Rate;

use super::Api;
use super::error::ApiError;
use super::json;
use super::shell::RequestId;
use crate::controller::Handle;
use crate::runtime::Runtime;
use axum::extract::{Extension, Form, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rate::{Rates, WAIT_MAX};
use selvedge_core::nib::{Author, Command, Kind, Nib, Role, SessionCommand, SessionRecord};
use sessions::{SessionId, Sessions};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use throttle::Throttle;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Longest login form, in bytes.
const FORM_MAX: usize = 8 * 1024;
/// Most password checks at once.
const CHECKS_MAX: usize = 2;
/// The cookie that carries the session.
const COOKIE: &str = "nvp_sessionid=";

/// Who sent a request, and which. Every handler behind [`require`] finds it among the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The login name.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// What the request is called in logs.
    pub request: String,
}

impl Authenticated {
    /// Whether they may see an object.
    pub(super) fn sees(&self, nib: &Nib, kind: Kind, uuid: Uuid) -> bool {
        nib.is_visible(&self.role, kind, uuid)
    }

    /// Whether they may see the network as it is built: transport nodes, controllers, flows.
    pub(super) fn is_staff(&self) -> bool {
        match self.role {
            Role::Admin | Role::Operator => true,
            Role::Tenant { .. } => false,
        }
    }

    /// What they ask for, as theirs.
    pub(super) fn command<R: Runtime>(&self, command: Command) -> Command {
        let author = Author { user: self.user.clone(), request: self.request.clone(), at: R::unix() };
        Command::By { author, command: Box::new(command) }
    }
}

/// What is remembered about those who log in.
pub(super) struct Auth<R> {
    handle: Handle,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    rates: Mutex<Rates>,
    checks: Arc<Semaphore>,
    runtime: PhantomData<fn() -> R>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}

impl<R: Runtime> Auth<R> {
    /// Nobody is logged in.
    pub(super) fn new(handle: Handle) -> Auth<R> {
        Auth {
            handle,
            sessions: Mutex::default(),
            throttle: Mutex::default(),
            rates: Mutex::default(),
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            runtime: PhantomData,
        }
    }

    fn role_of(&self, user: &str) -> Option<Role> {
        self.handle.read(|state| state.nib.user(user).map(|user| user.role.clone()))
    }

    fn hash_of(&self, user: &str) -> Option<String> {
        self.handle.read(|state| state.nib.user(user).map(|user| user.password_hash.clone()))
    }

    /// Checks a password; gives the hash it fits. Unknown users take as long as wrong passwords.
    async fn check(&self, user: &str, password: String, basic: bool) -> Result<String, ApiError> {
        let permit = self.checks.clone().acquire_owned().await.expect("the semaphore is never closed");
        // Looked at only now: those who waited beside this request may have used up the attempts.
        if let Some(wait) = lock(&self.throttle).wait(R::now(), user) {
            return Err(ApiError::TooManyFailures { wait });
        }
        let hash = self.hash_of(user);
        let fits = R::blocking(move || {
            let _until_done = permit;
            password::fits(&password, hash.as_deref()).then_some(hash).flatten()
        });
        let fits = fits.await;
        let mut throttle = lock(&self.throttle);
        match fits {
            Some(hash) => {
                throttle.succeeded(user);
                Ok(hash)
            }
            None => {
                throttle.failed(R::now(), user);
                tracing::warn!(user = %user.escape_debug(), "a login failed");
                Err(ApiError::WrongPassword { basic })
            }
        }
    }

    /// The user of the first cookie that names a living session. A session ends when the password changes.
    fn session_user(&self, headers: &HeaderMap) -> Option<String> {
        session_ids(headers).find_map(|id| self.user_of(id))
    }

    fn user_of(&self, id: SessionId) -> Option<String> {
        let digest = id.digest();
        let record = self.handle.read(|state| state.nib.session(&digest).cloned())?;
        if self.hash_of(&record.user)? != record.password_hash {
            return None;
        }
        let (now, wall) = (R::now(), R::unix());
        let mut sessions = lock(&self.sessions);
        match sessions.used(now, id) {
            Some(false) => {}
            Some(true) => {
                let (handle, used) = (self.handle.clone(), SessionCommand::Use { digest, now: wall });
                // That it was not told is no harm: it may be told again.
                R::spawn("session", async move { _ = handle.submit(Command::Session(used)).await });
            }
            // It was used on another controller, or before this one started.
            None if Duration::from_secs(wall.saturating_sub(record.used)) < sessions::IDLE_MAX => {
                sessions.open(now, id)
            }
            None => return None,
        }
        Some(record.user)
    }

    async fn sender(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(user) = self.session_user(headers) {
            return Ok(user);
        }
        let (user, password) = basic::credentials(headers).ok_or(ApiError::NoSession)?;
        self.check(&user, password, true).await?;
        Ok(user)
    }
}

/// The session ids in a request's cookies: one client sends back attributes and all.
fn session_ids(headers: &HeaderMap) -> impl Iterator<Item = SessionId> + '_ {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    cookies.flat_map(|cookie| cookie.split(COOKIE).skip(1)).filter_map(SessionId::at_start)
}

/// Lets a request pass if its sender is known, and says who it is.
pub(super) async fn require<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let user = api.auth.sender(request.headers()).await?;
    let role = api.auth.role_of(&user).ok_or(ApiError::NoSession)?;
    if let Role::Tenant { .. } = role {
        let taken = lock(&api.auth.rates).take(api.config.tenant_rate, R::now(), &user, request.method().is_safe());
        let wait = taken.unwrap_or(WAIT_MAX);
        // A timer takes its time even for nothing.
        if !wait.is_zero() {
            R::sleep_until(R::now() + wait).await;
        }
        taken.map_err(|wait| ApiError::TooManyRequests { wait })?;
    }
    let id = request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.0.clone());
    request.extensions_mut().insert(Authenticated { user, role, request: id });
    Ok(next.run(request).await)
}

/// Refuses what a page of another site had a browser send: a browser adds the session by itself, wherever the page is
/// from, and says where it is from. Other clients say nothing.
pub(super) async fn same_site(request: Request, next: Next) -> Result<Response, ApiError> {
    match is_foreign(&request) && !request.method().is_safe() {
        true => Err(ApiError::Forbidden("it was sent by a page of another site".into())),
        false => Ok(next.run(request).await),
    }
}

/// Whether a page of another site had it sent (RFC 6454: the origin is scheme and authority).
fn is_foreign(request: &Request) -> bool {
    let said = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let host = said(header::HOST).or(request.uri().authority().map(|authority| authority.as_str()));
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    said(header::ORIGIN).is_some_and(|origin| !is_own(origin))
}

/// Lets those pass who may see the network as it is built.
pub(super) async fn staff(
    Extension(sender): Extension<Authenticated>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match sender.is_staff() {
        true => Ok(next.run(request).await),
        false => Err(ApiError::Forbidden("it is for operators and administrators".into())),
    }
}

/// Lets administrators pass.
pub(super) async fn administrators(
    Extension(sender): Extension<Authenticated>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match sender.role {
        Role::Admin => Ok(next.run(request).await),
        Role::Operator | Role::Tenant { .. } => Err(ApiError::Forbidden("it is for administrators".into())),
    }
}

/// `POST /ws.v1/login`: a form with `username` and `password`.
pub(super) async fn login<R: Runtime>(State(api): State<Arc<Api<R>>>, request: Request) -> Result<Response, ApiError> {
    let (user, password) = form(request).await?;
    let password_hash = api.auth.check(&user, password, false).await?;
    let id = SessionId::draw::<R>();
    let record = SessionRecord { user, password_hash, used: R::unix() };
    let open = SessionCommand::Open { digest: id.digest(), record };
    api.handle.submit(Command::Session(open)).await?;
    lock(&api.auth.sessions).open(R::now(), id);
    let cookie = format!("{COOKIE}{id}; Path=/; secure");
    let cookie = HeaderValue::from_str(&cookie).expect("hex digits are lawful in a header");
    Ok(([(header::SET_COOKIE, cookie)], "Successful Authentication.\n").into_response())
}

/// `GET /ws.v1/logout`: ends the session.
pub(super) async fn logout<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ids: Vec<SessionId> = session_ids(&headers).collect();
    for id in ids {
        lock(&api.auth.sessions).close(id);
        let digest = id.digest();
        if api.handle.read(|state| state.nib.session(&digest).is_some()) {
            api.handle.submit(Command::Session(SessionCommand::Close { digest })).await?;
        }
    }
    Ok("Logged out.\n".into_response())
}

/// User and password of a login form, whatever its `Content-Type` says.
async fn form(request: Request) -> Result<(String, String), ApiError> {
    let bytes = json::bytes(request.into_body(), FORM_MAX).await?;
    let typed = Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let typed = typed.body(bytes.into()).expect("a lawful request");
    let unread = |error| ApiError::Invalid(format!("the login form cannot be read: {error}"));
    let Form(fields) = Form::<Vec<(String, String)>>::from_request(typed, &()).await.map_err(unread)?;
    let field = |name: &str| {
        let found = fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| ApiError::Invalid(format!("the login form lacks {name}")))
    };
    Ok((field("username")?, field("password")?))
}
