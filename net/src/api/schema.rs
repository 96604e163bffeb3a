//! The shapes of `/ws.v1` as documented: what [`super::kinds`] serves, and what is computed about it.
//!
//! The configurations (`...Config`) mirror the types of `selvedge_core::nib`, which do the reading and writing; that
//! both have the same fields is kept by hand, but for those that lists filter by. The statuses are serialised from
//! here. What every object carries (`uuid`, `type`, `_href`, `_schema`, and name and tags) is added in one place,
//! [`super::openapi`].

mod counters;
mod gateway;
mod policy;
mod router;
mod services;

pub use counters::*;
pub use gateway::*;
pub use policy::*;
pub use router::*;
pub use services::*;

use serde::Serialize;
use utoipa::ToSchema;

/// A word that another program hangs on an object.
#[derive(ToSchema)]
pub struct Tag {
    /// What the tag is about.
    #[schema(max_length = 20)]
    pub scope: Option<String>,
    /// The word.
    #[schema(max_length = 40)]
    pub tag: String,
}

/// Transport nodes that can reach each other over IP.
#[derive(ToSchema)]
pub struct TransportZoneConfig {}

/// A machine whose Open vSwitch is programmed.
#[derive(ToSchema)]
pub struct TransportNodeConfig {
    /// If false the node takes no part: nothing is sent to it, and nothing is sent through it.
    #[schema(default = true)]
    pub admin_status_enabled: Option<bool>,
    /// Name of the bridge that VIFs are plugged into; `br-int` if empty.
    #[schema(max_length = 40)]
    pub integration_bridge_id: Option<String>,
    /// How the node is recognised when it connects. Left out of a PUT, it stays.
    pub credential: Option<Credential>,
    /// Where its tunnels end.
    #[schema(max_items = 32)]
    pub transport_connectors: Option<Vec<TransportConnector>>,
    /// Kept and returned; not carried out.
    pub mgmt_rendezvous_client: Option<bool>,
    /// Kept and returned; not carried out.
    pub mgmt_rendezvous_server: Option<bool>,
    /// Kept and returned; not carried out.
    pub zone_forwarding: Option<bool>,
    /// Kept and returned; not carried out.
    pub tunnel_probe_random_vlan: Option<bool>,
    /// Kept and returned; not carried out.
    pub vtep_enabled: Option<bool>,
}

/// How a transport node is recognised.
#[derive(ToSchema)]
#[serde(tag = "type")]
pub enum Credential {
    /// By the certificate it shows in TLS.
    #[serde(rename = "SecurityCertificateCredential")]
    SecurityCertificate {
        /// That certificate.
        client_certificate: Certificate,
    },
    /// By the address it connects from. Only where plain `tcp:` is switched on.
    #[serde(rename = "MgmtAddrCredential")]
    ManagementAddress {
        /// That address.
        mgmt_address: String,
    },
}

/// An X.509 certificate, version 3.
#[derive(ToSchema)]
pub struct Certificate {
    /// RFC 7468 text, with one certificate in it.
    pub pem_encoded: String,
}

/// Where a transport node's tunnels of one encapsulation end, in one zone.
#[derive(ToSchema)]
pub struct TransportConnector {
    /// Which encapsulation.
    #[schema(inline)]
    pub r#type: ConnectorType,
    /// The zone.
    #[schema(format = "uuid")]
    pub transport_zone_uuid: String,
    /// The outer address.
    pub ip_address: String,
}

/// Which encapsulation a connector speaks. The IPsec ones and the bridge are kept and returned, not carried out.
#[derive(ToSchema)]
#[allow(missing_docs)]
pub enum ConnectorType {
    GeneveConnector,
    VXLANConnector,
    GREConnector,
    STTConnector,
    IPsecGREConnector,
    IPsecSTTConnector,
    BridgeConnector,
}

/// A tenant's L2 network.
#[derive(ToSchema)]
pub struct LogicalSwitchConfig {
    /// Ports of the switch do not reach each other, only uplinks.
    #[schema(default = false)]
    pub port_isolation_enabled: Option<bool>,
    /// Over which zones and encapsulations; the first that both ends have is used. Empty: any that they have.
    #[schema(max_items = 32)]
    pub transport_zones: Option<Vec<TransportZoneBinding>>,
    /// Who makes the copies of group frames: `service` or `source`.
    #[schema(inline)]
    pub replication_mode: Option<ReplicationMode>,
}

