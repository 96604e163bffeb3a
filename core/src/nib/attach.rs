//! Plugs logical ports in, and out: what is plugged in is entered on both of its sides. Start at [`Nib::attach`].

use super::{Attachment, Change, GatewayServiceType, Invalid, Kind, Nib, Object, Refusal};
use uuid::Uuid;

impl Nib {
    pub(super) fn attach(&mut self, port: Uuid, attachment: &Attachment) -> Result<Vec<Change>, Refusal> {
        let not_found = Refusal::NotFound { kind: Kind::LogicalPort, uuid: port };
        let (kind, before) = self.attachment(port).ok_or(not_found)?;
        attachment.validate()?;
        if !attachment.suits(kind) {
            return Err(Invalid::new("type", format!("{} is not for a {kind}", attachment.type_name())).into());
        }
        self.check_vif(port, attachment)?;
        self.check_gateway(port, attachment)?;
        self.check_peer((kind, port), attachment)?;
        if before == attachment {
            return Ok(Vec::new());
        }
        let mut changes = self.unplug(port);
        changes.push(self.plug(port, attachment.clone()));
        if let Some(peer) = attachment.peer() {
            changes.push(self.plug(peer, Attachment::Patch { peer_port_uuid: port }));
        }
        Ok(changes)
    }

    /// A VIF is plugged into one port.
    fn check_vif(&self, port: Uuid, attachment: &Attachment) -> Result<(), Refusal> {
        let Some(vif) = attachment.vif() else { return Ok(()) };
        match self.index.port_of_vif.get(vif).filter(|holder| **holder != port) {
            Some(by) => Err(Refusal::InUse { what: format!("VIF {vif}"), kind: Kind::LogicalPort, by: *by }),
            None => Ok(()),
        }
    }

    /// The gateway service exists, is of the right sort, and has the segment to spare.
    fn check_gateway(&self, port: Uuid, attachment: &Attachment) -> Result<(), Refusal> {
        let Some((to, wanted)) = attachment.gateway() else { return Ok(()) };
        match self.gateway_type(to.uuid) {
            None => return Err(Refusal::NoSuchReference { field: to.path(), kind: to.kind, uuid: to.uuid }),
            Some(kind) if kind != wanted => {
                let why =
                    format!("gateway service {} is not of the sort that a {} needs", to.uuid, attachment.type_name());
                return Err(Invalid::new(to.path(), why).into());
            }
            Some(_) => {}
        }
        let Some((service, vlan)) = attachment.segment() else { return Ok(()) };
        match self.index.port_of_segment.get(&(service, vlan)).filter(|holder| **holder != port) {
            Some(by) => {
                let what = format!("VLAN {vlan} of gateway service {service}");
                Err(Refusal::InUse { what, kind: Kind::LogicalPort, by: *by })
            }
            None => Ok(()),
        }
    }

    fn gateway_type(&self, service: Uuid) -> Option<GatewayServiceType> {
        match self.kept(Kind::GatewayService, service)? {
            Object::GatewayService(service) => Some(service.kind),
            other => unreachable!("gateway services are kept as such, and this is a {}", other.kind()),
        }
    }

    /// A patch is between a switch, a router or a services node and one that is another of these, and its other side is free.
    fn check_peer(&self, (kind, port): (Kind, Uuid), attachment: &Attachment) -> Result<(), Refusal> {
        let Some(peer) = attachment.peer() else { return Ok(()) };
        let of_router = if kind == Kind::LogicalPort { Kind::LogicalRouterPort } else { Kind::LogicalPort };
        let (peer_kind, plugged) = self.attachment(peer).ok_or(Refusal::NotFound { kind: of_router, uuid: peer })?;
        if peer_kind == kind {
            let why = format!("{peer} is a {peer_kind}, too: a patch leads to a port of another kind");
            return Err(Invalid::new("peer_port_uuid", why).into());
        }
        match plugged {
            Attachment::None => Ok(()),
            Attachment::Patch { peer_port_uuid } if *peer_port_uuid == port => Ok(()),
            other => Err(Refusal::Occupied { kind: peer_kind, uuid: peer, by: other.type_name().into() }),
        }
    }

