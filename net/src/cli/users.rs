//! `selvedge user`, `selvedge audit`, `selvedge maintenance`: who may do what, who did, and whether anybody may.
//!
//! Start at [`run`].

use super::Access;
use super::client::{Client, ClientError, form_encode};
use super::show::{self, Column};
use crate::runtime::{Runtime, Tokio};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::str::FromStr;

const USER_COLUMNS: [Column; 3] = [("NAME", "name"), ("ROLE", "role"), ("BOUND TO", "tags")];

const AUDIT_COLUMNS: [Column; 8] = [
    ("REVISION", "revision"),
    ("WHEN", "at"),
    ("WHO", "user"),
    ("WHAT", "action"),
    ("KIND", "kind"),
    ("UUID", "uuid"),
    ("NAME", "name"),
    ("REFUSED", "refused"),
];

/// What to do with users.
#[derive(Subcommand)]
pub enum Command {
    /// List them
    List,
    /// Add one; without a password file a password is made, and printed once
    Add {
        /// Their login name
        name: String,
        /// What they may do
        #[arg(long)]
        role: RoleWord,
        /// What a tenant is bound to; may be repeated. They see and change what carries one of these tags
        #[arg(long = "tag", value_name = "SCOPE=TAG")]
        tags: Vec<TagWord>,
        /// File with the password
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Give one a new password: their sessions end; without a password file one is made, and printed once
    Password {
        /// Their login name
        name: String,
        /// File with the password
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Change what one may do
    Role {
        /// Their login name
        name: String,
        /// What they may do from now on
        role: RoleWord,
        /// What a tenant is bound to; may be repeated
        #[arg(long = "tag", value_name = "SCOPE=TAG")]
        tags: Vec<TagWord>,
    },
    /// Remove one: their sessions end
    Remove {
        /// Their login name
        name: String,
    },
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Everything
    Admin,
    /// See everything
    Operator,
    /// See and change what is theirs
    Tenant,
}

impl RoleWord {
    fn word(self) -> &'static str {
        match self {
            RoleWord::Admin => "admin",
            RoleWord::Operator => "operator",
            RoleWord::Tenant => "tenant",
        }
    }
}

/// `SCOPE=TAG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagWord {
    scope: String,
    tag: String,
}

impl FromStr for TagWord {
    type Err = String;

    fn from_str(word: &str) -> Result<TagWord, String> {
        match word.split_once('=') {
            Some((scope, tag)) if !tag.is_empty() => Ok(TagWord { scope: scope.into(), tag: tag.into() }),
            _ => Err("must read SCOPE=TAG, as os_tid=6f1c".to_string()),
        }
    }
}

fn tags(words: &[TagWord]) -> Vec<Value> {
    words.iter().map(|word| json!({ "scope": word.scope, "tag": word.tag })).collect()
}

/// The password in a file, or one that nobody has seen; and whether it must be told.
fn password(file: Option<&Path>) -> Result<(String, bool), ClientError> {
    match file {
        Some(path) => Ok((super::client::read(path, "")?.trim_end().to_string(), false)),
        None => Ok((Tokio::uuid().simple().to_string(), true)),
    }
}

fn path(name: &str) -> String {
    format!("/ws.v1/user/{}", form_encode(name))
}

/// Does it.
pub(super) fn run(client: &Client, access: &Access, command: Command) -> Result<(), ClientError> {
    match command {
        Command::List => {
            show::table(access.json, &USER_COLUMNS, &client.list("/ws.v1/user")?);
            Ok(())
        }
        Command::Add { name, role, tags: words, new_password_file } => {
            let wish = json!({ "role": role.word(), "tags": tags(&words) });
            put(client, access, &name, wish, Some(password(new_password_file.as_deref())?))
        }
        Command::Password { name, new_password_file } => {
            put(client, access, &name, json!({}), Some(password(new_password_file.as_deref())?))
        }
        Command::Role { name, role, tags: words } => {
            put(client, access, &name, json!({ "role": role.word(), "tags": tags(&words) }), None)
        }
        Command::Remove { name } => client.delete(&path(&name)),
    }
}

fn put(
    client: &Client,
    access: &Access,
    name: &str,
    mut wish: Value,
    password: Option<(String, bool)>,
) -> Result<(), ClientError> {
    if let Some((password, _)) = &password {
        wish["password"] = password.as_str().into();
    }
    let mut user = client.put(&path(name), &wish)?;
    let made = password.filter(|(_, is_made)| *is_made).map(|(password, _)| password);
    match (access.json, made) {
        (true, made) => {
            if let Some(made) = made {
                user["password"] = made.into();
            }
            println!("{user}");
        }
        (false, Some(made)) => println!("password: {made}"),
        (false, None) => {}
    }
    Ok(())
}

/// Prints what users did, oldest first.
pub(super) fn audit(client: &Client, access: &Access, since: u64) -> Result<(), ClientError> {
    let mut entries: Vec<Value> = Vec::new();
    let mut since = since;
    loop {
        let page = client.get(&format!("/ws.v1/audit?since={since}&_page_length=1000"))?;
        let results = page["results"].as_array().cloned().unwrap_or_default();
        match results.last().and_then(|last| last["revision"].as_u64()) {
            Some(last) => since = last,
            None => break,
        }
        entries.extend(results);
    }
    show::table(access.json, &AUDIT_COLUMNS, &entries);
    Ok(())
}

/// What is said of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Users may only read
    On,
    /// Users may change things again
    Off,
}

/// Tells, or changes, whether users may only read.
pub(super) fn maintenance(client: &Client, access: &Access, switch: Option<Switch>) -> Result<(), ClientError> {
    const PATH: &str = "/ws.v1/control-cluster/maintenance";
    let now = match switch {
        Some(switch) => client.put(PATH, &json!({ "is_read_only": switch == Switch::On }))?,
        None => client.get(PATH)?,
    };
    match (access.json, now["is_read_only"] == true) {
        (true, _) => println!("{now}"),
        (false, true) => println!("maintenance is on: users may only read (end it with: selvedge maintenance off)"),
        (false, false) => println!("maintenance is off"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_or_refused() {
        let read = |word: &str| word.parse::<TagWord>();
        assert_eq!(read("os_tid=a=b"), Ok(TagWord { scope: "os_tid".into(), tag: "a=b".into() }));
        assert_eq!(read("=a").map(|word| word.scope), Ok(String::new()));
        assert!(read("os_tid").is_err() && read("os_tid=").is_err());
    }
}
