//! What is known of switches, ports and transport nodes, as opposed to what was configured.
//!
//! All of it is computed from the controller's state at the moment of asking; nothing here is stored. A port is up
//! when its VIF was seen, and fabric-up when the transport node that has it is connected, without problems, and
//! holds the port's latest change: "up" is never said too early.
//!
//! Start at [`logical_port`]; [`down`] gives the reasons.

use super::schema::{
    ConnectionStatus, LogicalRouterPortStatus, LogicalRouterStatus, LogicalSwitchPortStatus, LogicalSwitchStatus,
    NodeCounters, NodeRepair, ResourceStatus, SessionStatus, TransportNodeStatus,
};
use crate::controller::{Connection, NodeState, State};
use selvedge_core::ids::Revision;
use selvedge_core::nib::{Attachment, Kind, Location, PortRecord};
use std::time::SystemTime;
use uuid::Uuid;

/// A time for people and programs: RFC 3339, UTC.
pub(super) fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// The status of a logical port.
pub(super) fn logical_port(state: &State, uuid: Uuid) -> Option<LogicalSwitchPortStatus> {
    let port = state.nib.ports().get(&uuid)?;
    let location = state.nib.port_location(port);
    let reason = down(state, port, location.as_ref());
    let node = location.as_ref().map(|location| location.node);
    let not_carried_out = port.config.not_carried_out();
    let holds = node.and_then(|node| state.nodes.get(&node)).is_some_and(|node| holds(node, port.touched));
    Some(LogicalSwitchPortStatus {
        admin_status_enabled: port.config.admin_status_enabled,
        admin_status_up: port.config.admin_status_enabled,
        link_status_up: location.is_some(),
        fabric_status_up: reason.is_none(),
        transport_node_uuid: node.map(|node| node.to_string()),
        vif_interface: location.as_ref().map(|location| location.claim.observed.interface.clone()),
        realised: holds && not_carried_out.is_empty(),
        not_carried_out: not_carried_out.into_iter().map(String::from).collect(),
        desired_revision: port.touched.0,
        reason,
    })
}

/// Whether a port's traffic can pass, as far as its own transport node is concerned.
pub(super) fn fabric_up(state: &State, port: &PortRecord) -> bool {
    down(state, port, state.nib.port_location(port).as_ref()).is_none()
}

/// Why a port is not up, for an operator; nothing if it is.
fn down(state: &State, port: &PortRecord, location: Option<&Location<'_>>) -> Option<String> {
    if !port.config.admin_status_enabled {
        return Some("the port is administratively down".into());
    }
    let Some(location) = location else { return Some(unplugged(&port.attachment)) };
    let node = match state.nodes.get(&location.node) {
        None => Err("has not connected since the controller started".to_string()),
        Some(node) => match trouble(node) {
            Some(trouble) => Err(trouble),
            None if !holds(node, port.touched) => Err("does not hold the port's latest change yet".into()),
            None => Ok(()),
        },
    };
    node.err().map(|why| format!("transport node {} {why}", location.node))
}

/// Whether something does not work though it should.
pub(super) fn alert(state: &State, kind: Kind, uuid: Uuid) -> bool {
    match kind {
        Kind::TransportNode => state.nib.nodes().get(&uuid).is_some_and(|record| {
            let troubled = state.nodes.get(&uuid).is_none_or(|node| trouble(node).is_some());
            record.config.admin_status_enabled && troubled
        }),
        Kind::LogicalSwitch => logical_switch(state, uuid).is_some_and(|status| !status.fabric_status),
        Kind::LogicalPort => state.nib.ports().get(&uuid).is_some_and(|port| {
            port.config.admin_status_enabled && port.attachment != Attachment::None && !fabric_up(state, port)
        }),
        Kind::LogicalRouterPort | Kind::ServicesNodePort => {
            state.nib.attachment(uuid).is_some_and(|(_, attachment)| *attachment != Attachment::None)
        }
        Kind::TransportZone
        | Kind::LogicalRouter
        | Kind::NatRule
        | Kind::Route
        | Kind::SecurityProfile
        | Kind::Acl
        | Kind::LogicalQueue
        | Kind::GatewayService
        | Kind::EdgeCluster
        | Kind::ServicesNode => false,
    }
}

/// When it may have changed last whether something works, as far as this controller knows: with its configuration, or with
/// the connections of the transport node that it is on. In seconds since 1970.
pub(super) fn alert_changed(state: &State, kind: Kind, uuid: Uuid) -> Option<u64> {
    let port = state.nib.ports().get(&uuid).filter(|_| kind == Kind::LogicalPort);
    let place = port.and_then(|port| state.nib.port_location(port)).map(|place| place.node);
    let node = if kind == Kind::TransportNode { Some(uuid) } else { place };
    let report = node.and_then(|node| state.nodes.get(&node)).map(NodeState::report);
    let since = report.into_iter().flat_map(|report| [&report.ovsdb, &report.openflow]).flatten();
    let since = since.filter_map(|connection| connection.since.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).chain(state.nib.modified_at(kind, uuid)).max()
}

/// What is said of everything that is only kept.
const NOT_CARRIED_OUT: &str = "it is kept and returned, and not carried out by this release";

/// The status of something from which nothing follows yet.
pub(super) fn kept() -> ResourceStatus {
    ResourceStatus { realised: false, reason: Some(NOT_CARRIED_OUT.into()) }
}