    /// Takes out what is plugged into a port; says what else changed by that.
    pub(super) fn unplug(&mut self, port: Uuid) -> Vec<Change> {
        let Some((kind, before)) = self.attachment(port) else { return Vec::new() };
        let (vif, gateway) = (before.vif().map(String::from), before.gateway());
        let (segment, peer) = (before.segment(), before.peer());
        if let Some(vif) = vif {
            self.index.port_of_vif.remove(&vif);
        }
        if let Some(segment) = segment {
            self.index.port_of_segment.remove(&segment);
        }
        self.unrefer((kind, port), gateway.map(|(to, _)| (to.kind, to.uuid)));
        self.plug(port, Attachment::None);
        peer.map(|peer| self.plug(peer, Attachment::None)).into_iter().collect()
    }

    /// Enters what is plugged into a port that has nothing plugged in, or the other side of a patch.
    fn plug(&mut self, port: Uuid, attachment: Attachment) -> Change {
        let revision = self.revision;
        let change = if let Some(record) = self.ports.get_mut(&port) {
            (record.attachment, record.touched) = (attachment, revision);
            Change::Port(port)
        } else if let Some(record) = self.router_ports.get_mut(&port) {
            record.attachment = attachment;
            Change::Kept(Kind::LogicalRouterPort, port)
        } else {
            assert!(self.kept(Kind::ServicesNodePort, port).is_some(), "checked: port {port} exists");
            match attachment {
                Attachment::None => self.plugged.remove(&port),
                other => self.plugged.insert(port, other),
            };
            Change::Kept(Kind::ServicesNodePort, port)
        };
        self.index_attachment(port);
        change
    }

