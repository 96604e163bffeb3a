//! What the daemon prints when it is up: where everything is, and how to attach a hypervisor. Start at [`banner`].

use super::config::Config;
use selvedge_core::ids::MemberId;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where the listeners are.
pub(super) struct Listening {
    pub api: SocketAddr,
    pub ovsdb: SocketAddr,
    pub openflow: SocketAddr,
}

/// The text. `address` is one of this machine's that others can reach.
pub(super) fn banner(
    config: &Config,
    listening: &Listening,
    number: MemberId,
    address: IpAddr,
    password: &Path,
) -> String {
    let ca = config.data_dir.join("ca.pem");
    let reached = |at: SocketAddr| match at.ip().is_unspecified() {
        true => SocketAddr::new(address, at.port()),
        false => at,
    };
    let (api, ovsdb, openflow) = (reached(listening.api), reached(listening.ovsdb), reached(listening.openflow));
    let users = match password.exists() {
        true => format!("user admin, password in {}", password.display()),
        false => "users are those of the cluster".to_string(),
    };
    let cluster =
        config.cluster.map_or_else(String::new, |at| format!("  cluster    {at}   this is member {number}\n"));
    format!(
        "Selvedge is up.

  API        https://{api}/ws.v1   {users}
  OVSDB      ssl:{ovsdb}
  OpenFlow   ssl:{openflow}
  trust      {ca}
{cluster}
To attach a hypervisor, say hv1 whose tunnels end at 192.0.2.1:
  selvedge node add hv1 --connector geneve:192.0.2.1 --out hv1-tls      here; copy hv1-tls to the hypervisor, and there:
  ovs-vsctl set-ssl $PWD/hv1-tls/hv1.key $PWD/hv1-tls/hv1.pem $PWD/hv1-tls/ca.pem
  ovs-vsctl set-manager ssl:{ovsdb}
",
        ca = ca.display(),
    )
}