/// The status of a logical router.
pub(super) fn logical_router(state: &State, uuid: Uuid) -> Option<LogicalRouterStatus> {
    state.nib.kept(Kind::LogicalRouter, uuid)?;
    let mut status = LogicalRouterStatus { reason: Some(NOT_CARRIED_OUT.into()), ..LogicalRouterStatus::default() };
    for port in state.nib.uuids(Kind::LogicalRouterPort, Some(uuid), None) {
        let is_up = state.nib.router_ports().get(&port).is_some_and(|record| record.config.admin_status_enabled);
        status.lport_count += 1;
        status.lport_admin_up_count += u64::from(is_up);
    }
    Some(status)
}

/// The status of a port of a logical router.
pub(super) fn logical_router_port(state: &State, uuid: Uuid) -> Option<LogicalRouterPortStatus> {
    let port = state.nib.router_ports().get(&uuid)?;
    Some(LogicalRouterPortStatus {
        admin_status_enabled: port.config.admin_status_enabled,
        admin_status_up: port.config.admin_status_enabled,
        link_status_up: false,
        fabric_status_up: false,
        realised: false,
        reason: Some(NOT_CARRIED_OUT.into()),
    })
}

/// Why a port that is nowhere is nowhere.
pub(super) fn unplugged(attachment: &Attachment) -> String {
    match attachment {
        Attachment::None => "nothing is plugged into the port".into(),
        Attachment::Vif { vif_uuid } => format!("VIF {vif_uuid} is on no transport node that takes part"),
        Attachment::Patch { .. } => format!("a router is plugged in: {NOT_CARRIED_OUT}"),
        Attachment::L2Gateway { .. }
        | Attachment::L3Gateway { .. }
        | Attachment::VtepL2Gateway { .. }
        | Attachment::DomainGateway { .. } => format!("a gateway is plugged in: {NOT_CARRIED_OUT}"),
    }
}

/// What keeps a transport node from carrying traffic as it should.
fn trouble(node: &NodeState) -> Option<String> {
    let report = node.report();
    match (&report.ovsdb, &report.openflow, report.problems.values().next()) {
        (None, _, _) => Some("has no OVSDB session".into()),
        (Some(_), None, _) => Some("has no OpenFlow session".into()),
        (Some(_), Some(_), Some(problem)) => Some(format!("has a problem: {problem}")),
        (Some(_), Some(_), None) => None,
    }
}

/// Whether a transport node is known to hold a revision that concerns it.
fn holds(node: &NodeState, revision: Revision) -> bool {
    let before = Revision(revision.0.saturating_sub(1));
    node.progress.as_ref().is_some_and(|progress| !progress.lacks(before, revision))
}

/// The status of a logical switch.
pub(super) fn logical_switch(state: &State, uuid: Uuid) -> Option<LogicalSwitchStatus> {
    state.nib.switches().get(&uuid)?;
    let mut status = LogicalSwitchStatus { fabric_status: true, ..LogicalSwitchStatus::default() };
    for (_, port) in state.nib.ports_of(uuid) {
        let location = state.nib.port_location(port);
        status.lport_count += 1;
        status.lport_admin_up_count += u64::from(port.config.admin_status_enabled);
        status.lport_link_up_count += u64::from(location.is_some());
        status.lport_fabric_up_count += u64::from(down(state, port, location.as_ref()).is_none());
        if let Some(location) = location {
            let sound = state.nodes.get(&location.node).is_some_and(|node| trouble(node).is_none());
            status.fabric_status &= sound;
        }
    }
    Some(status)
}

/// The status of a transport node.
pub(super) fn transport_node(state: &State, uuid: Uuid) -> Option<TransportNodeStatus> {
    let record = state.nib.nodes().get(&uuid)?;
    let unseen = NodeState::default();
    let node = state.nodes.get(&uuid).unwrap_or(&unseen);
    let now = state.nib.revision();
    let report = node.report();
    let counters = report.counters;
    let repairs = report.repairs.iter();
    Some(TransportNodeStatus {
        connection: ConnectionStatus {
            connected: node.connected(),
            ovsdb: report.ovsdb.as_ref().map(session),
            openflow: report.openflow.as_ref().map(session),
        },
        realised_revision: node.realised(now).map(|revision| revision.0),
        config_revision: now.0,
        problems: report.problems.values().cloned().collect(),
        repairs: repairs.map(|repair| NodeRepair { at: timestamp(repair.at), what: repair.what.clone() }).collect(),
        counters: NodeCounters {
            flow_mods: counters.flow_mods,
            group_mods: counters.group_mods,
            bundles: counters.bundles,
            ovsdb_transactions: counters.ovsdb_transactions,
            openflow_sessions: counters.openflow_sessions,
            ovsdb_sessions: counters.ovsdb_sessions,
            repairs: counters.repairs,
        },
        ovs_version: report.ovs_version.clone(),
        vif_count: record.vifs.len() as u64,
        owner: record.owner.map(|owner| owner.0),
        standby: record.standby.map(|standby| standby.0),
        epoch: record.epoch.0,
    })
}

fn session(connection: &Connection) -> SessionStatus {
    SessionStatus { peer: connection.peer.to_string(), since: timestamp(connection.since) }
}