/// Who makes the copies of broadcast, unknown and multicast frames.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationMode {
    /// A service node; while there is none, the source.
    Service,
    /// The transport node that sends.
    Source,
}

/// A zone that a logical switch spans, and how frames travel in it.
#[derive(ToSchema)]
pub struct TransportZoneBinding {
    /// The zone.
    #[schema(format = "uuid")]
    pub zone_uuid: String,
    /// How frames travel; `stt` if left out.
    #[schema(inline)]
    pub transport_type: Option<TransportType>,
    /// What else the transport needs. Kept and returned; not carried out.
    pub binding_config: Option<BindingConfig>,
}

/// How the frames of a logical switch travel. The IPsec ones and the bridge are kept and returned, not carried out.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum TransportType {
    Geneve,
    Vxlan,
    Gre,
    Stt,
    Bridge,
    IpsecGre,
    IpsecStt,
}

/// What a transport needs beyond its type.
#[derive(ToSchema)]
pub struct BindingConfig {
    /// VLANs of a bridged transport.
    pub vlan_translation: Option<Vec<TransportNumber>>,
    /// VXLAN network identifiers.
    pub vxlan_transport: Option<Vec<TransportNumber>>,
}

/// A VLAN or a VXLAN network identifier.
#[derive(ToSchema)]
pub struct TransportNumber {
    /// The number.
    pub transport: Option<u32>,
}

/// A port of a logical switch.
#[derive(ToSchema)]
pub struct LogicalSwitchPortConfig {
    /// If false, nothing passes.
    #[schema(default = true)]
    pub admin_status_enabled: Option<bool>,
    /// For people: unique on the switch; the lowest free one if not given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub portno: Option<u32>,
    /// Kept and returned; not carried out.
    #[schema(format = "uuid")]
    pub queue_uuid: Option<String>,
    /// Uuids. Kept and returned; not carried out.
    #[schema(max_items = 32)]
    pub security_profiles: Option<Vec<String>>,
    /// IP addresses. Kept and returned; not carried out.
    #[schema(max_items = 3)]
    pub mirror_targets: Option<Vec<String>>,
    /// Source addresses that may enter by the port; none means any.
    #[schema(max_items = 256)]
    pub allowed_address_pairs: Option<Vec<AddressPair>>,
    /// Several MAC addresses may live behind the port: frames to unknown ones are sent to it. Absent until given.
    pub mac_learning: Option<bool>,
}

/// A source that port security allows.
#[derive(ToSchema)]
pub struct AddressPair {
    /// The Ethernet source: six bytes in hex, with colons between.
    pub mac_address: String,
    /// The IP source: an address or a prefix; none means any.
    pub ip_address: Option<String>,
}

/// What is known of a logical switch.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct LogicalSwitchStatus {
    /// Every transport node that has one of its ports is connected and without problems.
    pub fabric_status: bool,
    /// How many ports it has.
    pub lport_count: u64,
    /// How many of them are administratively up.
    pub lport_admin_up_count: u64,
    /// How many of them have their VIF on some transport node.
    pub lport_link_up_count: u64,
    /// How many of them can carry traffic.
    pub lport_fabric_up_count: u64,
}

/// What is known of a port of a logical switch; its switch is embedded as `lswitch`.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogicalSwitchPortStatus {
    /// As configured.
    pub admin_status_enabled: bool,
    /// The same, by the name that some clients read.
    pub admin_status_up: bool,
    /// Its VIF is on some transport node that takes part.
    pub link_status_up: bool,
    /// And that node is connected, without problems, and holds the port's latest change.
    pub fabric_status_up: bool,
    /// Where its VIF is held to be.
    #[schema(format = "uuid")]
    pub transport_node_uuid: Option<String>,
    /// The interface there.
    pub vif_interface: Option<String>,
    /// That node is known to hold the port's latest change, and all of it is carried out.
    pub realised: bool,
    /// Fields that say something which this release keeps and returns, and does not carry out.
    pub not_carried_out: Vec<String>,
    /// The revision of the port's latest change.
    pub desired_revision: u64,
    /// Why `fabric_status_up` is false, for an operator.
    pub reason: Option<String>,
}

