//! `GET /ws.v1/realisation`: waits until the transport nodes hold what was configured, and names those that do not.
//!
//! Start at [`show`].

use super::error::ApiError;
use super::query::pairs;
use super::schema::{LateNode, Realisation};
use super::{Api, json};
use crate::controller::{Late, Waited};
use crate::runtime::Runtime;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use selvedge_core::ids::Revision;
use std::sync::Arc;
use std::time::Duration;

/// Wait if the query does not say, in milliseconds.
const TIMEOUT_DEFAULT_MS: u64 = 5_000;
/// Longest wait, in milliseconds.
const TIMEOUT_MAX_MS: u64 = 60_000;

/// What is asked: whether the nodes hold every revision after `since`, up to `revision`.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    revision: Option<Revision>,
    since: Revision,
    timeout: Duration,
}

impl Question {
    fn parse(pairs: &[(String, String)]) -> Result<Question, ApiError> {
        let mut question =
            Question { revision: None, since: Revision(0), timeout: Duration::from_millis(TIMEOUT_DEFAULT_MS) };
        for (name, value) in pairs {
            let number = || value.parse::<u64>().map_err(|_| ApiError::Invalid(format!("{name}: it must be a number")));
            match name.as_str() {
                "revision" => question.revision = Some(Revision(number()?)),
                "since" => question.since = Revision(number()?),
                "timeout_ms" => question.timeout = Duration::from_millis(number()?.min(TIMEOUT_MAX_MS)),
                _ => {}
            }
        }
        Ok(question)
    }
}

/// Waits, and answers 200 whether it held in time or not. A revision that is not there yet is waited for as well.
pub(super) async fn show<R: Runtime>(State(api): State<Arc<Api<R>>>, uri: Uri) -> Result<Response, ApiError> {
    let question = Question::parse(&pairs(&uri)?)?;
    let deadline = R::now() + question.timeout;
    let revision = question.revision.unwrap_or_else(|| api.handle.read(|state| state.nib.revision()));
    let waited = match api.handle.wait_revision::<R>(revision, deadline).await {
        true => api.handle.wait_realised::<R>(question.since, revision, deadline).await,
        false => Waited::Late(Vec::new()),
    };
    let (realised, late) = match waited {
        Waited::Done => (true, Vec::new()),
        Waited::Late(late) => (false, late.into_iter().map(late_node).collect()),
    };
    Ok(json::response(StatusCode::OK, &Realisation { revision: revision.0, realised, late }))
}

fn late_node(late: Late) -> LateNode {
    LateNode {
        transport_node_uuid: late.node.to_string(),
        display_name: late.name,
        realised_revision: late.realised.map(|revision| revision.0),
        reason: late.why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_have_defaults_and_limits() {
        let read = |text: &str| Question::parse(&pairs(&text.parse().expect("a path")).expect("a query"));
        let seconds = Duration::from_secs;
        let default = Question { revision: None, since: Revision(0), timeout: seconds(5) };
        assert_eq!(read("/ws.v1/realisation"), Ok(default));
        let asked = Question { revision: Some(Revision(7)), since: Revision(3), timeout: seconds(60) };
        assert_eq!(read("/ws.v1/realisation?revision=7&since=3&timeout_ms=99999999"), Ok(asked));
        let error = read("/ws.v1/realisation?since=x").expect_err("refused").to_string();
        assert_eq!(error, "since: it must be a number");
    }
}
