//! The two ends that are told the same: ovs-vswitchd, which connects to three controllers, and the simulated agent.
//!
//! Start at [`Real::say`].

use crate::bed::Daemons;
use selvedge_sim::switch::datapath::{Bridge, Port};
use selvedge_sim::switch::openflow::agent::{Agent, Output};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// How many controllers there are.
pub const CONTROLLERS: usize = 3;
/// How many ports a bridge has.
pub const PORTS: u32 = 3;
const DATAPATH_ID: u64 = 0x0123_4567_89ab;
/// The transaction id of the barriers that only ask whether all is handled.
const FENCE: u32 = 0xfe0c_0000;

/// How often it is looked for flows that should be told to be gone.
const REMOVED_ROUNDS: usize = 300;

fn hello() -> Vec<u8> {
    vec![6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 1 << 6]
}

fn barrier() -> Vec<u8> {
    [&[6, 20, 0, 8], FENCE.to_be_bytes().as_slice()].concat()
}

fn is_fence(message: &[u8]) -> bool {
    message[1] == 21 && message[4..8] == FENCE.to_be_bytes()
}

/// The switch ended a connection, or says nothing any more: it is dead.
#[derive(Debug)]
pub struct Dead;

/// A running ovs-vswitchd, and its controllers.
pub struct Real {
    controllers: Vec<Controller>,
    /// End when it is dropped.
    daemons: Daemons,
}

struct Controller {
    listener: TcpListener,
    stream: TcpStream,
}

impl Controller {
    /// Waits for the switch to connect, and greets it.
    fn accept(listener: TcpListener) -> Controller {
        let (mut stream, _) = listener.accept().expect("the switch connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream.set_nodelay(true).expect("a stream that sends at once");
        stream.write_all(&hello()).expect("the switch takes a greeting");
        Controller { listener, stream }
    }

    fn receive(&mut self) -> Result<Vec<u8>, Dead> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).map_err(|_| Dead)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut message = header.to_vec();
        message.resize(length.max(8), 0);
        self.stream.read_exact(&mut message[8..]).map_err(|_| Dead)?;
        Ok(message)
    }
}

impl Real {
    /// Starts a switch with ports 1 to [`PORTS`], if Open vSwitch is installed.
    pub fn start() -> Option<Real> {
        let daemons = Daemons::switch()?;
        for number in 1..=PORTS {
            let (name, request) = (format!("p{number}"), format!("ofport_request={number}"));
            daemons.vsctl(&["add-port", "br-test", &name, "--", "set", "Interface", &name, "type=dummy", &request]);
        }
        let listeners: Vec<TcpListener> =
            (0..CONTROLLERS).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let mut command = Vec::new();
        for (index, listener) in listeners.iter().enumerate() {
            let address = listener.local_addr().expect("it listens");
            command.extend([
                "--".to_string(),
                format!("--id=@c{index}"),
                "create".to_string(),
                "Controller".to_string(),
            ]);
            command.push(format!("target=\"tcp:{address}\""));
            command
                .extend(["inactivity_probe=0", "connection_mode=out-of-band", "max_backoff=1000"].map(str::to_string));
        }
        let bridge = ["--", "set", "Bridge", "br-test", "protocols=OpenFlow15", "controller=[@c0,@c1,@c2]"];
        command.extend(bridge.map(str::to_string));
        command.push(format!("other-config:datapath-id={DATAPATH_ID:016x}"));
        daemons.vsctl(&command.iter().map(String::as_str).collect::<Vec<_>>());
        let mut real = Real { controllers: listeners.into_iter().map(Controller::accept).collect(), daemons };
        real.fence().expect("the switch lives");
        Some(real)
    }

    /// Why the switch died.
    pub fn last_words(&self) -> String {
        self.daemons.last_words()
    }

