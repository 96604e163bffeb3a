//! Backups: the whole NIB and the certificate authority in one file, and a data directory made of it. Start at [`Backup`].
//!
//! The file is two lines of JSON: what it is, with a checksum over everything, and the NIB. Who has it can sign as the
//! authority does, so it is to be kept as the authority's key is.

use super::DaemonError;
use super::enrol::{open, store_error};
use super::start::make_directory;
use crate::cluster::types::beginning;
use crate::runtime::{Runtime, Tokio};
use crate::store::Identity;
use crate::tls::{AuthorityFiles, CA_FILE};
use selvedge_core::nib::Nib;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// The format that is written; earlier ones can be read, when there are any.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    selvedge_backup: u32,
    cluster: Uuid,
    revision: u64,
    bytes: usize,
    crc32: u32,
    authority: AuthorityFiles,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The cluster.
    pub cluster: Uuid,
    /// Its certificate authority, which its switches trust.
    pub authority: AuthorityFiles,
    /// Everything else.
    pub nib: Nib,
}

/// Why a file is no backup that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("it is no backup: {0}")]
    Foreign(String),
    /// It was made by a later release.
    #[error("it has format {0}, and this release reads up to {FORMAT}")]
    FromTheFuture(u32),
    /// It is not all there, or was changed.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

fn checksum(authority: &AuthorityFiles, nib: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    [&authority.certificate, &authority.key, nib].iter().for_each(|part| hasher.update(part.as_bytes()));
    hasher.finalize()
}

impl Backup {
    /// The text of its file.
    ///
    /// # Errors
    /// If the NIB cannot be written as JSON.
    pub fn text(&self) -> serde_json::Result<String> {
        let nib = serde_json::to_string(&self.nib)?;
        let head = Head {
            selvedge_backup: FORMAT,
            cluster: self.cluster,
            revision: self.nib.revision().0,
            bytes: nib.len(),
            crc32: checksum(&self.authority, &nib),
            authority: self.authority.clone(),
        };
        Ok(format!("{}\n{nib}\n", serde_json::to_string(&head)?))
    }

    /// What the text of a file says.
    ///
    /// # Errors
    /// If it is no backup, or not a whole one.
    pub fn read(text: &str) -> Result<Backup, BackupError> {
        let (head, nib) = text.split_once('\n').unwrap_or((text, ""));
        let foreign = |error: serde_json::Error| BackupError::Foreign(error.to_string());
        let value: serde_json::Value = serde_json::from_str(head).map_err(foreign)?;
        let format = value["selvedge_backup"].as_u64().and_then(|format| u32::try_from(format).ok());
        match format {
            None => return Err(BackupError::Foreign("its first line does not say selvedge_backup".to_string())),
            Some(FORMAT) => {}
            Some(other) => return Err(BackupError::FromTheFuture(other)),
        }
        let head: Head = serde_json::from_value(value).map_err(foreign)?;
        let nib = nib.trim_end_matches('\n');
        if nib.len() != head.bytes {
            return Err(BackupError::Damaged(format!("it has {} bytes of {}", nib.len(), head.bytes)));
        }
        if checksum(&head.authority, nib) != head.crc32 {
            return Err(BackupError::Damaged("its checksum is wrong".to_string()));
        }
        let nib: Nib = serde_json::from_str(nib).map_err(|error| BackupError::Damaged(error.to_string()))?;
        Ok(Backup { cluster: head.cluster, authority: head.authority, nib: nib.reindexed() })
    }

    /// Makes a data directory of it: that of the first controller of the cluster, which begins anew.
    ///
    /// # Errors
    /// If the directory is a controller's already, or the disk fails.
    pub fn restore(self, directory: &Path) -> Result<Identity, DaemonError> {
        make_directory(directory)?;
        let store = open(directory)?;
        let failed = |why| store_error(directory, why);
        let is_used = store.owner().map_err(failed)?.is_some() || store.last().map_err(failed)?.is_some();
        if is_used || directory.join(CA_FILE).exists() {
            return Err(DaemonError::InUse { path: directory.to_path_buf() });
        }
        self.authority.install(directory)?;
        let (nib, member) = self.nib.restored();
        store.save_snapshot(&beginning(member), &nib).map_err(failed)?;
        // Last: without it the directory is nobody's, and may be made anew when it was emptied.
        let identity = Identity { cluster: self.cluster, member, uuid: Tokio::uuid() };
        store.save_identity(&identity).map_err(failed)?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MemberConfig;
    use crate::controller::{Started, start};
    use crate::tls::Authority;
    use selvedge_core::nib::{Command, Southbound};

    fn backup(directory: &Path) -> Backup {
        let (authority, _) = Authority::open(directory).expect("made");
        let mut nib = Nib::default();
        nib.apply(&Command::SetUser { name: "ada".into(), password_hash: String::new() }).expect("lawful");
        let cluster = authority.fingerprint().cluster();
        Backup { cluster, authority: authority.files().clone(), nib }
    }

    #[test]
    fn backups_survive_being_written_and_damage_is_named() {
        let directory = tempfile::tempdir().expect("made");
        let made = backup(directory.path());
        let text = made.text().expect("JSON");
        assert_eq!(Backup::read(&text), Ok(made));
        let check = |text: &str, why: &str| {
            let error = Backup::read(text).expect_err("no backup").to_string();
            assert!(error.contains(why), "{error}");
        };
        check("", "no backup");
        check("{}", "does not say selvedge_backup");
        check(&text.replacen("_backup\":1", "_backup\":2", 1), "has format 2");
        check(&text[..text.len() - 9], "it is damaged: it has");
        check(&text.replace("ada", "eve"), "checksum");
        check(&text.replacen("BEGIN PRIVATE", "BEGIN private", 1), "checksum");
    }

    #[tokio::test]
    async fn a_controller_starts_on_what_was_restored_and_only_an_empty_directory_is_taken() {
        let (old, new) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let made = backup(old.path());
        let identity = made.clone().restore(new.path()).expect("it is empty");
        let again = made.restore(new.path()).expect_err("it is not empty any more").to_string();
        assert!(again.contains("give an empty one"), "{again}");
        assert!(identity.member.0 >= 1_000);
        let store = open(new.path()).expect("it is whole");
        let config = MemberConfig {
            identity,
            address: None,
            southbound: Southbound::default(),
            mutual: None,
            snapshot_every: 1_000,
        };
        let Started { handle, core, .. } = start::<Tokio>(store, &config).await.expect("it starts");
        Tokio::spawn("core", async move { core.await.expect("the store works") });
        assert!(handle.read(|state| state.nib.user("ada").is_some()));
        let before = handle.read(|state| state.nib.revision());
        let set = Command::SetUser { name: "eve".into(), password_hash: String::new() };
        assert!(handle.submit(set).await.expect("it leads") > before);
    }
}
