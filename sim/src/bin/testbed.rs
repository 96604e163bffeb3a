//! A testbed by hand: real Open vSwitch hypervisors and guests on this machine, until `down`.
//!
//! The state is in a directory in `$TMPDIR`, so that one call finds what another made. What a bed is and can do is in
//! [`selvedge_sim::testbed`]; this file only reads arguments and prints. Start at [`Verb`].

#![allow(clippy::disallowed_methods, reason = "real switches live in real time")]

use std::error::Error;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_sim::testbed::{
    Bed, Daemons, GuestName, GuestSpec, Hypervisor, HypervisorId, InterfaceAddress, Lifetime, Mac, MigrationOrder,
    Netns, VifId,
};

/// Real Open vSwitch hypervisors and guests on this machine.
///
/// A controller that listens on 0.0.0.0 is reached by the hypervisors at 10.254.0.1. Hypervisor hvN is 10.254.1.N,
/// and its tunnel endpoint is 172.31.1.N.
#[derive(Parser)]
#[command(name = "testbed")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make N hypervisors, without br-int: that is for a controller to make
    Up {
        #[arg(value_name = "N")]
        hypervisors: u8,
        /// An empty br-int, as a controller may find it
        #[arg(long, conflicts_with = "mesh")]
        br_int: bool,
        /// A learning br-int everywhere and tunnels between all, for use without a controller
        #[arg(long, value_name = "ENCAPSULATION", value_parser = ["geneve", "vxlan", "gre"])]
        mesh: Option<String>,
    },
    /// Remove the testbed, and what tests that were killed left behind
    Down,
    /// Show what there is; exit status 1 if a daemon is not running
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Make a guest and plug it in
    AddVm(AddVm),
    /// Remove a guest, with all that runs in it
    DelVm { name: GuestName },
    /// Migrate a guest, with all that runs in it
    MoveVm {
        name: GuestName,
        to: HypervisorId,
        /// Gone from the old hypervisor before it appears on the new one
        #[arg(long)]
        leaves_first: bool,
    },
    /// ICMP or ICMPv6 echo from a guest; exit status 1 if nothing came back
    Ping {
        name: GuestName,
        to: IpAddr,
        #[arg(short, long, default_value_t = 5)]
        count: u32,
    },
    /// Run a command in a guest or a hypervisor
    Exec {
        /// A guest, or hvN
        node: String,
        #[command(flatten)]
        words: Words,
    },
    /// ovs-vsctl on a hypervisor
    Vsctl(Tool),
    /// ovs-ofctl -O OpenFlow15 on a hypervisor
    Ofctl(Tool),
    /// ovs-appctl on a hypervisor
    Appctl(Tool),
    /// Crash daemons of a hypervisor (SIGKILL)
    Kill { hypervisor: HypervisorId, what: What },
    /// Start what is not running of a hypervisor's daemons
    Start { hypervisor: HypervisorId },
}

#[derive(Args)]
struct AddVm {
    hypervisor: HypervisorId,
    /// At most 12 small letters, digits and dashes
    name: GuestName,
    mac: Mac,
    /// Like 10.0.0.1/24,fd00::1/64
    #[arg(value_delimiter = ',', required = true)]
    addresses: Vec<InterfaceAddress>,
    /// What the controller knows the interface by
    #[arg(value_name = "IFACE_ID")]
    vif: String,
    /// The id is a XenServer VIF's, and is set as xs-vif-uuid
    #[arg(long)]
    xen: bool,
    /// A default gateway; once for each family
    #[arg(long = "gateway", value_name = "IP")]
    gateways: Vec<IpAddr>,
    /// In bytes
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
}

#[derive(Args)]
struct Tool {
    hypervisor: HypervisorId,
    #[command(flatten)]
    words: Words,
}

#[derive(Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Switch,
    Db,
    Both,
}

