//! The tools that administer real Open vSwitch, on a simulated switch that listens on the loopback: `ovs-vsctl` and
//! `ovsdb-client` on its database, `ovs-ofctl` on its bridge. Nothing of Open vSwitch runs but the tools; no root is needed.
//!
//! Start at [`Listening`].

#![allow(clippy::disallowed_methods, reason = "tools live in real time")]

use selvedge_sim::switch::machine::{Input, Output, Switch, SwitchConfig};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The tools must be there where this is set, as in CI.
const REQUIRED: &str = "SELVEDGE_REQUIRE_OVS";

/// A simulated switch that real tools can connect to.
struct Listening {
    shared: Arc<Mutex<Shared>>,
    database: SocketAddr,
    bridge: SocketAddr,
}

struct Shared {
    switch: Switch,
    streams: BTreeMap<u64, TcpStream>,
    next: u64,
    began: Instant,
}

impl Shared {
    fn step(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.switch.step(self.began.elapsed(), input, &mut outputs);
        for output in outputs {
            match output {
                Output::Send(conn, bytes) => {
                    // A tool that is gone does not need it.
                    self.streams.get_mut(&conn).into_iter().for_each(|stream| _ = stream.write_all(&bytes));
                }
                Output::Close(conn) => {
                    self.streams.remove(&conn).into_iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
                }
                Output::Connect(..) | Output::Frame(..) | Output::Underlay(_) => {}
            }
        }
    }
}

impl Listening {
    fn new() -> Listening {
        let switch = Switch::new(SwitchConfig {
            system_id: "simulated".to_string(),
            tunnel_ends: vec!["192.0.2.1".parse().expect("an address")],
            mtu: 1500,
            version: "3.1.0".to_string(),
            silent: true,
            seed: 1,
        });
        // Connections that the switch opens itself have low numbers.
        let shared = Shared { switch, streams: BTreeMap::new(), next: 1_000, began: Instant::now() };
        let shared = Arc::new(Mutex::new(shared));
        let database = Listening::serve(&shared, Input::Accepted);
        let bridge = Listening::serve(&shared, |conn| Input::AcceptedByBridge("br0".to_string(), conn));
        Listening { shared, database, bridge }
    }

    fn serve(shared: &Arc<Mutex<Shared>>, accepted: fn(u64) -> Input) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens");
        let shared = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let shared = shared.clone();
                thread::spawn(move || Listening::carry(&shared, stream, accepted));
            }
        });
        address
    }

    fn carry(shared: &Arc<Mutex<Shared>>, mut stream: TcpStream, accepted: fn(u64) -> Input) {
        let conn = {
            let mut shared = shared.lock().expect("no holder panics");
            shared.next += 1;
            let conn = shared.next;
            shared.streams.insert(conn, stream.try_clone().expect("a second handle"));
            shared.step(accepted(conn));
            conn
        };
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            shared.lock().expect("no holder panics").step(Input::Received(conn, buffer[..count].to_vec()));
        }
        shared.lock().expect("no holder panics").step(Input::Closed(conn));
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(program).args(["--timeout=10"]).args(arguments).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(format!("{program} {arguments:?}: {}", text(&output.stderr))),
        }
    }

    fn vsctl(&self, arguments: &[&str]) -> Result<String, String> {
        let database = format!("--db=tcp:{}", self.database);
        self.tool("ovs-vsctl", &[&[database.as_str()], arguments].concat())
    }

    /// Makes bridge br0, with port int0 of number 7.
    fn make_bridge(&self) -> Result<(), String> {
        let secure = ["add-br", "br0", "--", "set", "Bridge", "br0", "fail_mode=secure"];
        let port = ["add-port", "br0", "int0", "--", "set", "Interface", "int0", "type=internal", "ofport_request=7"];
        self.vsctl(&secure)?;
        self.vsctl(&port).map(drop)
    }

    fn ofctl(&self, verb: &str, arguments: &[&str]) -> Result<String, String> {
        let bridge = format!("tcp:{}", self.bridge);
        self.tool("ovs-ofctl", &[&["-O", "OpenFlow15", verb, bridge.as_str()], arguments].concat())
    }
}

/// A switch, if the tools are installed.
fn listening() -> Option<Listening> {
    let there = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    assert!(there || std::env::var_os(REQUIRED).is_none(), "ovs-ofctl is not installed, and {REQUIRED} is set");
    if !there {
        eprintln!("NOT RUN: ovs-vsctl and ovs-ofctl are not installed");
    }
    there.then(Listening::new)
}

