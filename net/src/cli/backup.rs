//! `selvedge backup` and `selvedge restore`. Start at [`backup`] and [`restore`].

use super::Access;
use super::client::{Client, ClientError};
use super::cluster::{directory, other, told};
use crate::daemon::backup::Backup;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes everything that the cluster knows into a new file, which nobody else may read.
pub(super) fn backup(client: &Client, file: &Path) -> Result<(), ClientError> {
    let text = client.download("/ws.v1/control-cluster/backup")?;
    // What cannot be restored is no backup.
    let read = Backup::read(&text).map_err(|error| other(format!("what the controller sent: {error}")))?;
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()
    };
    write().map_err(|why| ClientError::File { path: file.to_path_buf(), why, hint: "" })?;
    let (revision, bytes) = (read.nib.revision(), text.len());
    println!("{}: cluster {} at revision {revision}, {bytes} bytes", file.display(), read.cluster);
    println!("It holds the key of the certificate authority: keep it as you keep that.");
    Ok(())
}

/// Makes an empty data directory that of a cluster which begins anew from a backup.
pub(super) fn restore(access: &Access, file: &Path) -> Result<(), ClientError> {
    let directory = directory(access)?;
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|why| ClientError::File { path: file.to_path_buf(), why, hint: "" })?;
    let backup = Backup::read(&text).map_err(|error| other(format!("{}: {error}", file.display())))?;
    let identity = backup.restore(&directory).map_err(other)?;
    told(access, &identity, &directory, "ADDR:PORT");
    Ok(())
}