/// What is known of a transport node.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransportNodeStatus {
    /// Its sessions.
    pub connection: ConnectionStatus,
    /// The revision up to which it lacks nothing; null while nobody has looked.
    pub realised_revision: Option<u64>,
    /// The revision of the whole configuration, to compare with.
    pub config_revision: u64,
    /// What is wrong with it, each a sentence for an operator.
    pub problems: Vec<String>,
    /// What was found changed behind the controller's back and put right: the last few, newest last.
    pub repairs: Vec<NodeRepair>,
    /// What was sent to it since the controller started.
    pub counters: NodeCounters,
    /// Its Open vSwitch, as reported.
    pub ovs_version: Option<String>,
    /// How many VIFs it reports.
    pub vif_count: u64,
    /// The number of the controller that writes to it; none if there is only one.
    pub owner: Option<u64>,
    /// The number of the controller that takes over if that one fails.
    pub standby: Option<u64>,
    /// The mastership, counted up with each new owner of any node.
    pub epoch: u64,
}

/// The sessions of a transport node.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionStatus {
    /// Both are up.
    pub connected: bool,
    /// The OVSDB session, if it is up.
    pub ovsdb: Option<SessionStatus>,
    /// The OpenFlow session, if it is up.
    pub openflow: Option<SessionStatus>,
}

/// A session that is up.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionStatus {
    /// Where it comes from: address and port.
    pub peer: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Something put right.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeRepair {
    /// When, RFC 3339.
    pub at: String,
    /// What, in words.
    pub what: String,
}

/// What was sent to a transport node since the controller started.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeCounters {
    /// Flow mods confirmed.
    pub flow_mods: u64,
    /// Group mods confirmed.
    pub group_mods: u64,
    /// Bundles confirmed.
    pub bundles: u64,
    /// OVSDB transactions confirmed.
    pub ovsdb_transactions: u64,
    /// OpenFlow sessions that came up.
    pub openflow_sessions: u64,
    /// OVSDB sessions that came up.
    pub ovsdb_sessions: u64,
    /// Repairs of what was changed behind the controller's back.
    pub repairs: u64,
}

/// Whether the transport nodes hold what was configured.
#[derive(Debug, Serialize, ToSchema)]
pub struct Realisation {
    /// The revision asked for.
    pub revision: u64,
    /// Every transport node that takes part holds it.
    pub realised: bool,
    /// Those that do not.
    pub late: Vec<LateNode>,
}

/// A transport node that does not hold a revision yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct LateNode {
    /// The node.
    #[schema(format = "uuid")]
    pub transport_node_uuid: String,
    /// Its name.
    pub display_name: String,
    /// The revision up to which it lacks nothing; null while nobody has looked.
    pub realised_revision: Option<u64>,
    /// Why it is late, for an operator.
    pub reason: String,
}

/// The state of the control cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlClusterStatus {
    /// `stable`, `joining` or `unstable`.
    pub cluster_status: String,
    /// Transport nodes: active are connected and without problems.
    pub node_stats: ObjectStats,
    /// Transport zones.
    pub zone_stats: ObjectStats,
    /// Logical switches: active are those whose fabric works.
    pub switch_stats: ObjectStats,
    /// Logical switch ports: active can carry traffic, those in error are plugged in and cannot.
    pub port_stats: ObjectStats,
    /// Logical routers: kept, and not carried out.
    pub router_stats: ObjectStats,
    /// Ports of logical routers: kept, and not carried out.
    pub routerport_stats: ObjectStats,
    /// Logical queues: kept, and not carried out.
    pub queue_stats: ObjectStats,
    /// Security profiles: kept, and not carried out.
    pub security_profile_stats: ObjectStats,
    /// What the cluster does.
    pub configured_roles: Vec<ConfiguredRole>,
}

/// How many objects of a kind there are, and how they do.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ObjectStats {
    /// How many work.
    pub active_count: u64,
    /// How many there are.
    pub registered_count: u64,
    /// How many should work and do not.
    pub error_state_count: u64,
}

/// Something that the cluster does.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfiguredRole {
    /// What.
    pub role: String,
    /// The version that most members run.
    pub majority_version: String,
}

/// A member of the control cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlClusterNodeConfig {
    /// Its name in the cluster.
    #[schema(format = "uuid")]
    pub uuid: String,
    /// For people.
    pub display_name: String,
    /// Its number in the cluster.
    pub member: u64,
    /// Where other controllers reach it, if there are or may be any: address and port.
    pub address: Option<String>,
    /// What it does.
    pub roles: Vec<NodeRole>,
}