#[test]
fn ovs_vsctl_configures_a_simulated_switch() -> Result<(), String> {
    let Some(switch) = listening() else { return Ok(()) };
    switch.make_bridge()?;
    assert_eq!(switch.vsctl(&["list-ports", "br0"])?, "int0\n");
    assert_eq!(switch.vsctl(&["get", "Interface", "int0", "ofport"])?, "7\n");
    switch.vsctl(&["set", "Interface", "int0", "external_ids:iface-id=vif-1", "external_ids:a=b"])?;
    switch.vsctl(&["remove", "Interface", "int0", "external_ids", "a"])?;
    assert_eq!(switch.vsctl(&["get", "Interface", "int0", "external_ids"])?, "{iface-id=vif-1}\n");
    let refused = switch.vsctl(&["set", "Bridge", "br0", "fail_mode=maybe"]).expect_err("it is no fail mode");
    assert!(refused.contains("maybe"), "{refused}");
    switch.vsctl(&["add-port", "br0", "gone0"]).expect("a port without a device is there, with an error");
    let error = switch.vsctl(&["get", "Interface", "gone0", "error"])?;
    assert!(error.contains("No such device"), "{error}");
    switch.vsctl(&["del-port", "br0", "int0"])?;
    switch.vsctl(&["del-br", "br0"])?;
    assert_eq!(switch.vsctl(&["list-br"])?, "");
    let dump = switch.tool("ovsdb-client", &["dump", &format!("tcp:{}", switch.database), "Open_vSwitch", "Port"])?;
    assert!(!dump.contains("int0"), "rows that nobody refers to are collected: {dump}");
    Ok(())
}

#[test]
fn ovs_ofctl_programs_a_simulated_switch() -> Result<(), String> {
    let Some(switch) = listening() else { return Ok(()) };
    switch.make_bridge()?;
    let flow = "table=3,priority=9,tcp,reg0=0x5/0xff,nw_dst=10.0.0.0/8,actions=set_field:0x2->reg1,resubmit(,4)";
    switch.ofctl("add-flow", &[flow])?;
    switch.ofctl("add-group", &["group_id=5,type=all,bucket=bucket_id:1,actions=output:7"])?;
    switch.ofctl("add-flow", &["table=0,priority=1,actions=group:5"])?;
    switch.ofctl("insert-buckets", &["group_id=5,command_bucket_id=last,bucket=bucket_id:2,actions=output:LOCAL"])?;
    let flows = switch.ofctl("dump-flows", &[])?;
    assert!(flows.contains("tcp,reg0=0x5/0xff,nw_dst=10.0.0.0/8") && flows.contains("resubmit(,4)"), "{flows}");
    let groups = switch.ofctl("dump-groups", &[])?;
    assert!(groups.contains("bucket_id:1") && groups.contains("bucket_id:2"), "{groups}");
    let ports = switch.ofctl("dump-ports-desc", &[])?;
    assert!(ports.contains("7(int0)"), "{ports}");
    let refused = switch.ofctl("add-flow", &["table=0,actions=group:99"]).expect_err("there is no such group");
    assert!(refused.contains("OFPBAC_BAD_OUT_GROUP"), "{refused}");
    // A bundle: all of it, or nothing.
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let (bridge, path) = (format!("tcp:{}", switch.bridge), file.path().display().to_string());
    let bundle = ["-O", "OpenFlow15", "--bundle", "add-flows", &bridge, &path];
    std::fs::write(file.path(), "table=8,actions=drop\ntable=8,priority=7,actions=group:99\n").expect("written");
    assert!(switch.tool("ovs-ofctl", &bundle).is_err(), "there is no group 99");
    assert!(!switch.ofctl("dump-flows", &[])?.contains("table=8"), "nothing of it was done");
    std::fs::write(file.path(), "table=8,actions=drop\ntable=8,priority=7,actions=group:5\n").expect("written");
    switch.tool("ovs-ofctl", &bundle)?;
    assert_eq!(switch.ofctl("dump-flows", &["table=8"])?.matches("table=8").count(), 2);
    switch.ofctl("del-flows", &["table=3"])?;
    assert!(!switch.ofctl("dump-flows", &[])?.contains("table=3"));
    switch.ofctl("del-groups", &["group_id=5"])?;
    let left = switch.ofctl("dump-flows", &[])?;
    assert!(left.contains("table=8") && !left.contains("group:5"), "flows go with the group they use: {left}");
    Ok(())
}

#[test]
fn a_switch_that_is_idle_stays() {
    let Some(switch) = listening() else { return };
    thread::sleep(Duration::from_millis(50));
    switch.shared.lock().expect("no holder panics").step(Input::Tick);
    assert!(switch.vsctl(&["show"]).is_ok());
}