    /// Enters what is plugged into a port where it is looked for.
    pub(super) fn index_attachment(&mut self, port: Uuid) {
        let Some((kind, attachment)) = self.attachment(port) else { return };
        let (gateway, segment) = (attachment.gateway(), attachment.segment());
        if let Some(vif) = attachment.vif().map(String::from) {
            self.index.port_of_vif.insert(vif, port);
        }
        if let Some(segment) = segment {
            self.index.port_of_segment.insert(segment, port);
        }
        self.refer((kind, port), gateway.map(|(to, _)| (to.kind, to.uuid)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, LogicalPort, LogicalRouter, LogicalRouterPort, LogicalSwitch};
    use super::*;
    use serde_json::{Value, json};

    /// A NIB that is compared with the one that is read from its own record after each command.
    #[derive(Default)]
    struct World(Nib);

    impl World {
        fn apply(&mut self, command: Command) -> Result<(), Refusal> {
            let outcome = self.0.apply(&command).map(|_| ());
            let read: Nib = serde_json::from_value(json!(self.0)).expect("it reads what it writes");
            assert_eq!(read.reindexed(), self.0, "after {command:?}");
            assert_eq!(self.0.unindexed().reindexed(), self.0, "after {command:?}");
            outcome
        }

        fn create(&mut self, n: u128, object: Object) -> Uuid {
            let uuid = Uuid::from_u128(n);
            self.apply(Command::Create { uuid, object }).expect("lawful");
            uuid
        }

        fn attach(&mut self, port: Uuid, attachment: Value) -> Result<(), Refusal> {
            self.apply(Command::Attach { port, attachment: read(attachment) })
        }

        fn plugged(&self, port: Uuid) -> String {
            let (_, attachment) = self.0.attachment(port).expect("it exists");
            json!(attachment).to_string()
        }
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("lawful")
    }

    /// A switch with ports 11 and 12, a router with ports 21 and 22.
    fn world() -> (World, [Uuid; 4]) {
        let mut world = World::default();
        let switch = world.create(1, Object::LogicalSwitch(LogicalSwitch::default()));
        let routing: LogicalRouter = read(json!({"routing_config": {"type": "RoutingTableRoutingConfig"}}));
        let router = world.create(2, Object::LogicalRouter(routing));
        let port: LogicalPort = read(json!({}));
        let router_port: LogicalRouterPort = read(json!({"mac_address": "00:00:00:00:00:00"}));
        let of_switch = [11, 12].map(|n| world.create(n, Object::LogicalPort { switch, config: port.clone() }));
        let of_router =
            [21, 22].map(|n| world.create(n, Object::LogicalRouterPort { router, config: router_port.clone() }));
        (world, [of_switch[0], of_switch[1], of_router[0], of_router[1]])
    }

    fn patch(peer: Uuid) -> Value {
        json!({"type": "PatchAttachment", "peer_port_uuid": peer})
    }

    #[test]
    fn a_services_node_is_patched_to_a_switch_and_lets_go_when_it_goes() {
        let (mut world, [one, other, inner, _]) = world();
        let cluster = world.create(51, Object::EdgeCluster(read(json!({}))));
        let node = world.create(52, Object::ServicesNode(read(json!({"edge_cluster_uuid": cluster}))));
        let config = |address: &str| read(json!({"ip_address": address, "mac_address": "02:00:00:00:00:01"}));
        let ports = [53, 54].map(|n| {
            let config = config("10.7.0.0/24");
            world.create(n, Object::ServicesNodePort { node, config })
        });
        assert_eq!(world.plugged(ports[0]), FREE);
        world.attach(ports[0], patch(one)).expect("both are free");
        assert_eq!(world.plugged(one), patch(ports[0]).to_string());
        let occupied = Refusal::Occupied { kind: Kind::LogicalPort, uuid: one, by: "PatchAttachment".into() };
        assert_eq!(world.attach(inner, patch(one)), Err(occupied));
        world.attach(ports[1], patch(inner)).expect("routers are served, too");
        let vif = world.attach(ports[1], json!({"type": "VifAttachment", "vif_uuid": "v"}));
        assert!(matches!(vif, Err(Refusal::Invalid(_))), "not for services nodes");
        assert!(matches!(world.attach(ports[1], patch(ports[0])), Err(Refusal::Invalid(_))), "not among themselves");
        world.attach(one, patch(ports[0])).expect("it is so already");
        world.apply(Command::Delete { kind: Kind::LogicalPort, uuid: one }).expect("it lets go");
        assert_eq!(world.plugged(ports[0]), FREE);
        world.attach(other, patch(ports[0])).expect("from the other side");
        let in_use = Command::Delete { kind: Kind::EdgeCluster, uuid: cluster };
        assert!(matches!(world.apply(in_use.clone()), Err(Refusal::InUse { by, .. }) if by == node));
        world.apply(Command::Delete { kind: Kind::ServicesNode, uuid: node }).expect("with its ports");
        assert_eq!((world.plugged(other), world.plugged(inner)), (FREE.into(), FREE.into()));
        world.apply(in_use).expect("nothing uses it any more");
    }

    const FREE: &str = r#"{"type":"NoAttachment"}"#;

    #[test]
    fn a_patch_is_seen_from_both_sides_until_either_is_freed() {
        let (mut world, [one, other, inner, outer]) = world();
        world.attach(inner, patch(one)).expect("both are free");
        assert_eq!(world.plugged(one), patch(inner).to_string());
        let before = world.0.ports()[&one].touched;
        world.attach(one, patch(inner)).expect("it is so already");
        assert_eq!(world.0.ports()[&one].touched, before, "nothing changed");
        let occupied = Refusal::Occupied { kind: Kind::LogicalPort, uuid: one, by: "PatchAttachment".into() };
        assert_eq!(world.attach(outer, patch(one)), Err(occupied));
        assert_eq!(
            world.attach(one, patch(other)).map_err(|e| e.to_string().contains("is a logical port, too")),
            Err(true)
        );
        let missing = Uuid::from_u128(99);
        let not_found = Refusal::NotFound { kind: Kind::LogicalRouterPort, uuid: missing };
        assert_eq!(world.attach(one, patch(missing)), Err(not_found));
        world.attach(inner, patch(other)).expect("it lets go of the first");
        assert_eq!((world.plugged(one).as_str(), world.plugged(other)), (FREE, patch(inner).to_string()));
        world.attach(other, json!({"type": "VifAttachment", "vif_uuid": "v"})).expect("lawful");
        assert_eq!(world.plugged(inner), FREE);
        world.attach(inner, patch(one)).expect("both are free");
        world.apply(Command::Delete { kind: Kind::LogicalRouter, uuid: Uuid::from_u128(2) }).expect("with its ports");
        assert_eq!(world.plugged(one), FREE);
        assert_eq!(world.0.router_ports().len(), 0);
    }

    #[test]
    fn gateways_are_of_the_right_sort_and_their_segments_are_of_one_port() {
        let (mut world, [one, other, inner, outer]) = world();
        let l2 = world.create(31, Object::GatewayService(read(json!({"type": "L2GatewayServiceConfig"}))));
        let l3 = world.create(32, Object::GatewayService(read(json!({"type": "L3GatewayServiceConfig"}))));
        let to_l2 = |service: Uuid, vlan: Option<u16>| match vlan {
            Some(vlan) => json!({"type": "L2GatewayAttachment", "l2_gateway_service_uuid": service, "vlan_id": vlan}),
            None => json!({"type": "L2GatewayAttachment", "l2_gateway_service_uuid": service}),
        };
        world.attach(one, to_l2(l2, None)).expect("the segment is free");
        let in_use = |outcome: Result<(), Refusal>| matches!(outcome, Err(Refusal::InUse { .. }));
        assert!(in_use(world.attach(other, to_l2(l2, Some(0)))), "untagged is untagged");
        world.attach(other, to_l2(l2, Some(7))).expect("another segment");
        assert!(matches!(world.attach(one, to_l2(l3, None)), Err(Refusal::Invalid(_))), "it is no L2 gateway");
        assert!(matches!(world.attach(inner, to_l2(l2, Some(8))), Err(Refusal::Invalid(_))), "not for routers");
        let lost = world.attach(one, to_l2(Uuid::from_u128(99), None));
        assert!(matches!(lost, Err(Refusal::NoSuchReference { field, .. }) if field == "l2_gateway_service_uuid"));
        let to_l3 = json!({"type": "L3GatewayAttachment", "l3_gateway_service_uuid": l3, "vlan_id": 9});
        [inner, outer].into_iter().for_each(|port| world.attach(port, to_l3.clone()).expect("routers share a network"));

        let delete = |uuid| Command::Delete { kind: Kind::GatewayService, uuid };
        assert!(in_use(world.apply(delete(l2))));
        let gone = Command::Delete { kind: Kind::LogicalPort, uuid: other };
        world.apply(gone).expect("a port that is plugged in can be deleted");
        world.attach(one, json!({"type": "NoAttachment"})).expect("lawful");
        world.apply(delete(l2)).expect("nothing uses it");
        assert!(in_use(world.apply(delete(l3))));
    }

    #[test]
    fn what_is_referred_to_exists_and_stays() {
        let (mut world, [one, ..]) = world();
        let profile = Uuid::from_u128(41);
        let rules = json!({"logical_port_egress_rules": [{"ethertype": "IPv4", "profile_uuid": profile}]});
        world.create(41, Object::SecurityProfile(read(rules)));
        let queue = world.create(42, Object::LogicalQueue(read(json!({"max_bandwidth_rate": 1000}))));
        let update = |world: &mut World, config: Value| {
            let read_at = world.0.modified(Kind::LogicalPort, one).expect("it exists");
            let object = Object::LogicalPort { switch: Uuid::from_u128(1), config: read(config) };
            world.apply(Command::Update { uuid: one, object, read_at })
        };
        update(&mut world, json!({"queue_uuid": queue, "security_profiles": [profile]})).expect("both exist");
        let lost = update(&mut world, json!({"security_profiles": [profile, queue]}));
        assert!(matches!(lost, Err(Refusal::NoSuchReference { field, .. }) if field == "security_profiles[1]"));
        let delete = |kind, uuid| Command::Delete { kind, uuid };
        for (kind, uuid) in [(Kind::SecurityProfile, profile), (Kind::LogicalQueue, queue)] {
            let in_use = Refusal::InUse { what: format!("{kind} {uuid}"), kind: Kind::LogicalPort, by: one };
            assert_eq!(world.apply(delete(kind, uuid)), Err(in_use));
        }
        update(&mut world, json!({"security_profiles": [profile]})).expect("both exist");
        world.apply(delete(Kind::LogicalQueue, queue)).expect("nothing uses it any more");
        world.apply(delete(Kind::LogicalSwitch, Uuid::from_u128(1))).expect("with its ports");
        world.apply(delete(Kind::SecurityProfile, profile)).expect("only itself refers to it");
    }
}