/// How the cluster is, as its leader sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterMembers {
    /// Whether a majority of those that vote are well: without it nothing can be changed.
    pub has_majority: bool,
    /// How many vote; 0 if no leader was found.
    pub voters: usize,
    /// How many of them are well.
    pub voters_well: usize,
    /// Which leadership it is, counted from 1.
    pub term: Option<u64>,
    /// All controllers.
    pub members: Vec<ClusterMember>,
}

/// How a controller is, as the leader sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClusterMember {
    /// Its number.
    pub member: u64,
    /// Its name.
    #[schema(format = "uuid")]
    pub uuid: String,
    /// Where other controllers reach it.
    pub address: Option<String>,
    /// `leader`, `voter`, `learner` (it has no vote yet) or `unknown`.
    pub role: String,
    /// Whether it answers, and has nearly everything.
    pub is_well: bool,
    /// How many milliseconds ago the leader heard of it.
    pub heard_ms: Option<u64>,
    /// How many entries of the log it lacks.
    pub lacks: Option<u64>,
    /// Whether the cluster goes on taking changes while this one is away: it is safe to restart.
    pub can_be_spared: bool,
    /// To how many transport nodes it writes.
    pub owned_nodes: usize,
    /// For how many it stands by.
    pub standby_nodes: usize,
    /// Whether it is to have no transport nodes.
    pub is_drained: bool,
    /// Whether it is the one that was asked.
    pub answers_here: bool,
}

/// Something that a member does.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeRole {
    /// What.
    pub role: String,
    /// Where, if others connect for it: `pssl:<address>:<port>` is TLS, `ptcp` plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_addr: Option<String>,
}

/// The state of a member of the control cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct ControlClusterNodeStatus {
    /// What it runs.
    pub version: String,
    /// How far its configuration is.
    pub revision: u64,
}

/// A peer that connected as a transport node and was turned away.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedPeer {
    /// Where it came from, last time: address and port.
    pub peer: String,
    /// What it spoke: `ovsdb` or `openflow`.
    pub protocol: String,
    /// Why it was refused.
    pub why: String,
    /// SHA-256 of its certificate in hex, if it showed one.
    pub fingerprint: Option<String>,
    /// How often.
    pub count: u64,
    /// When last, RFC 3339.
    pub last: String,
}

/// What is known of something that has no status of its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResourceStatus {
    /// Whether the network does what it says.
    pub realised: bool,
    /// Why not, for an operator.
    pub reason: Option<String>,
}

/// A user of the API.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserConfig {
    /// The login name.
    pub name: String,
    /// `admin`, `operator` (may read everything) or `tenant`.
    pub role: String,
    /// What a tenant is bound to: they see and change what carries one of these, and what belongs to that.
    #[schema(value_type = Vec<Tag>)]
    pub tags: Vec<selvedge_core::nib::Tag>,
}

/// How a user is to be. A new one needs a password and a role.
#[derive(ToSchema)]
pub struct UserWish {
    /// As in the path.
    pub name: Option<String>,
    /// Left out, it stays.
    #[schema(min_length = 8, max_length = 1024)]
    pub password: Option<String>,
    /// `admin`, `operator` or `tenant`. Left out, it stays.
    pub role: Option<String>,
    /// What a tenant is bound to.
    #[schema(max_items = 16)]
    pub tags: Option<Vec<Tag>>,
}

/// What a user did, or was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// The revision that it made.
    pub revision: u64,
    /// When it was asked for, RFC 3339.
    pub at: String,
    /// Who.
    pub user: String,
    /// By which request: `X-Request-Id` of the answer, and in logs.
    pub request: String,
    /// What: `create`, `update`, `delete`, `attach`, or what else changes.
    pub action: String,
    /// To what kind of resource, if it was one.
    pub kind: Option<String>,
    /// To which.
    pub uuid: Option<String>,
    /// To what, if it was no resource: a user, a controller.
    pub name: Option<String>,
    /// Why not, if it was refused.
    pub refused: Option<String>,
}

/// Whether users may only read.
#[derive(ToSchema)]
pub struct Maintenance {
    /// Changes are refused, with 403.
    pub is_read_only: bool,
}

/// Why a request was not carried out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Error {
    /// One sentence.
    pub error: String,
    /// One word for programs.
    pub code: String,
}
