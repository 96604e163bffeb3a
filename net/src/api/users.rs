//! Who may do what, `/ws.v1/user`, and who did, `/ws.v1/audit`. Start at [`routes`] and [`audit_routes`].

use super::auth::hash_password;
use super::error::ApiError;
use super::kinds::row;
use super::listing::Page;
use super::query::pairs;
use super::schema::{AuditEntry, UserConfig};
use super::{Api, Authenticated, json, status};
use crate::runtime::Runtime;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use selvedge_core::nib::{
    AuditRecord, Command, NAME_LENGTH_MAX, Role, SCOPE_LENGTH_MAX, TENANT_TAGS_MAX, Tag, USER_LENGTH_MAX, User,
    UserCommand,
};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Shortest and longest password, in bytes. Argon2 takes as long for any.
const PASSWORD_LENGTHS: std::ops::RangeInclusive<usize> = 8..=1_024;
/// Entries of the audit log on a page if the query does not say, and at most.
const AUDIT_PAGE: (usize, usize) = (100, 1_000);

/// For administrators.
pub(super) fn routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new()
        .route("/ws.v1/user", get(list::<R>))
        .route("/ws.v1/user/{name}", get(show::<R>).put(put::<R>).delete(remove::<R>))
}

/// For those who may see everything.
pub(super) fn audit_routes<R: Runtime>() -> Router<Arc<Api<R>>> {
    Router::new().route("/ws.v1/audit", get(audit::<R>))
}

fn shown(name: &str, user: &User) -> UserConfig {
    let (role, tags) = match &user.role {
        Role::Admin => ("admin", Vec::new()),
        Role::Operator => ("operator", Vec::new()),
        Role::Tenant { tags } => ("tenant", tags.clone()),
    };
    UserConfig { name: name.to_string(), role: role.to_string(), tags }
}

async fn list<R: Runtime>(State(api): State<Arc<Api<R>>>) -> Response {
    let users = api.handle.read(|state| state.nib.users().map(|(name, user)| shown(name, user)).collect::<Vec<_>>());
    let results: Vec<_> = users.iter().map(|user| json::object(user).into()).collect();
    json::response(StatusCode::OK, &Page { result_count: Some(results.len()), results, page_cursor: None })
}

fn find<R: Runtime>(api: &Api<R>, name: &str) -> Result<UserConfig, ApiError> {
    let found = api.handle.read(|state| state.nib.user(name).map(|user| shown(name, user)));
    found.ok_or_else(|| ApiError::NotFound(format!("user {}", name.chars().take(USER_LENGTH_MAX).collect::<String>())))
}

async fn show<R: Runtime>(State(api): State<Arc<Api<R>>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    Ok(json::response(StatusCode::OK, &find(&api, &name)?))
}

/// A user as they are to be; what is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// As in the path; it cannot be changed.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Wish {
    fn role(&mut self) -> Result<Option<Role>, ApiError> {
        let tags = std::mem::take(&mut self.tags);
        let too_long = tags.iter().any(|tag| {
            tag.tag.chars().count() > NAME_LENGTH_MAX
                || tag.scope.chars().count() > SCOPE_LENGTH_MAX
                || tag.tag.is_empty()
        });
        let wrong = |why: String| Err(ApiError::Invalid(why));
        match (self.role.as_deref(), tags.len()) {
            (Some("tenant"), 1..=TENANT_TAGS_MAX) if !too_long => Ok(Some(Role::Tenant { tags })),
            (Some("tenant"), _) => wrong(format!(
                "tags: a tenant has 1 to {TENANT_TAGS_MAX}, each as short as those of objects, and not empty"
            )),
            (_, 1..) => wrong("tags: only a tenant has some".into()),
            (Some("admin"), 0) => Ok(Some(Role::Admin)),
            (Some("operator"), 0) => Ok(Some(Role::Operator)),
            (None, 0) => Ok(None),
            (Some(_), 0) => wrong("role: it must be admin, operator or tenant".into()),
        }
    }

    fn check(&self, name: &str) -> Result<(), ApiError> {
        if name.is_empty() || name.len() > USER_LENGTH_MAX || name.chars().any(|c| c.is_control() || c == ':') {
            let why = format!("name: it must be 1 to {USER_LENGTH_MAX} bytes, without controls and colons");
            return Err(ApiError::Invalid(why));
        }
        if self.name.as_deref().is_some_and(|said| said != name) {
            return Err(ApiError::Invalid("name: it is not that of the path".into()));
        }
        match self.password.as_ref().is_some_and(|password| !PASSWORD_LENGTHS.contains(&password.len())) {
            true => {
                let (least, most) = PASSWORD_LENGTHS.into_inner();
                Err(ApiError::Invalid(format!("password: it must be {least} to {most} bytes long")))
            }
            false => Ok(()),
        }
    }
}

/// Adds a user (201) or changes one (200). With a new password, sessions that were opened with the old one end.
async fn put<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let mut wish: Wish = json::decode(json::body(body).await?)?;
    wish.check(&name)?;
    let role = wish.role()?;
    let is_new = find(&api, &name).is_err();
    if is_new && (wish.password.is_none() || role.is_none()) {
        return Err(ApiError::Invalid("a new user needs a password and a role".into()));
    }
    let password_hash = match wish.password {
        Some(password) => Some(R::blocking(move || hash_password::<R>(&password)).await),
        None => None,
    };
    let command = UserCommand::Put { name: name.clone(), password_hash, role };
    api.submit(&sender, Command::User(command)).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json::response(status, &find(&api, &name)?))
}

async fn remove<R: Runtime>(
    State(api): State<Arc<Api<R>>>,
    Extension(sender): Extension<Authenticated>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    find(&api, &name)?;
    api.submit(&sender, Command::User(UserCommand::Remove { name })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn entry(record: &AuditRecord) -> AuditEntry {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(record.author.at));
    AuditEntry {
        revision: record.revision.0,
        at: status::timestamp(at.unwrap_or(SystemTime::UNIX_EPOCH)),
        user: record.author.user.clone(),
        request: record.author.request.clone(),
        action: record.action.clone(),
        kind: record.kind.map(|kind| row(kind).word()),
        uuid: record.uuid.map(|uuid| uuid.to_string()),
        name: record.name.clone(),
        refused: record.refused.clone(),
    }
}

/// What users did, oldest first: after `since`, at most `_page_length`. The revision of the last is where to go on.
async fn audit<R: Runtime>(State(api): State<Arc<Api<R>>>, uri: Uri) -> Result<Response, ApiError> {
    let (mut since, (mut length, most)) = (0, AUDIT_PAGE);
    for (name, value) in pairs(&uri)? {
        let number = || value.parse::<u64>().map_err(|_| ApiError::Invalid(format!("{name}: it must be a number")));
        match name.as_str() {
            "since" => since = number()?,
            "_page_length" => length = usize::try_from(number()?).map_or(most, |length| length.min(most)),
            _ => {}
        }
    }
    let results = api.handle.read(|state| {
        let audit = state.nib.audit();
        let from = audit.partition_point(|record| record.revision.0 <= since);
        audit.range(from..).take(length).map(|record| json::object(&entry(record)).into()).collect()
    });
    Ok(json::response(StatusCode::OK, &Page { results, result_count: None, page_cursor: None }))
}
