//! What the contract is held against: the API as a service in this process, or a daemon as it ships, over TLS.
//! Start at [`Server::in_process`] and [`Server::daemon`].

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use selvedge_core::nib::Command as NibCommand;
use selvedge_net::api::auth::hash_password;
use selvedge_net::api::{ApiConfig, router};
use selvedge_net::cluster::MemberConfig;
use selvedge_net::cluster::member::SNAPSHOT_EVERY;
use selvedge_net::controller::{self, Started};
use selvedge_net::runtime::{HostDisk, Runtime, Tokio};
use selvedge_net::store::Store;
use selvedge_net::tls;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tower::ServiceExt;
use ureq::Agent;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// An API with nothing in it, and an administrator who is logged in.
pub struct Server {
    way: Way,
    /// The administrator's password.
    pub password: String,
    /// `Cookie`, as one client sends it: the whole of `Set-Cookie`, attributes and all.
    pub cookie: String,
    _directory: TempDir,
}

/// How it is reached.
enum Way {
    Service(Router),
    Socket { config: Box<Config>, api: String, daemon: Child },
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Way::Socket { daemon, .. } = self {
            daemon.kill().and_then(|()| daemon.wait()).expect("it was running");
        }
    }
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.text))
    }
}

impl Server {
    /// The API as a service in this process.
    pub async fn in_process() -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&HostDisk(directory.path().to_path_buf())).expect("an empty store");
        let config = MemberConfig::alone(uuid::Uuid::from_u128(1), SNAPSHOT_EVERY);
        let Started { handle, member, core, .. } = controller::start::<Tokio>(store, &config).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        let password = "correct horse".to_string();
        let password_hash = hash_password::<Tokio>(&password);
        handle.submit(NibCommand::SetUser { name: "admin".into(), password_hash }).await.expect("a user");
        let router = router::<Tokio>(handle, member, ApiConfig::default()).expect("a router");
        Server::logged_in(Way::Service(router), password, directory).await
    }

    /// A daemon on an empty directory.
    pub async fn daemon() -> Server {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
        command.arg("--data-dir").arg(directory.path());
        for listener in ["--api", "--ovsdb", "--openflow"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        let mut daemon = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let said = BufReader::new(daemon.stdout.take().expect("it is piped"));
        let api = said.lines().find_map(|line| {
            let line = line.expect("text");
            let (_, rest) = line.split_once("https://")?;
            rest.split_once("/ws.v1").map(|(api, _)| api.to_string())
        });
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it is there");
        let root = Certificate::from_pem(read("ca.pem").as_bytes()).expect("a certificate");
        let trust = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .unversioned_rustls_crypto_provider(tls::provider());
        let config = Agent::config_builder().tls_config(trust.build()).http_status_as_error(false).proxy(None);
        let config = Box::new(config.build());
        let password = read("admin-password").trim_end().to_string();
        let way = Way::Socket { config, api: api.expect("it says where its API is"), daemon };
        Server::logged_in(way, password, directory).await
    }

    async fn logged_in(way: Way, password: String, directory: TempDir) -> Server {
        let mut server = Server { way, password, cookie: String::new(), _directory: directory };
        let form = format!("username=admin&password={}", server.password);
        let answer = server.send_with(Method::POST, "/ws.v1/login", &form, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        server.cookie = answer.headers["set-cookie"].to_str().expect("text").to_string();
        server
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Answer {
        self.send_with(method, path, body, &[("cookie", &self.cookie)]).await
    }

    pub async fn send_with(&self, method: Method, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        match &self.way {
            Way::Service(router) => {
                let request =
                    headers.iter().fold(Request::builder().method(method).uri(path), |request, (name, value)| {
                        request.header(*name, *value)
                    });
                let request = request.body(Body::from(body.to_string())).expect("a request");
                let response = router.clone().oneshot(request).await.expect("an answer");
                let (parts, body) = response.into_parts();
                let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
                let text = String::from_utf8(bytes.to_vec()).expect("text");
                Answer { status: parts.status, headers: parts.headers, text }
            }
            Way::Socket { config, api, .. } => {
                // A new agent for each request: it has no cookies but those that are said.
                let agent = config.new_agent();
                let request = Request::builder().method(method).uri(format!("https://{api}{path}"));
                let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                let answer = agent.run(request.body(body.to_string()).expect("a request")).expect("an answer");
                let (parts, mut body) = answer.into_parts();
                let text = body.with_config().limit(u64::MAX).read_to_string().expect("text");
                Answer { status: parts.status, headers: parts.headers, text }
            }
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", answer.text);
        answer.json()
    }

    pub async fn create(&self, path: &str, body: Value) -> String {
        let answer = self.send(Method::POST, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "POST {path}: {}", answer.text);
        answer.json()["uuid"].as_str().expect("a uuid").to_string()
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        let answer = self.send(Method::PUT, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "PUT {path}: {}", answer.text);
        answer.json()
    }

    pub async fn status(&self, method: Method, path: &str, body: &str) -> u16 {
        self.send(method, path, body).await.status.as_u16()
    }
}

/// The names of what a list shows.
pub fn uuids(list: &Value) -> Vec<String> {
    let results = list["results"].as_array().expect("results");
    results.iter().map(|object| object["uuid"].as_str().expect("a uuid").to_string()).collect()
}
