//! Configuration: a file, the environment, flags; each stronger than the one before.
//!
//! All three know the same keys. What is not known is an error that names it. Start at [`Config::gather`].

use crate::api::auth::Rate;
use clap::Args;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Environment variables that begin so are ours.
const PREFIX: &str = "SELVEDGE_CONTROLLER_";

/// The keys, as a file or flags give them; flags fall back to the environment.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// File with these keys in TOML (data_dir = "...", api = "...")
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONTROLLER_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where state is kept: NIB, certificate authority, first password
    #[arg(long, value_name = "DIR", env = "SELVEDGE_CONTROLLER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The northbound API, HTTPS [default: 0.0.0.0:7443]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_API")]
    pub api: Option<SocketAddr>,
    /// OVSDB over TLS, for `ovs-vsctl set-manager ssl:...` [default: 0.0.0.0:6640]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_OVSDB")]
    pub ovsdb: Option<SocketAddr>,
    /// OpenFlow over TLS; switches are told by OVSDB [default: 0.0.0.0:6653]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_OPENFLOW")]
    pub openflow: Option<SocketAddr>,
    /// Where other controllers of the cluster reach this one, over TLS [default: there are no others]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_CLUSTER")]
    pub cluster: Option<SocketAddr>,
    /// OVSDB without TLS: nodes are known by their address alone. Off unless given
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_OVSDB_TCP")]
    pub ovsdb_tcp: Option<SocketAddr>,
    /// OpenFlow without TLS. Off unless given
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_CONTROLLER_OPENFLOW_TCP")]
    pub openflow_tcp: Option<SocketAddr>,
    /// A name or address that clients use, for the certificate, beside those this machine has; may be repeated
    #[arg(long, value_name = "NAME", env = "SELVEDGE_CONTROLLER_NAMES", value_delimiter = ',')]
    #[serde(default)]
    pub names: Vec<String>,
    /// The API's Server header, from which clients derive the dialect they speak [default: NVP/4.2.1.35000]
    #[arg(long, value_name = "WORD/VERSION", env = "SELVEDGE_CONTROLLER_SERVER")]
    pub server: Option<String>,
    /// How many requests each tenant may send a second, and twice as many at once after a pause; a change counts as ten
    /// [default: 100]
    #[arg(long, value_name = "REQUESTS", env = "SELVEDGE_CONTROLLER_TENANT_RATE")]
    pub tenant_rate: Option<NonZeroU32>,
    /// What to log: a level, or targets with levels [default: info,openraft=warn]
    #[arg(long, value_name = "FILTER", env = "SELVEDGE_CONTROLLER_LOG")]
    pub log: Option<String>,
    /// How to log: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "SELVEDGE_CONTROLLER_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// An object a line.
    Json,
}

/// The configuration of a controller, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// The northbound API.
    pub api: SocketAddr,
    /// OVSDB over TLS.
    pub ovsdb: SocketAddr,
    /// OpenFlow over TLS.
    pub openflow: SocketAddr,
    /// Where other controllers reach this one, if there are or may be any.
    pub cluster: Option<SocketAddr>,
    /// OVSDB without TLS.
    pub ovsdb_tcp: Option<SocketAddr>,
    /// OpenFlow without TLS.
    pub openflow_tcp: Option<SocketAddr>,
    /// More names for the certificate.
    pub names: Vec<String>,
    /// The API's `Server` header.
    pub server: String,
    /// How many requests each tenant may send.
    pub tenant_rate: Rate,
    /// What to log.
    pub log: String,
    /// How to log.
    pub log_format: LogFormat,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}: {why}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file is not what it should be; the message names key and line.
    #[error("configuration file {}: {why}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An environment variable of ours that nobody knows.
    #[error("environment variable {0} is not known; known are {known}", known = KNOWN.map(|key| format!("{PREFIX}{key}")).join(", "))]
    UnknownVariable(String),
    /// Other controllers are to reach this one at an address that is none.
    #[error("cluster = {0}: it is told to other controllers, so it must be one address of this machine and a port")]
    NotReachable(SocketAddr),
    /// There is no place for the data directory.
    #[error("no home directory to keep state in: give --data-dir")]
    NoDataDir,
}

const KNOWN: [&str; 13] = [
    "CLUSTER",
    "CONFIG",
    "DATA_DIR",
    "API",
    "OVSDB",
    "OPENFLOW",
    "OVSDB_TCP",
    "OPENFLOW_TCP",
    "NAMES",
    "SERVER",
    "TENANT_RATE",
    "LOG",
    "LOG_FORMAT",
];

