//! One hypervisor: a network namespace with its own ovsdb-server and ovs-vswitchd on the userspace datapath.
//!
//! ```text
//!   mgmt0    br-phy (tunnel endpoint)    br-int (the controller's to make)
//!     |         |                            |
//!  management  ul0 = underlay             guests
//! ```
//!
//! State is in one directory, which is all that the `ovs-*` tools need to find the instance. Start at
//! [`Hypervisor::start`]; [`super::bed`] makes the networks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::{command, run};
use super::error::{Doing, Error, Result};
use super::ident::HypervisorId;
use super::netns::Netns;
use super::requirements::SCHEMA;
use super::sys::{self, Signal};
use super::wait::wait_until;

/// The MTU of the underlay, in bytes: room for a guest's 1500 and any encapsulation.
pub const UNDERLAY_MTU: u16 = 1700;

/// The longest name of a unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// Which of a hypervisor's two daemons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Daemons {
    /// ovs-vswitchd: forwarding, OpenFlow. Its restart loses flows.
    Switch,
    /// ovsdb-server: configuration, the connection to the manager.
    ///
    /// Without it nothing is forwarded here: the userspace datapath polls its ports in ovs-vswitchd's main loop, which
    /// stands still (and spins) from the moment it has lost its lock in the database. A kernel datapath would go on.
    Db,
    /// Both, the switch first.
    Both,
}

impl Daemons {
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Switch => &["ovs-vswitchd"],
            Self::Db => &["ovsdb-server"],
            Self::Both => &["ovs-vswitchd", "ovsdb-server"],
        }
    }
}

/// A handle on one hypervisor of a bed; it does not own it.
#[derive(Clone, Debug)]
pub struct Hypervisor {
    id: HypervisorId,
    netns: Netns,
    directory: PathBuf,
}

