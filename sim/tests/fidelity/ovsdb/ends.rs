//! The two ends that are asked the same: the real server, and the simulated one. Start at [`Real::ask`].

use crate::bed::Daemons;
use rand_chacha::ChaCha8Rng;
use selvedge_sim::switch::ovsdb::server::{Output, Server};
use serde_json::{Value as Json, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use uuid::Uuid;

/// How many clients there are.
pub const CONNECTIONS: usize = 3;
/// The id of requests that only ask whether all has been told.
const FENCE: &str = "fence";

/// A running ovsdb-server with clients.
pub struct Real<'a> {
    daemons: &'a Daemons,
    clients: Vec<Client>,
}

/// The real server ended a connection: it is dead.
#[derive(Debug)]
pub struct Dead;

struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    fn new(daemons: &Daemons) -> Client {
        let stream = daemons.to_database();
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        Client { stream, buffer: Vec::new() }
    }

    fn send(&mut self, message: &Json) -> Result<(), Dead> {
        self.stream.write_all(message.to_string().as_bytes()).map_err(|_| Dead)
    }

    fn receive(&mut self) -> Result<Json, Dead> {
        loop {
            let mut messages = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Json>();
            if let Some(Ok(message)) = messages.next() {
                let used = messages.byte_offset();
                self.buffer.drain(..used);
                return Ok(message);
            }
            let mut more = [0; 16 * 1024];
            match self.stream.read(&mut more) {
                Ok(count @ 1..) => self.buffer.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the server says nothing for 20 s"),
                Ok(0) | Err(_) => return Err(Dead),
            }
        }
    }

    /// What it is told up to the answer to a request, and without the answer if that is the fence's.
    fn until_answer(&mut self, id: &Json, heard: &mut Vec<Json>) -> Result<(), Dead> {
        loop {
            let message = self.receive()?;
            let is_answer = message.get("method").is_none() && message["id"] == *id;
            if !(is_answer && *id == json!(FENCE)) {
                heard.push(message);
            }
            if is_answer {
                return Ok(());
            }
        }
    }
}

impl<'a> Real<'a> {
    pub fn new(daemons: &'a Daemons) -> Real<'a> {
        Real { daemons, clients: (0..CONNECTIONS).map(|_| Client::new(daemons)).collect() }
    }

    /// Makes the row that ovs-ctl makes.
    pub fn insert_root(&mut self, uuid: Uuid) {
        let insert = json!({"op": "insert", "table": "Open_vSwitch", "uuid": uuid.to_string(), "row": {}});
        let request = json!({"id": 0, "method": "transact", "params": ["Open_vSwitch", insert]});
        let heard = self.ask(0, &request).expect("the server lives");
        assert_eq!(heard[0][0]["result"], json!([{"uuid": ["uuid", uuid.to_string()]}]));
    }

    /// One client asks; what each of them heard until all was told.
    pub fn ask(&mut self, conn: usize, message: &Json) -> Result<Vec<Vec<Json>>, Dead> {
        let mut heard = vec![Vec::new(); self.clients.len()];
        self.clients[conn].send(message)?;
        self.clients[conn].until_answer(&message["id"], &mut heard[conn])?;
        self.fence(heard)
    }

    /// One client leaves, and another comes in its place.
    pub fn reconnect(&mut self, conn: usize) -> Result<Vec<Vec<Json>>, Dead> {
        self.clients[conn] = Client::new(self.daemons);
        self.fence(vec![Vec::new(); self.clients.len()])
    }

    /// A server tells a client what it has for it before it reads the client's next request.
    fn fence(&mut self, mut heard: Vec<Vec<Json>>) -> Result<Vec<Vec<Json>>, Dead> {
        for (client, heard) in self.clients.iter_mut().zip(&mut heard) {
            client.send(&json!({"id": FENCE, "method": "echo", "params": []}))?;
            client.until_answer(&json!(FENCE), heard)?;
        }
        Ok(heard)
    }
}

/// A simulated server with clients.
pub struct Simulated {
    server: Server,
    /// Under which number each client is connected.
    connections: Vec<u64>,
    next: u64,
}

impl Simulated {
    pub fn new(random: &mut ChaCha8Rng) -> Simulated {
        let mut simulated = Simulated { server: Server::new(random.clone()), connections: Vec::new(), next: 0 };
        simulated.connections = (0..CONNECTIONS).map(|_| simulated.connect()).collect();
        simulated
    }

    pub fn root(&self) -> Uuid {
        self.server.database.root().expect("a database begins with its root").0
    }

    fn connect(&mut self) -> u64 {
        self.next += 1;
        self.server.connected(Duration::ZERO, self.next);
        self.next
    }

    pub fn ask(&mut self, conn: usize, message: &Json) -> Vec<Vec<Json>> {
        self.server.received(Duration::ZERO, self.connections[conn], message.to_string().as_bytes());
        let mut heard = vec![Vec::new(); self.connections.len()];
        for output in self.server.take_output(Duration::ZERO) {
            match output {
                Output::Send(to, bytes) => {
                    let conn = self.connections.iter().position(|conn| *conn == to).expect("to a client that is there");
                    heard[conn].push(serde_json::from_slice(&bytes).expect("messages are JSON"));
                }
                Output::Close(_) => panic!("the simulated server ended a connection after {message}"),
            }
        }
        heard
    }

    pub fn reconnect(&mut self, conn: usize) -> Vec<Vec<Json>> {
        self.server.closed(self.connections[conn]);
        self.connections[conn] = self.connect();
        vec![Vec::new(); self.connections.len()]
    }
}
