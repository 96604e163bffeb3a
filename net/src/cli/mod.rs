//! The commands that talk to a controller. Start at [`run`].

mod client;
mod node;

use clap::{Args, Subcommand};
use client::Client;
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
    /// Transport nodes: the hypervisors
    Node {
        /// What to do with them
        #[command(subcommand)]
        command: node::Command,
        /// Where the controller is
        #[command(flatten)]
        access: Access,
    },
}

/// Runs a command. Exits with 0 if it did what was asked, 1 if not, 2 if the command line was wrong.
pub fn run(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Node { command, access } => {
            Client::connect(&access).and_then(|client| node::run(&client, &access, command))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("selvedge: {error}");
            ExitCode::FAILURE
        }
    }
}