impl Config {
    /// The configuration from flags (which have fallen back to the environment already), then the file they name, then
    /// defaults. `variables` are the names of all environment variables.
    ///
    /// # Errors
    /// If the file is unreadable, or a key is unknown.
    pub fn gather(flags: Options, variables: impl Iterator<Item = String>) -> Result<Config, ConfigError> {
        let ours = |name: &String| name.strip_prefix(PREFIX).is_some_and(|key| !KNOWN.contains(&key));
        if let Some(unknown) = variables.into_iter().find(ours) {
            return Err(ConfigError::UnknownVariable(unknown));
        }
        let file = match &flags.config {
            Some(path) => read(path)?,
            None => Options::default(),
        };
        let everywhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Ok(Config {
            data_dir: flags.data_dir.or(file.data_dir).or_else(default_data_dir).ok_or(ConfigError::NoDataDir)?,
            api: flags.api.or(file.api).unwrap_or(everywhere(7443)),
            ovsdb: flags.ovsdb.or(file.ovsdb).unwrap_or(everywhere(6640)),
            openflow: flags.openflow.or(file.openflow).unwrap_or(everywhere(6653)),
            cluster: flags.cluster.or(file.cluster).map(reachable).transpose()?,
            ovsdb_tcp: flags.ovsdb_tcp.or(file.ovsdb_tcp),
            openflow_tcp: flags.openflow_tcp.or(file.openflow_tcp),
            names: if flags.names.is_empty() { file.names } else { flags.names },
            server: flags.server.or(file.server).unwrap_or_else(|| "NVP/4.2.1.35000".to_string()),
            tenant_rate: match flags.tenant_rate.or(file.tenant_rate) {
                Some(most) => Rate { per_second: most.get(), burst: most.get().saturating_mul(2) },
                None => Rate::default(),
            },
            log: flags.log.or(file.log).unwrap_or_else(|| "info,openraft=warn".to_string()),
            log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
        })
    }
}

/// An address that can be told to other controllers.
///
/// # Errors
/// If it is none that they could reach.
pub fn reachable(address: SocketAddr) -> Result<SocketAddr, ConfigError> {
    let is_one = !address.ip().is_unspecified() && address.port() != 0;
    is_one.then_some(address).ok_or(ConfigError::NotReachable(address))
}

fn read(path: &Path) -> Result<Options, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Read { path: path.to_path_buf(), why })?;
    toml::from_str(&text).map_err(|why| ConfigError::Parse { path: path.to_path_buf(), why: why.to_string() })
}

/// `/var/lib/selvedge` for root, a place in the home directory for others.
pub fn default_data_dir() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    match home.as_deref() {
        Some(home) if home == Path::new("/root") => Some(PathBuf::from("/var/lib/selvedge")),
        _ => data.or_else(|| home.map(|home| home.join(".local/share"))).map(|base| base.join("selvedge")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(file: Option<&str>, flags: Options, variables: &[&str]) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("selvedge.toml");
        std::fs::write(&path, file.unwrap_or_default()).expect("written");
        let flags = Options { config: file.map(|_| path), ..flags };
        Config::gather(flags, variables.iter().map(ToString::to_string)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_the_file_than_defaults() {
        let file = "data_dir = \"/tmp/a\"\napi = \"127.0.0.1:1\"\novsdb = \"127.0.0.1:2\"\n";
        let flags = Options { api: "127.0.0.1:9".parse().ok(), ..Options::default() };
        let config = gather(Some(file), flags, &["PATH", "SELVEDGE_CONTROLLER_API"]).expect("lawful");
        assert_eq!(config.api.port(), 9);
        assert_eq!(config.ovsdb.port(), 2);
        assert_eq!(config.openflow.port(), 6653);
        assert_eq!(config.data_dir, Path::new("/tmp/a"));
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_key() {
        let error = gather(Some("data_dri = \"/tmp\"\n"), Options::default(), &[]).expect_err("refused");
        assert!(error.contains("data_dri") && error.contains("selvedge.toml"), "{error}");
        let error = gather(None, Options::default(), &["SELVEDGE_CONTROLLER_OVSDBB"]).expect_err("refused");
        assert!(error.contains("SELVEDGE_CONTROLLER_OVSDBB"), "{error}");
        let error = gather(Some("cluster = \"0.0.0.0:7440\"\n"), Options::default(), &[]).expect_err("refused");
        assert!(error.contains("0.0.0.0:7440"), "{error}");
        let error = gather(Some("api = \"here\"\n"), Options::default(), &[]).expect_err("refused");
        assert!(error.contains("api"), "{error}");
    }
}