    /// One controller says something; what each of them heard until all was handled.
    pub fn say(&mut self, conn: usize, message: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, Dead> {
        self.controllers[conn].stream.write_all(message).map_err(|_| Dead)?;
        // Who spoke first: the others shall not ask before it is handled.
        let mut heard = vec![Vec::new(); CONTROLLERS];
        self.fence_one(conn, &mut heard[conn])?;
        self.fence_into(&mut heard)?;
        Ok(heard)
    }

    /// Waits until each controller has been told of as many flows that are gone as in `expected`, or long enough: the
    /// switch tells of a flow when the last of its threads has let go of it.
    pub fn await_removed(&mut self, heard: &mut [Vec<Vec<u8>>], expected: &[Vec<Vec<u8>>]) -> Result<(), Dead> {
        let count = |messages: &Vec<Vec<u8>>| messages.iter().filter(|message| message[1] == 11).count();
        for _ in 0..REMOVED_ROUNDS {
            if heard.iter().zip(expected).all(|(heard, expected)| count(heard) >= count(expected)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            self.fence_into(heard)?;
        }
        Ok(())
    }

    /// One controller leaves, and the switch connects to it again.
    pub fn reconnect(&mut self, conn: usize) -> Result<Vec<Vec<Vec<u8>>>, Dead> {
        let listener = self.controllers[conn].listener.try_clone().expect("a second handle");
        self.controllers[conn].stream.shutdown(std::net::Shutdown::Both).map_err(|_| Dead)?;
        self.controllers[conn] = Controller::accept(listener);
        self.fence()
    }

    fn fence(&mut self) -> Result<Vec<Vec<Vec<u8>>>, Dead> {
        let mut heard = vec![Vec::new(); CONTROLLERS];
        self.fence_into(&mut heard)?;
        Ok(heard)
    }

    /// Twice: what one connection causes on another may be sent after the other's first barrier.
    fn fence_into(&mut self, heard: &mut [Vec<Vec<u8>>]) -> Result<(), Dead> {
        for _ in 0..2 {
            (0..CONTROLLERS).try_for_each(|conn| self.fence_one(conn, &mut heard[conn]))?;
        }
        Ok(())
    }

    fn fence_one(&mut self, conn: usize, heard: &mut Vec<Vec<u8>>) -> Result<(), Dead> {
        let controller = &mut self.controllers[conn];
        controller.stream.write_all(&barrier()).map_err(|_| Dead)?;
        loop {
            let message = controller.receive()?;
            if is_fence(&message) {
                return Ok(());
            }
            heard.push(message);
        }
    }
}

/// A simulated agent with its bridge, and its controllers.
pub struct Simulated {
    agent: Agent,
    bridge: Bridge,
    /// Under which number each controller is connected.
    connections: Vec<u64>,
    next: u64,
}

impl Simulated {
    pub fn new() -> Simulated {
        let mut bridge = Bridge::new("br-test");
        (1..=PORTS).for_each(|number| bridge.add_port(Port::device(number, &format!("p{number}"))));
        let agent = Agent::new(DATAPATH_ID);
        let mut simulated = Simulated { agent, bridge, connections: vec![0; CONTROLLERS], next: 0 };
        (0..CONTROLLERS).for_each(|conn| simulated.connect(conn));
        simulated.take();
        simulated
    }

    fn connect(&mut self, conn: usize) {
        self.next += 1;
        self.connections[conn] = self.next;
        self.agent.connected(Duration::ZERO, self.next);
        self.agent.received(Duration::ZERO, self.next, &hello(), &mut self.bridge);
    }

    pub fn say(&mut self, conn: usize, message: &[u8]) -> Vec<Vec<Vec<u8>>> {
        self.agent.received(Duration::ZERO, self.connections[conn], message, &mut self.bridge);
        self.take()
    }

    pub fn reconnect(&mut self, conn: usize) -> Vec<Vec<Vec<u8>>> {
        self.agent.closed(self.connections[conn]);
        self.connect(conn);
        self.take()
    }

    fn take(&mut self) -> Vec<Vec<Vec<u8>>> {
        let mut heard = vec![Vec::new(); CONTROLLERS];
        for output in self.agent.take_output() {
            match output {
                Output::Send(to, bytes) => {
                    let conn = self.connections.iter().position(|conn| *conn == to).expect("to one that is there");
                    heard[conn].push(bytes);
                }
                Output::Close(_) => panic!("the simulated agent ended a connection"),
                Output::Packet { .. } => {}
            }
        }
        heard
    }
}
