//! `selvedge cluster`: the controllers. Start at [`run`].

use super::Access;
use super::client::{Client, ClientError};
use super::show::{self, Column};
use crate::cluster::Token;
use crate::daemon::config::{default_data_dir, reachable};
use crate::daemon::enrol;
use crate::store::Identity;
use clap::Subcommand;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const MEMBERS: &str = "/ws.v1/control-cluster/member";

const COLUMNS: [Column; 11] = [
    ("MEMBER", "member"),
    ("ROLE", "role"),
    ("ADDRESS", "address"),
    ("WELL", "is_well"),
    ("HEARD MS AGO", "heard_ms"),
    ("LACKS", "lacks"),
    ("SAFE TO RESTART", "can_be_spared"),
    ("NODES", "owned_nodes"),
    ("STANDS BY FOR", "standby_nodes"),
    ("DRAINED", "is_drained"),
    ("UUID", "uuid"),
];

/// What to do with controllers.
#[derive(Subcommand)]
pub enum Command {
    /// Tell who leads, who is behind, and who may be restarted; exits with 1 if there is no majority
    Status,
    /// Make a data directory that of a cluster's first controller (starting a controller there does so, too)
    Init,
    /// Make a token, by which one more controller may join, once
    Token {
        /// For so many seconds it is good
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        valid: u64,
    },
    /// Make a token for a controller that takes the place of one that is dead for good
    Replace {
        /// The number of the dead one
        member: u64,
        /// For so many seconds it is good
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
        valid: u64,
    },
    /// Make an empty data directory that of one more controller
    Join {
        /// What `cluster token` or `cluster replace` said on a controller
        token: Token,
        /// Where the others will reach it: what it is started with as --cluster
        #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_CLUSTER")]
        cluster: SocketAddr,
    },
    /// Hand a controller's transport nodes to others, before it is stopped
    Drain {
        /// Its number [default: the one that is asked]
        member: Option<u64>,
        /// It may have transport nodes again
        #[arg(long)]
        undo: bool,
    },
    /// Dismiss a controller: it stops by itself, and its data directory is nobody's
    Leave {
        /// Its number [default: the one that is asked]
        member: Option<u64>,
    },
}

/// Does it; says whether all is well.
pub(super) fn run(access: &Access, command: Command) -> Result<bool, ClientError> {
    let connect = || Client::connect(access);
    match command {
        Command::Status => status(&connect()?, access),
        Command::Init => init(access),
        Command::Token { valid } => token(&connect()?, access, None, valid),
        Command::Replace { member, valid } => token(&connect()?, access, Some(member), valid),
        Command::Join { token, cluster } => join(access, &token, cluster),
        Command::Drain { member, undo } => drain(&connect()?, member, undo),
        Command::Leave { member } => leave(&connect()?, member),
    }
}

fn status(client: &Client, access: &Access) -> Result<bool, ClientError> {
    let cluster = client.get(MEMBERS)?;
    let has_majority = cluster["has_majority"] == true;
    if access.json {
        println!("{cluster}");
        return Ok(has_majority);
    }
    let count = |field: &str| cluster[field].as_u64().unwrap_or_default();
    match (has_majority, count("voters")) {
        (true, all) => println!("{} of {all} controllers that vote are well\n", count("voters_well")),
        (false, 0) => println!("no controller leads: nothing can be changed until a majority of them is there\n"),
        (false, all) => {
            println!("only {} of {all} controllers that vote are well: no majority\n", count("voters_well"))
        }
    }
    show::table(false, &COLUMNS, cluster["members"].as_array().map_or(&[], Vec::as_slice));
    Ok(has_majority)
}

fn token(client: &Client, access: &Access, replaces: Option<u64>, valid: u64) -> Result<bool, ClientError> {
    let answer =
        client.post("/ws.v1/control-cluster/invitation", &json!({ "replaces": replaces, "valid_s": valid }))?;
    if access.json {
        println!("{answer}");
        return Ok(true);
    }
    println!("On the machine of the new controller, within {valid} s:");
    println!("  selvedge cluster join --cluster ADDR:PORT {}", show::cell(&answer, "token"));
    Ok(true)
}

/// A controller by its number; by default the one that is asked.
fn find(client: &Client, member: Option<u64>) -> Result<Value, ClientError> {
    let mut cluster = client.get(MEMBERS)?;
    let is_meant = |one: &Value| match member {
        Some(number) => one["member"] == number,
        None => one["answers_here"] == true,
    };
    let found = cluster["members"].as_array_mut().and_then(|all| Some(all.remove(all.iter().position(is_meant)?)));
    let name = || member.map_or("this one".to_string(), |number| number.to_string());
    found.ok_or_else(|| ClientError::Absent { what: "controller", name: name() })
}

fn drain(client: &Client, member: Option<u64>, undo: bool) -> Result<bool, ClientError> {
    let found = find(client, member)?;
    let path = format!("/ws.v1/control-cluster/node/{}/draining", show::cell(&found, "uuid"));
    client.put(&path, &json!({ "is_drained": !undo }))?;
    let number = show::cell(&found, "member");
    match undo {
        true => println!("controller {number} may have transport nodes"),
        false => println!("the transport nodes of controller {number} go to others; see: selvedge cluster status"),
    }
    Ok(true)
}

fn leave(client: &Client, member: Option<u64>) -> Result<bool, ClientError> {
    let found = find(client, member)?;
    client.delete(&format!("/ws.v1/control-cluster/node/{}", show::cell(&found, "uuid")))?;
    println!("controller {} is dismissed, and stops by itself", show::cell(&found, "member"));
    Ok(true)
}

pub(super) fn directory(access: &Access) -> Result<PathBuf, ClientError> {
    let directory = access.data_dir.clone().or_else(default_data_dir);
    directory.ok_or_else(|| ClientError::Other("no home directory to keep state in: give --data-dir".to_string()))
}

pub(super) fn other(error: impl ToString) -> ClientError {
    ClientError::Other(error.to_string())
}

fn init(access: &Access) -> Result<bool, ClientError> {
    let directory = directory(access)?;
    let identity = enrol::init(&directory).map_err(other)?;
    told(access, &identity, &directory, "ADDR:PORT");
    Ok(true)
}

fn join(access: &Access, token: &Token, cluster: SocketAddr) -> Result<bool, ClientError> {
    let directory = directory(access)?;
    let cluster = reachable(cluster).map_err(other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(other)?;
    let identity = runtime.block_on(enrol::join(&directory, token, cluster)).map_err(other)?;
    told(access, &identity, &directory, &cluster.to_string());
    Ok(true)
}

pub(super) fn told(access: &Access, identity: &Identity, directory: &Path, cluster: &str) {
    let Identity { cluster: name, member, uuid } = identity;
    if access.json {
        return println!("{}", json!({ "cluster": name, "member": member, "uuid": uuid }));
    }
    println!("{} is that of member {member} of cluster {name}. Start it:", directory.display());
    println!("  selvedge --data-dir {} --cluster {cluster}", directory.display());
}
