//! A client of the API: real HTTP over the world's streams, one request at a time, with a session.
//!
//! It tells apart what a careful client must: an answer, a request that was never sent, and one of which nobody knows
//! whether it was carried out. Start at [`run`].

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use selvedge_net::runtime::{Moment, Runtime};
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// The user that simulated clients are.
pub const USER: &str = "admin";
/// Their password.
pub const PASSWORD: &str = "simulated";
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something to ask.
#[derive(Clone, Debug)]
pub struct Call {
    /// Comes back with the answer.
    pub id: u64,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body: bytes, since not all that is sent is JSON.
    pub body: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It was answered.
    Answered {
        /// The status.
        status: u16,
        /// `X-Nvp-Config-Generation`.
        generation: u64,
        /// The body, if it is JSON.
        body: Value,
    },
    /// It was never sent, for this reason.
    NotSent(String),
    /// It was sent, and nobody knows what became of it.
    Unknown(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Answered { status, generation, body } => write!(f, "{status} at generation {generation}: {body}"),
            Ended::NotSent(why) => write!(f, "not sent: {why}"),
            Ended::Unknown(why) => write!(f, "sent, and then: {why}"),
        }
    }
}

/// A call that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which.
    pub id: u64,
    /// When.
    pub at: Moment,
    /// How.
    pub ended: Ended,
}

/// Where answers go.
pub type Answers = Arc<Mutex<Vec<Answer>>>;

/// A client that carries out calls until there are no more.
pub async fn run<R: Runtime>(api: SocketAddr, mut calls: mpsc::UnboundedReceiver<Call>, answers: Answers) {
    let mut client = Client::<R> { api, connection: None, cookie: None, runtime: std::marker::PhantomData };
    while let Some(call) = calls.recv().await {
        let id = call.id;
        let ended = client.carry_out(call).await;
        answers.lock().expect("no holder panics").push(Answer { id, at: R::now(), ended });
    }
}

struct Client<R> {
    api: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
    cookie: Option<String>,
    runtime: std::marker::PhantomData<fn() -> R>,
}

impl<R: Runtime> Client<R> {
    async fn carry_out(&mut self, call: Call) -> Ended {
        // Once more after a session that ended, as clients do: a request that is answered 401 has done nothing.
        for _ in 0..2 {
            if let Err(why) = self.ready().await {
                return Ended::NotSent(why);
            }
            match self.once(&call).await {
                Ended::Answered { status: 401, .. } => self.cookie = None,
                ended => return ended,
            }
        }
        Ended::NotSent("the session ended again and again".to_string())
    }

    /// Connected and logged in.
    async fn ready(&mut self) -> Result<(), String> {
        if self.connection.as_ref().is_none_or(|connection| connection.is_closed()) {
            self.connection = None;
            let deadline = R::now() + PATIENCE;
            let connected = R::before(deadline, R::connect(self.api)).await.ok_or("connecting took too long")?;
            let stream = connected.map_err(|error| format!("cannot connect: {error}"))?;
            let shaken = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            let (sender, connection) = shaken;
            R::spawn("api client connection", async move {
                // The request that is under way learns of it.
                let _ = connection.await;
            });
            self.connection = Some(sender);
        }
        if self.cookie.is_none() {
            self.cookie = Some(self.login().await?);
        }
        Ok(())
    }

    async fn login(&mut self) -> Result<String, String> {
        let form = format!("username={USER}&password={PASSWORD}");
        let request = Request::post("/ws.v1/login").header(header::HOST, "controller").body(Full::from(form));
        let (parts, _) = self.send(request.map_err(|error| error.to_string())?).await?;
        match parts.status {
            StatusCode::OK => {}
            status => return Err(format!("login was answered {status}")),
        }
        let cookie = parts.headers.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next());
        cookie.map(str::to_string).ok_or_else(|| "login gave no cookie".to_string())
    }

    async fn once(&mut self, call: &Call) -> Ended {
        let cookie = self.cookie.clone().unwrap_or_default();
        let request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(header::HOST, "controller")
            .header(header::COOKIE, cookie)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(call.body.clone()));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Ended::NotSent(error.to_string()),
        };
        match self.send(request).await {
            Ok((parts, body)) => {
                let generation = parts.headers.get("x-nvp-config-generation").and_then(|value| value.to_str().ok());
                Ended::Answered {
                    status: parts.status.as_u16(),
                    generation: generation.and_then(|text| text.parse().ok()).unwrap_or(0),
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                }
            }
            Err(why) => Ended::Unknown(why),
        }
    }

    /// Sends a request and takes the whole answer; after a failure the connection is given up.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(hyper::http::response::Parts, Bytes), String> {
        let mut connection = self.connection.take().ok_or("there is no connection")?;
        let exchange = async {
            let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>((parts, body.to_bytes()))
        };
        let answered = R::before(R::now() + PATIENCE, exchange).await.ok_or("no answer in time")?;
        self.connection = Some(connection);
        answered.inspect_err(|_| self.connection = None)
    }
}