impl Hypervisor {
    pub(crate) fn new(id: HypervisorId, netns: Netns, bed: &Path) -> Result<Self> {
        let directory = bed.join(id.to_string());
        let longest = directory.join("ovs-vswitchd.1234567890.ctl");
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(Error::PathTooLong { path: bed.to_owned() });
        }
        Ok(Self { id, netns, directory })
    }

    /// Which one it is; its addresses follow from that.
    pub fn id(&self) -> HypervisorId {
        self.id
    }

    /// Where it lives.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Where its database, sockets and logs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts what is not running of the two daemons, and sets up what its administrator sets up by hand.
    ///
    /// That is `br-phy` with the tunnel's address, not `br-int`. After a restart, too: the device `br-phy` goes away
    /// with its ovs-vswitchd, and takes address and route along.
    ///
    /// # Errors
    /// What the daemons, `ovs-vsctl` or `ip` complain of.
    pub fn start(&self) -> Result<()> {
        fs::create_dir_all(&self.directory).doing(|| format!("creating {}", self.directory.display()))?;
        if self.pid("ovsdb-server").is_none() {
            self.start_db()?;
        }
        if self.pid("ovs-vswitchd").is_none() {
            self.start_switch()?;
        }
        self.configure()
    }

    /// Ends daemons by SIGKILL, as a crash would, and waits until they are gone. Those that do not run stay so.
    ///
    /// # Errors
    /// If one does not go.
    pub fn kill(&self, daemons: Daemons) -> Result<()> {
        daemons.programs().iter().try_for_each(|program| self.end(program))
    }

    /// The process of one daemon, `ovs-vswitchd` or `ovsdb-server`, while it runs.
    ///
    /// A pid file can outlive its process, and the number be used again: it is believed only if that process is this
    /// program, started for this directory. (An ended process that nobody reaped has an empty command line.)
    pub fn pid(&self, program: &str) -> Option<u32> {
        let pid = fs::read_to_string(self.directory.join(format!("{program}.pid"))).ok()?;
        let pid: u32 = pid.trim().parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        let is_program = words.next()?.rsplit('/').next() == Some(program);
        let ours = format!("{}/", self.directory.display());
        (is_program && words.any(|word| word.contains(&ours))).then_some(pid)
    }

    /// Runs `ovs-vsctl`; what it printed. It waits until the switch has done its part, if the switch runs.
    ///
    /// # Errors
    /// What it complained of.
    pub fn ovs_vsctl(&self, arguments: &[&str]) -> Result<String> {
        let mut tool = self.tool("ovs-vsctl", &["-vconsole:off", "--timeout=30"]);
        if self.pid("ovs-vswitchd").is_none() {
            tool.arg("--no-wait");
        }
        run(tool.args(arguments))
    }

    /// Runs `ovs-ofctl -O OpenFlow15`; what it printed.
    ///
    /// # Errors
    /// What it complained of.
    pub fn ovs_ofctl(&self, arguments: &[&str]) -> Result<String> {
        run(self.tool("ovs-ofctl", &["--timeout=30", "-O", "OpenFlow15"]).args(arguments))
    }

    /// Runs `ovs-appctl`, which talks to ovs-vswitchd unless told otherwise; what it printed.
    ///
    /// # Errors
    /// What it complained of.
    pub fn ovs_appctl(&self, arguments: &[&str]) -> Result<String> {
        run(self.tool("ovs-appctl", &["--timeout=10"]).args(arguments))
    }

    /// An `ovs-*` tool that will find this instance, not started yet.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> Command {
        let mut tool = command(program, arguments);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
            tool.env(variable, &self.directory);
        }
        tool
    }

    /// Whether it has this bridge.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub fn has_bridge(&self, bridge: &str) -> Result<bool> {
        Ok(self.ovs_vsctl(&["list-br"])?.lines().any(|name| name == bridge))
    }

    /// Waits for a bridge to appear: `br-int` is the controller's to make.
    ///
    /// # Errors
    /// If it does not appear in time.
    pub fn wait_for_bridge(&self, bridge: &str, patience: Duration) -> Result<()> {
        wait_until(|| format!("bridge {bridge} on {}", self.id), patience, || self.has_bridge(bridge))
    }

    /// Makes a `br-int` as an administrator may before a controller comes: without flows, and with none by default.
    ///
    /// # Errors
    /// If there is one already.
    pub fn make_integration_bridge(&self) -> Result<()> {
        let script = "add-br br-int -- set Bridge br-int datapath_type=netdev fail_mode=secure";
        self.ovs_vsctl(&script.split(' ').collect::<Vec<_>>()).map(drop)
    }

    fn start_db(&self) -> Result<()> {
        let database = self.file("conf.db");
        if !Path::new(&database).exists() {
            run(&mut command("ovsdb-tool", &["create", &database, SCHEMA]))?;
        }
        self.start_daemon(
            "ovsdb-server",
            &[
                &database,
                &format!("--remote=punix:{}", self.file("db.sock")),
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
                "--private-key=db:Open_vSwitch,SSL,private_key",
                "--certificate=db:Open_vSwitch,SSL,certificate",
                "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
            ],
        )?;
        self.ovs_vsctl(&["init"]).map(drop)
    }

    fn start_switch(&self) -> Result<()> {
        // Without --disable-system it looks for a datapath in the kernel, which is the machine's, not this hypervisor's.
        self.start_daemon("ovs-vswitchd", &[&format!("unix:{}", self.file("db.sock")), "--disable-system"])
    }

    /// Starts a daemon, and returns when it serves.
    fn start_daemon(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.remove_stale_control_sockets(program)?;
        let common = ["--pidfile", "--detach", "--no-chdir", "--log-file", "-vconsole:off", "-vsyslog:off"];
        self.netns.run_command(self.tool(program, arguments).args(common)).map(drop)
    }

    /// A killed daemon leaves its control socket, which is named by pid: with enough of them one would be met again.
    fn remove_stale_control_sockets(&self, program: &str) -> Result<()> {
        let prefix = format!("{program}.");
        let doing = || format!("clearing {}", self.directory.display());
        for entry in fs::read_dir(&self.directory).doing(doing)? {
            let path = entry.doing(doing)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(&prefix) && name.ends_with(".ctl") {
                fs::remove_file(&path).doing(doing)?;
            }
        }
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        let id = self.id;
        let hwaddr = format!("other_config:hwaddr=\"{}\"", id.underlay_mac());
        self.ovs_vsctl(&[
            "set",
            "Open_vSwitch",
            ".",
            &format!("external_ids:system-id={id}"),
            &format!("external_ids:hostname={id}"),
            "--",
            "--may-exist",
            "add-br",
            "br-phy",
            "--",
            "set",
            "Bridge",
            "br-phy",
            "datapath_type=netdev",
            "fail_mode=standalone",
            &hwaddr,
            "--",
            "--may-exist",
            "add-port",
            "br-phy",
            "ul0",
            "--",
            "set",
            "Interface",
            "br-phy",
            &format!("mtu_request={UNDERLAY_MTU}"),
        ])?;
        self.netns
            .ip(&["link set dev br-phy up".to_owned(), format!("addr replace {}/16 dev br-phy", id.underlay_ip())])
    }

    fn end(&self, program: &str) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let Some(pid) = self.pid(program) else {
            return Ok(());
        };
        sys::kill(pid, Signal::Kill).doing(|| format!("ending {program} of {}", self.id))?;
        let what = || format!("the end of {program} of {}, pid {pid}", self.id);
        wait_until(what, PATIENCE, || Ok(self.pid(program) != Some(pid)))
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}
