//! A session with a controller's API. Start at [`Client::connect`].

use super::Access;
use crate::daemon::config::default_data_dir;
use crate::tls;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Longer than a controller waits for anything it is asked to wait for.
const PATIENCE: Duration = Duration::from_secs(75);

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// A file is missing or unreadable.
    #[error("{}: {why}{hint}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The controller does not answer.
    #[error("https://{api} does not answer: {why}; is the controller running there, and is --api right?")]
    Unreachable {
        /// Where it should be.
        api: String,
        /// Why.
        why: String,
    },
    /// The controller refused.
    #[error("{what}: {status}: {why}")]
    Refused {
        /// The request.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        why: String,
    },
    /// Nothing has that name or uuid.
    #[error("there is no {what} '{name}'")]
    Absent {
        /// The kind of object.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// Several have that name.
    #[error("more than one {what} is called '{name}'; name one by its uuid: {}", uuids.join(", "))]
    Ambiguous {
        /// The kind of object.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Those that have it.
        uuids: Vec<String>,
    },
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// A session with a controller's API.
pub(super) struct Client {
    agent: Agent,
    api: String,
    ca: String,
}

/// The text of a file; `hint` says what else the user could name.
pub(super) fn read(path: &Path, hint: &'static str) -> Result<String, ClientError> {
    std::fs::read_to_string(path).map_err(|why| ClientError::File { path: path.to_path_buf(), why, hint })
}

impl Client {
    /// Logs in.
    ///
    /// # Errors
    /// If a file is missing, the controller does not answer, or refuses.
    pub fn connect(access: &Access) -> Result<Client, ClientError> {
        let directory = access.data_dir.clone().or_else(default_data_dir).unwrap_or_default();
        let ca_path = access.ca.clone().unwrap_or_else(|| directory.join("ca.pem"));
        let ca = read(&ca_path, " (give --data-dir of a controller on this machine, or --ca)")?;
        let password_path = access.password_file.clone().unwrap_or_else(|| directory.join("admin-password"));
        let password = read(&password_path, " (give --data-dir of a controller on this machine, or --password-file)")?;
        let root = Certificate::from_pem(ca.as_bytes())
            .map_err(|error| ClientError::Other(format!("{}: {error}", ca_path.display())))?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .unversioned_rustls_crypto_provider(tls::provider());
        let config = Agent::config_builder().tls_config(tls.build()).http_status_as_error(false).proxy(None);
        let agent = config.timeout_global(Some(PATIENCE)).build().new_agent();
        let client = Client { agent, api: access.api.clone(), ca };
        let form = format!("username={}&password={}", form_encode(&access.user), form_encode(password.trim_end()));
        let request = Request::builder()
            .method(Method::POST)
            .uri(client.url("/ws.v1/login"))
            .header("Content-Type", "application/x-www-form-urlencoded");
        client.exchange(request.body(form), "login")?;
        Ok(client)
    }

    /// The certificate authority that the controller is trusted by, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Reads something.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        let request = Request::builder().method(Method::GET).uri(self.url(path));
        self.exchange(request.body(String::new()), &format!("GET {path}"))
    }

    /// Reads a text, of whatever length.
    pub fn download(&self, path: &str) -> Result<String, ClientError> {
        let unreachable =
            |error: ureq::Error| ClientError::Unreachable { api: self.api.clone(), why: error.to_string() };
        let mut answer = self.agent.get(self.url(path)).call().map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(u64::MAX).read_to_string().map_err(unreachable)?;
        match status {
            200 => Ok(text),
            _ => Err(ClientError::Refused { what: format!("GET {path}"), status, why: text }),
        }
    }

    /// Makes something.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = Request::builder().method(Method::POST).uri(self.url(path));
        self.exchange(
            request.header("Content-Type", "application/json").body(body.to_string()),
            &format!("POST {path}"),
        )
    }

    /// Changes something.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = Request::builder().method(Method::PUT).uri(self.url(path));
        self.exchange(request.header("Content-Type", "application/json").body(body.to_string()), &format!("PUT {path}"))
    }

    /// Removes something.
    pub fn delete(&self, path: &str) -> Result<(), ClientError> {
        let request = Request::builder().method(Method::DELETE).uri(self.url(path));
        self.exchange(request.body(String::new()), &format!("DELETE {path}")).map(drop)
    }

    /// Everything of a list, page by page.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, ClientError> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{joint}_page_length=1000{cursor}"))?;
            if let Some(results) = page.get_mut("results").and_then(Value::as_array_mut) {
                all.append(results);
            }
            match page.get("page_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&_page_cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.api)
    }

    fn exchange(&self, request: ureq::http::Result<Request<String>>, what: &str) -> Result<Value, ClientError> {
        let unreachable = |why: String| ClientError::Unreachable { api: self.api.clone(), why };
        let request = request.map_err(|error| ClientError::Other(format!("--api {}: {error}", self.api)))?;
        let mut answer = self.agent.run(request).map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().map_err(|error| unreachable(error.to_string()))?;
        let json = serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body));
        match status {
            200..300 => Ok(json),
            _ => {
                let why = json.get("error").and_then(Value::as_str).map_or_else(|| json.to_string(), str::to_string);
                Err(ClientError::Refused { what: what.to_string(), status, why })
            }
        }
    }
}

/// As forms are encoded: all but letters, digits and `-._` as `%XX`.
pub(super) fn form_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
