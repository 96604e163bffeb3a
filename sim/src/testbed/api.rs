//! A client of the northbound API, `/ws.v1`: logs in, speaks JSON, and says plainly what was refused.
//!
//! It trusts the certificate authority that the daemon made in its data directory. Start at [`Api::connect`].

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
pub use ureq::http::Method;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body};

use super::error::{Doing, Error, Result};

/// The first user.
const ADMIN: &str = "admin";

/// A session with one controller. It logs in again when the controller forgets it, as one that restarts does.
pub struct Api {
    agent: Agent,
    address: String,
    user: String,
    password: String,
}

/// What came back, whatever it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if there was none, text if it was no JSON.
    pub body: Value,
    /// `X-Nvp-Config-Generation`, if it was there.
    pub generation: Option<u64>,
}

impl Api {
    /// Logs in as the first administrator.
    ///
    /// `address` is host and port; `data_directory` the daemon's, with `ca.pem` and `admin-password`.
    ///
    /// # Errors
    /// If these cannot be read, or the login does not succeed.
    pub fn connect(address: &str, data_directory: &Path) -> Result<Self> {
        let secret = data_directory.join("admin-password");
        let password = fs::read_to_string(&secret).doing(|| format!("reading {}", secret.display()))?;
        Api::connect_as(address, data_directory, ADMIN, password.trim_end())
    }

    /// Logs in as somebody.
    ///
    /// # Errors
    /// If the certificate authority cannot be read, or the login does not succeed.
    pub fn connect_as(address: &str, data_directory: &Path, user: &str, password: &str) -> Result<Self> {
        let authority = data_directory.join("ca.pem");
        let pem = fs::read(&authority).doing(|| format!("reading {}", authority.display()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| Error::Api {
            request: format!("https://{address}"),
            problem: format!("{}: {error}", authority.display()),
        })?;
        let (address, user, password) = (address.to_owned(), user.to_owned(), password.to_owned());
        let api = Self { agent: agent(certificate), address, user, password };
        api.login()?;
        Ok(api)
    }

    /// Reads something.
    ///
    /// # Errors
    /// Any answer but 2xx, or none.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.succeed(Method::GET, path, None)
    }

    /// Makes something; what was made.
    ///
    /// # Errors
    /// Any answer but 2xx, or none.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.succeed(Method::POST, path, Some(body))
    }

    /// Makes something; its uuid.
    ///
    /// # Errors
    /// Any answer but 2xx, or none, or one without a uuid.
    pub fn create(&self, path: &str, body: &Value) -> Result<String> {
        let made = self.post(path, body)?;
        made.get("uuid").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| Error::Api {
            request: format!("POST {path}"),
            problem: format!("no uuid in the answer: {made}"),
        })
    }

    /// Changes something; what it is now.
    ///
    /// # Errors
    /// Any answer but 2xx, or none.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.succeed(Method::PUT, path, Some(body))
    }

    /// Removes something.
    ///
    /// # Errors
    /// Any answer but 2xx, or none.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.succeed(Method::DELETE, path, None).map(drop)
    }

    /// Any request, with any answer: for what shall be refused. Only a lost session is mended first.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.logged_in(|| self.send(&method, path, body))
    }

    /// Makes something by a request that may have been sent before, here or to another controller.
    ///
    /// # Errors
    /// If no answer comes.
    pub fn post_again(&self, path: &str, body: &Value, key: &str) -> Result<Answer> {
        let what = format!("POST {path}");
        let send = || {
            let request = Request::post(self.url(path)).header("Content-Type", "application/json");
            self.exchange(request.header("Idempotency-Key", key).body(body.to_string()), &what)
        };
        self.logged_in(send)
    }

    /// Sends a request, once more if the session was lost.
    fn logged_in(&self, send: impl Fn() -> Result<Answer>) -> Result<Answer> {
        let answer = send()?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.login()?;
        send()
    }

    fn succeed(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.request(method.clone(), path, body)?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let sent = body.map_or(String::new(), |body| format!(" (sent {body})"));
        let problem = format!("{} {}{sent}", answer.status, answer.body);
        Err(Error::Api { request: format!("{method} {path}"), problem })
    }

    fn login(&self) -> Result<()> {
        let path = "/ws.v1/login";
        let form = format!("username={}&password={}", percent_encode(&self.user), percent_encode(&self.password));
        let request = Request::post(self.url(path)).header("Content-Type", "application/x-www-form-urlencoded");
        let answer = self.exchange(request.body(form), &format!("POST {path}"))?;
        match answer.status {
            200 => Ok(()),
            status => Err(Error::Api { request: format!("POST {path}"), problem: format!("{status} {}", answer.body) }),
        }
    }

    fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let what = format!("{method} {path}");
        let request = Request::builder().method(method).uri(self.url(path));
        match body {
            None => self.exchange(request.body(()), &what),
            Some(json) => {
                let request = request.header("Content-Type", "application/json");
                self.exchange(request.body(json.to_string()), &what)
            }
        }
    }

    fn exchange<B: AsSendBody>(&self, request: ureq::http::Result<Request<B>>, what: &str) -> Result<Answer> {
        let failed = |problem: String| Error::Api { request: what.to_owned(), problem };
        let request = request.map_err(|error| failed(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| failed(error.to_string()))?;
        read(answer).map_err(|error| failed(error.to_string()))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

fn agent(authority: Certificate<'static>) -> Agent {
    // Longer than a controller waits for a generation that its request asked for.
    const PATIENCE: Duration = Duration::from_secs(30);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[authority]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

fn read(mut answer: Response<Body>) -> std::result::Result<Answer, ureq::Error> {
    let generation = answer.headers().get("X-Nvp-Config-Generation");
    let generation = generation.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string()?;
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(Answer { status, body, generation })
}

/// As forms are encoded: all but letters, digits and `-._` as `%XX`.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn passwords_survive_a_form() {
        assert_eq!(percent_encode("aZ9-._"), "aZ9-._");
        assert_eq!(percent_encode("a&b=c+d e%é"), "a%26b%3Dc%2Bd%20e%25%C3%A9");
    }
}
