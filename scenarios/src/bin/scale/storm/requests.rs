//! `cargo scale --api`: how many requests a controller answers that holds a topology, over TLS, with connections that are
//! kept, and how long each takes. Its clients are as lean as they can be, since they share the machine: each sends bytes
//! that are ready, and reads the answer's length. Start at [`measure`].

use super::super::topology::Topology;
use super::Times;
use super::cloud::Cloud;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use selvedge_scenarios::Outcome;
use selvedge_scenarios::controllers::Controllers;
use serde::Serialize;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// So long each kind of request is sent.
const EACH: Duration = Duration::from_secs(10);
/// Clients that list; more would only wait for each other.
const LISTERS: usize = 16;
/// Connections that are opened at once.
const OPENING: usize = 25;
/// Longest head of an answer.
const HEAD_MAX: usize = 16 * 1024;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    topology: String,
    ports: usize,
    clients: usize,
    requests: Vec<Answered>,
}

/// How requests of one kind were answered.
#[derive(Debug, Serialize)]
struct Answered {
    what: &'static str,
    clients: usize,
    per_second: f64,
    times: Times,
}

/// A kind of request.
struct Kind {
    what: &'static str,
    clients: usize,
    status: &'static str,
    /// The n-th request that is sent.
    request: Box<dyn Fn(usize) -> String + Send + Sync>,
}

/// Measures a topology.
///
/// # Errors
/// If something is refused, or answered otherwise than it should be.
pub fn measure(topology: &Topology, clients: usize, json: bool) -> Outcome<()> {
    let controllers = Controllers::start(1)?;
    eprintln!("configuring everything over REST");
    let cloud = Cloud::fill(&controllers, topology)?;
    let paths = Arc::new(cloud.paths(topology));
    let lists: Arc<Vec<String>> = Arc::new(paths.iter().map(|path| parent(path)).collect());
    let one = {
        let paths = paths.clone();
        move |n: usize| format!("GET {} HTTP/1.1\r\n", paths[n.wrapping_mul(7919) % paths.len()])
    };
    let port = move |n: usize| format!("POST {} HTTP/1.1\r\n", lists[n.wrapping_mul(7919) % lists.len()]);
    let list = |_: usize| "GET /ws.v1/lswitch/*/lport?fields=*&_page_length=1000 HTTP/1.1\r\n".to_string();
    let kinds = [
        Kind { what: "GET one port", clients, status: "200", request: Box::new(one) },
        Kind {
            what: "GET a list of 1,000 ports, all fields",
            clients: LISTERS,
            status: "200",
            request: Box::new(list),
        },
        Kind { what: "POST a port, durable", clients, status: "201", request: Box::new(port) },
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut requests = Vec::new();
    for kind in kinds {
        eprintln!("{}, {} clients", kind.what, kind.clients);
        requests.push(runtime.block_on(load(&controllers, Arc::new(kind)))?);
    }
    let report = Report { topology: topology.name.clone(), ports: topology.ports.len(), clients, requests };
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => report.print(),
    }
    Ok(())
}

/// The list that an object is in.
fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(path, |(list, _)| list).to_string()
}

/// Sends requests of one kind for a while.
async fn load(controllers: &Controllers, kind: Arc<Kind>) -> Outcome<Answered> {
    let (mut connections, authority) = (Vec::new(), controllers.authority()?);
    while connections.len() < kind.clients {
        let opening = (connections.len()..kind.clients)
            .take(OPENING)
            .map(|_| tokio::spawn(open(controllers.address(1), authority.clone())));
        for opened in opening.collect::<Vec<_>>() {
            connections.push(opened.await??);
        }
    }
    let cookie = Arc::new(log_in(open(controllers.address(1), authority).await?, &controllers.password()?).await?);
    let began = Instant::now();
    let clients = connections
        .into_iter()
        .enumerate()
        .map(|(client, connection)| tokio::spawn(send(connection, kind.clone(), cookie.clone(), client, began + EACH)));
    let mut took = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        took.extend(client.await??);
    }
    let per_second = took.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Answered { what: kind.what, clients: kind.clients, per_second, times: Times::of(took) })
}

/// A connection with a controller.
async fn open(address: String, authority: Vec<u8>) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authority) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(&address).await?;
    tcp.set_nodelay(true)?;
    let name = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_string();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// The cookie of a new session.
async fn log_in(mut connection: TlsStream<TcpStream>, password: &str) -> io::Result<String> {
    let form = format!("username=admin&password={password}");
    let head = format!("POST /ws.v1/login HTTP/1.1\r\nHost: controller\r\nContent-Length: {}\r\n\r\n", form.len());
    connection.write_all((head + &form).as_bytes()).await?;
    let mut buffer = Vec::new();
    answer(&mut connection, &mut buffer).await?;
    let text = String::from_utf8_lossy(&buffer).into_owned();
    let cookie = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("set-cookie").then(|| value.trim().to_string())
    });
    cookie.ok_or_else(|| io::Error::other(format!("no session: {text}")))
}

/// Sends one request after the other until a moment; how long each took.
async fn send(
    mut connection: TlsStream<TcpStream>,
    kind: Arc<Kind>,
    cookie: Arc<String>,
    client: usize,
    until: Instant,
) -> io::Result<Vec<Duration>> {
    let (mut took, mut buffer) = (Vec::new(), Vec::new());
    let mut n = client;
    while Instant::now() < until {
        let mut request = (kind.request)(n);
        request.push_str(&format!("Host: controller\r\nCookie: {cookie}\r\nContent-Length: 0\r\n\r\n"));
        n += kind.clients;
        let began = Instant::now();
        connection.write_all(request.as_bytes()).await?;
        let status = answer(&mut connection, &mut buffer).await?;
        took.push(began.elapsed());
        if status != kind.status {
            return Err(io::Error::other(format!(
                "{} was answered {status}",
                request.lines().next().unwrap_or_default()
            )));
        }
    }
    Ok(took)
}

/// Reads an answer whole; its status.
async fn answer(connection: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> io::Result<String> {
    buffer.clear();
    let head = loop {
        if connection.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > HEAD_MAX {
            return Err(io::Error::other("an answer without an end of its head"));
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let whole = head + length.ok_or_else(|| io::Error::other("an answer without a length"))?;
    while buffer.len() < whole {
        if connection.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(text.split(' ').nth(1).unwrap_or_default().to_string())
}

impl Report {
    fn print(&self) {
        println!("{}: {} logical ports; a controller, and its clients beside it, over TLS", self.topology, self.ports);
        println!();
        println!("{:<40} {:>8} {:>9} {:>9} {:>9} {:>9}", "", "clients", "a second", "p50 ms", "p99 ms", "max ms");
        for Answered { what, clients, per_second, times } in &self.requests {
            let Times { p50_ms, p99_ms, max_ms, .. } = times;
            println!("{what:<40} {clients:>8} {per_second:>9.0} {p50_ms:>9.1} {p99_ms:>9.1} {max_ms:>9.1}");
        }
    }
}
