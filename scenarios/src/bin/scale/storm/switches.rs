//! A process with all hypervisors of a topology: simulated switches whose connections are sockets on the loopback, each
//! from an address of its own. No frames travel; it is about control. Start at [`run`].
//!
//! Whoever started it writes the line `counts` and gets [`Counts`] as JSON.

use super::super::topology::Topology;
use selvedge_core::pipeline::Stage;
use selvedge_scenarios::Outcome;
use selvedge_sim::switch::machine::{Input, Output, Switch, SwitchConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// The bridge that guests are put on.
const BRIDGE: &str = "br-int";
/// Largest packet of the underlay, in bytes.
const MTU: usize = 1_500;

/// What all switches did since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Flow modifications that they carried out.
    pub flow_mods: u64,
    /// Group modifications.
    pub group_mods: u64,
    /// Flows that they hold.
    pub flows: u64,
    /// Connections that were opened.
    pub sessions: u64,
}

/// A guest that is to be plugged in.
#[derive(Clone)]
struct Guest {
    /// What the interface is known by.
    vif: String,
    /// Its address.
    mac: String,
}

/// Where a hypervisor connects from: all of 127.0.0.0/8 is this machine.
pub fn address_of(place: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x7f01_0001 + place as u32))
}

/// The name of the VIF of a port.
pub fn vif_of(port: usize) -> String {
    format!("vif-{port}")
}

/// Is all hypervisors of a topology, until its input ends.
///
/// # Errors
/// If an order is not understood.
pub fn run(topology: &Topology, manager: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let began = Instant::now();
    let mut guests: Vec<Vec<Guest>> = vec![Vec::new(); topology.nodes.len()];
    for (place, port) in topology.ports.iter().enumerate() {
        guests[port.node].push(Guest { vif: vif_of(place), mac: port.mac.to_string() });
    }
    let counts: Arc<Mutex<Vec<Counts>>> = Arc::new(Mutex::new(vec![Counts::default(); topology.nodes.len()]));
    for (place, guests) in guests.into_iter().enumerate() {
        let mut switch = Switch::new(SwitchConfig {
            system_id: format!("hv{place}"),
            tunnel_ends: vec![topology.nodes[place]],
            mtu: MTU,
            version: "3.1.0".to_string(),
            // Statistics that nobody asked for cost a real switch little, and this process much.
            silent: true,
            seed: place as u64,
        });
        switch.set_manager(manager);
        let (inbox, events) = mpsc::unbounded_channel();
        let hypervisor = Hypervisor {
            place,
            switch,
            waiting: guests,
            began,
            inbox,
            writers: BTreeMap::new(),
            counts: counts.clone(),
        };
        runtime.spawn(hypervisor.live(events));
    }
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.as_str() {
            "counts" => println!("{}", serde_json::to_string(&sum(&counts.lock().expect("nobody panics with it")))?),
            _ => return Err(format!("'{line}' is not understood").into()),
        }
    }
    runtime.shutdown_background();
    Ok(())
}

fn sum(counts: &[Counts]) -> Counts {
    counts.iter().fold(Counts::default(), |sum, one| Counts {
        flow_mods: sum.flow_mods + one.flow_mods,
        group_mods: sum.group_mods + one.group_mods,
        flows: sum.flows + one.flows,
        sessions: sum.sessions + one.sessions,
    })
}

struct Hypervisor {
    place: usize,
    switch: Switch,
    /// Guests for whom there is no bridge yet.
    waiting: Vec<Guest>,
    began: Instant,
    inbox: mpsc::UnboundedSender<Input>,
    writers: BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>>,
    counts: Arc<Mutex<Vec<Counts>>>,
}

impl Hypervisor {
    async fn live(mut self, mut events: mpsc::UnboundedReceiver<Input>) {
        self.step(Input::Tick);
        loop {
            let sleep = async {
                match self.switch.deadline() {
                    Some(at) => tokio::time::sleep_until((self.began + at).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(input) => self.step(input),
                    None => return,
                },
                () = sleep => self.step(Input::Tick),
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.switch.step(self.began.elapsed(), input, &mut outputs);
        if self.plug() {
            self.switch.step(self.began.elapsed(), Input::Tick, &mut outputs);
        }
        outputs.into_iter().for_each(|output| self.carry_out(output));
        self.count();
    }

    /// Plugs in who waits, if there is a bridge; whether there was.
    fn plug(&mut self) -> bool {
        let has_bridge = |switch: &mut Switch| switch.vswitchd().is_some_and(|daemon| daemon.has_bridge(BRIDGE));
        if self.waiting.is_empty() || !has_bridge(&mut self.switch) {
            return false;
        }
        for Guest { vif, mac } in std::mem::take(&mut self.waiting) {
            assert!(self.switch.plug(BRIDGE, &format!("tap{}", &vif[4..]), &vif, &mac), "there is a bridge");
        }
        true
    }

    fn count(&mut self) {
        let mut now = Counts { sessions: self.switch.sessions, ..Counts::default() };
        if let Some(bridge) = self.switch.vswitchd().and_then(|daemon| daemon.bridges.get(BRIDGE)) {
            let agent = &bridge.agent;
            (now.flow_mods, now.group_mods) = (agent.counts.flow_mods, agent.counts.group_mods);
            let tables = &bridge.bridge.program().tables;
            now.flows = Stage::ALL.iter().map(|stage| tables.len(stage.table()) as u64).sum();
        }
        self.counts.lock().expect("nobody panics with it")[self.place] = now;
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Connect(conn, to) => {
                let (sender, outgoing) = mpsc::unbounded_channel();
                self.writers.insert(conn, sender);
                tokio::spawn(connection(self.inbox.clone(), address_of(self.place), conn, to, outgoing));
            }
            // Whoever reads there is gone if it fails, and the switch is told so.
            Output::Send(conn, bytes) => _ = self.writers.get(&conn).map(|writer| writer.send(bytes)),
            Output::Close(conn) => _ = self.writers.remove(&conn),
            Output::Frame(..) | Output::Underlay(_) => {}
        }
    }
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries the bytes of a connection, both ways at once.
async fn connection(
    inbox: mpsc::UnboundedSender<Input>,
    from: IpAddr,
    conn: u64,
    to: SocketAddr,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    // The hypervisor lives as long as the process.
    let tell = |input| _ = inbox.send(input);
    let Ok(stream) = connect(from, to).await else { return tell(Input::Closed(conn)) };
    tell(Input::Opened(conn));
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        while let Some(bytes) = outgoing.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The switch ends it; whether the peer hears of that is all the same.
        let _ = writer.shutdown().await;
    };
    let read = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            tell(Input::Received(conn, buffer[..count].to_vec()));
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    tell(Input::Closed(conn));
}