fn main() -> ExitCode {
    match act(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("testbed: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<ExitCode, Box<dyn Error>>;

fn act(verb: Verb) -> Outcome {
    match verb {
        Verb::Up { hypervisors, br_int, mesh } => up(hypervisors, br_int, mesh.as_deref()),
        Verb::Down => down(),
        Verb::Status { json } => status(json),
        Verb::AddVm(guest) => add_vm(guest),
        Verb::DelVm { name } => done(the_bed()?.delete_guest(&name)),
        Verb::MoveVm { name, to, leaves_first: false } => {
            done(the_bed()?.migrate(&name, to, MigrationOrder::AppearsFirst))
        }
        Verb::MoveVm { name, to, leaves_first: true } => {
            done(the_bed()?.migrate(&name, to, MigrationOrder::LeavesFirst))
        }
        Verb::Ping { name, to, count } => ping(&name, to, count),
        Verb::Exec { node, words } => exec(&node, &words.words),
        Verb::Vsctl(tool) => become_tool(&tool, "ovs-vsctl", &[]),
        Verb::Ofctl(tool) => become_tool(&tool, "ovs-ofctl", &["-O", "OpenFlow15"]),
        Verb::Appctl(tool) => become_tool(&tool, "ovs-appctl", &[]),
        Verb::Kill { hypervisor, what } => done(the_bed()?.hypervisor(hypervisor)?.kill(what.into())),
        Verb::Start { hypervisor } => done(the_bed()?.hypervisor(hypervisor)?.start()),
    }
}

fn done(result: selvedge_sim::testbed::Result<()>) -> Outcome {
    result?;
    Ok(ExitCode::SUCCESS)
}

fn up(hypervisors: u8, br_int: bool, mesh: Option<&str>) -> Outcome {
    let bed = Bed::up(hypervisors, Lifetime::UntilDown)?;
    if br_int {
        bed.hypervisors().iter().try_for_each(Hypervisor::make_integration_bridge)?;
    }
    if let Some(encapsulation) = mesh {
        bed.make_learning_mesh(encapsulation)?;
        bed.warm_underlay()?;
    }
    println!("{}", bed.status()?);
    Ok(ExitCode::SUCCESS)
}

fn down() -> Outcome {
    for directory in Bed::all_kept()?.into_iter().chain(Bed::all_abandoned()?) {
        Bed::open(&directory)?.down()?;
        println!("removed {}", directory.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn status(json: bool) -> Outcome {
    let status = the_bed()?.status()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("{status}");
    }
    Ok(if status.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn add_vm(asked: AddVm) -> Outcome {
    let vif = if asked.xen { VifId::XsVifUuid(asked.vif) } else { VifId::IfaceId(asked.vif) };
    let spec = GuestSpec {
        gateways: asked.gateways,
        mtu: asked.mtu,
        ..GuestSpec::new(asked.name, asked.mac, asked.addresses, vif)
    };
    done(the_bed()?.add_guest(asked.hypervisor, spec).map(drop))
}

fn ping(name: &GuestName, to: IpAddr, count: u32) -> Outcome {
    const INTERVAL: Duration = Duration::from_millis(200);
    const PATIENCE: Duration = Duration::from_secs(1);
    let guest = the_bed()?.guest(name)?;
    let mut received = 0;
    for sequence in 1..=count {
        let start = Instant::now();
        match guest.ping_once(to, PATIENCE)? {
            Some(took) => {
                received += 1;
                println!("{to}: answer {sequence} after {:.1} ms", took.as_secs_f64() * 1e3);
            }
            None => println!("{to}: no answer {sequence} within {} s", PATIENCE.as_secs()),
        }
        if sequence < count {
            thread::sleep(INTERVAL.saturating_sub(start.elapsed()));
        }
    }
    println!("sent {count}, received {received}");
    Ok(if received > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn exec(node: &str, words: &[String]) -> Outcome {
    let bed = the_bed()?;
    let netns: Netns = match node.parse::<HypervisorId>() {
        Ok(id) => bed.hypervisor(id)?.netns().clone(),
        Err(_) => bed.guest(&node.parse()?)?.netns().clone(),
    };
    netns.enter()?;
    let (program, arguments) = words.split_first().ok_or("no command to run")?;
    become_command(Command::new(program).args(arguments))
}

fn become_tool(tool: &Tool, program: &str, options: &[&str]) -> Outcome {
    let bed = the_bed()?;
    let hypervisor: &Hypervisor = bed.hypervisor(tool.hypervisor)?;
    become_command(hypervisor.tool(program, options).args(&tool.words.words))
}

/// Replaces this program by another; returns only if that is not possible.
fn become_command(command: &mut Command) -> Outcome {
    let error = command.exec();
    Err(format!("{}: {error}", command.get_program().display()).into())
}

/// The bed that `up` made.
fn the_bed() -> Result<Bed, Box<dyn Error>> {
    match Bed::all_kept()?.as_slice() {
        [] => Err("no testbed is up (or it was made with another TMPDIR)".into()),
        [directory] => Ok(Bed::open(directory)?),
        several => Err(format!("{} testbeds are up; `down` removes them all", several.len()).into()),
    }
}

impl From<What> for Daemons {
    fn from(what: What) -> Self {
        match what {
            What::Switch => Self::Switch,
            What::Db => Self::Db,
            What::Both => Self::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
