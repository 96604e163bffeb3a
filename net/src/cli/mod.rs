//! The commands that talk to a controller. Start at [`run`].

mod backup;
mod client;
mod cluster;
mod look;
mod network;
mod node;
mod show;
mod trace;
mod users;

use clap::{Args, Subcommand};
use client::{Client, ClientError};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the controller is, and how to get in.
#[derive(Args, Clone, Debug)]
pub struct Access {
    /// The controller's API
    #[arg(
        id = "client_api",
        long = "api",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7443",
        env = "SELVEDGE_API",
        global = true
    )]
    pub api: String,
    /// The controller's data directory: its ca.pem and admin-password are used
    #[arg(
        id = "client_data_dir",
        long = "data-dir",
        value_name = "DIR",
        env = "SELVEDGE_CONTROLLER_DATA_DIR",
        global = true
    )]
    pub data_dir: Option<PathBuf>,
    /// The certificate authority to trust, in place of the data directory's
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CA", global = true)]
    pub ca: Option<PathBuf>,
    /// The user
    #[arg(long, value_name = "NAME", default_value = "admin", env = "SELVEDGE_USER", global = true)]
    pub user: String,
    /// File with the password, in place of the data directory's
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PASSWORD_FILE", global = true)]
    pub password_file: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// How everything is; exits with 1 if something needs attention, and says what
    Status(Access),
    /// The controllers: how the cluster is, and how one joins, leaves or is replaced
    Cluster {
        /// What to do with them
        #[command(subcommand)]
        command: cluster::Command,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Write everything that the cluster knows, and its certificate authority, into a new file
    Backup {
        /// The file
        file: PathBuf,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Make an empty data directory that of a cluster which begins anew from a backup
    Restore {
        /// The file
        file: PathBuf,
        /// Where the data directory is
        #[command(flatten)]
        access: Access,
    },
    /// Transport nodes: the hypervisors
    Node {
        /// What to do with them
        #[command(subcommand)]
        command: node::Command,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Logical switches
    Switch {
        /// What to do with them
        #[command(subcommand)]
        command: network::Switch,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Logical ports
    Port {
        /// What to do with them
        #[command(subcommand)]
        command: network::Port,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Users of the API: administrators, operators, tenants
    User {
        /// What to do with them
        #[command(subcommand)]
        command: users::Command,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// What users did, and what they were refused; the latest 8,192
    Audit {
        /// After this revision
        #[arg(long, default_value_t = 0)]
        since: u64,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Tell whether users may only read; or let them, or end that
    Maintenance {
        /// From now on
        switch: Option<users::Switch>,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// Wait until all transport nodes hold the configuration; exits with 1 if some are late
    Wait {
        /// Up to this revision [default: now]
        #[arg(long)]
        revision: Option<u64>,
        /// Longest wait, in seconds, at most 60
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        timeout: u64,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// The flows a transport node should hold, with names for numbers
    Flows {
        /// Its name or uuid
        node: String,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
    /// What becomes of a packet, stage by stage, on intent and on the real switch
    Trace {
        /// The packet
        #[command(flatten)]
        packet: trace::Packet,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
}

/// Runs a command. Exits with 0 if it did what was asked and all is well, 1 if not, 2 if the command line was wrong.
pub fn run(command: Command) -> ExitCode {
    match carry_out(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("selvedge: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does it; says whether all is well.
fn carry_out(command: Command) -> Result<bool, ClientError> {
    match command {
        Command::Status(access) => look::status(&Client::connect(&access)?, &access),
        Command::Cluster { command, access } => cluster::run(&access, command),
        Command::Backup { file, access } => backup::backup(&Client::connect(&access)?, &file).map(|()| true),
        Command::Restore { file, access } => backup::restore(&access, &file).map(|()| true),
        Command::Node { command, access } => node::run(&Client::connect(&access)?, &access, command).map(|()| true),
        Command::Switch { command, access } => {
            network::switch(&Client::connect(&access)?, &access, command).map(|()| true)
        }
        Command::Port { command, access } => network::port(&Client::connect(&access)?, &access, command).map(|()| true),
        Command::User { command, access } => users::run(&Client::connect(&access)?, &access, command).map(|()| true),
        Command::Audit { since, access } => users::audit(&Client::connect(&access)?, &access, since).map(|()| true),
        Command::Maintenance { switch, access } => {
            users::maintenance(&Client::connect(&access)?, &access, switch).map(|()| true)
        }
        Command::Wait { revision, timeout, access } => {
            look::wait(&Client::connect(&access)?, &access, revision, timeout)
        }
        Command::Flows { node, access } => look::flows(&Client::connect(&access)?, &access, &node).map(|()| true),
        Command::Trace { packet, access } => trace::trace(&Client::connect(&access)?, &access, packet).map(|()| true),
    }
}
