//! Applies commands to the NIB: the only code that changes it.
//!
//! First everything that could refuse the command is checked, then it is carried out; nothing is half done.
//! Start at [`Nib::apply`].

use super::references::targets;
use super::refusal::{Invalid, Refusal};
use super::*;
use crate::addr::Mac;
use std::borrow::Cow;

/// Most tunnel keys: 24 bits, without 0.
const TUNNEL_KEYS: u32 = (1 << 24) - 1;

impl Nib {
    /// Applies one command. The revision advances whether it is refused or not.
    ///
    /// # Errors
    /// Why it was refused; nothing but the revision has changed then.
    pub fn apply(&mut self, command: &Command) -> Result<Vec<Change>, Refusal> {
        self.revision.0 += 1;
        self.carry_out(command)
    }

    pub(super) fn carry_out(&mut self, command: &Command) -> Result<Vec<Change>, Refusal> {
        match command {
            Command::By { author, command } => self.apply_by(author, command),
            Command::Create { uuid, object } => self.create(*uuid, object),
            Command::Update { uuid, object, read_at } => self.update(*uuid, object, *read_at),
            Command::Delete { kind, uuid } => self.delete(*kind, *uuid),
            Command::Attach { port, attachment } => self.attach(*port, attachment),
            Command::CountFrom { port, from } => self.count_from(*port, from.as_ref()),
            Command::Observe { node, epoch, present, gone } => self.observe((*node, *epoch), present, gone),
            Command::Cluster(command) => self.change_cluster(command),
            Command::Session(command) => self.change_session(command),
            Command::User(command) => self.change_user(command),
            Command::ReadOnly { on } => {
                self.is_read_only = *on;
                Ok(vec![Change::User])
            }
            Command::SetUser { name, password_hash } => {
                let user = User { password_hash: password_hash.clone(), role: Role::Admin };
                self.users.insert(name.clone(), user);
                Ok(vec![Change::User])
            }
        }
    }

    fn create(&mut self, uuid: Uuid, object: &Object) -> Result<Vec<Change>, Refusal> {
        let kind = object.kind();
        if self.modified(kind, uuid).is_some() {
            return Err(Refusal::Exists { kind, uuid });
        }
        self.check(uuid, object)?;
        let references = targets(object);
        let object = named(object.clone(), uuid);
        let changes = match object {
            Object::TransportZone(config) => {
                self.zones.insert(uuid, ZoneRecord { config, modified: self.revision });
                vec![Change::Zone(uuid)]
            }
            Object::TransportNode(config) => self.create_node(uuid, config)?,
            Object::LogicalSwitch(config) => self.create_switch(uuid, config)?,
            Object::LogicalPort { switch, config } => self.create_port(uuid, switch, config)?,
            Object::LogicalRouterPort { router, config } => self.create_router_port(uuid, router, config)?,
            Object::LogicalRouter(_)
            | Object::NatRule { .. }
            | Object::Route { .. }
            | Object::SecurityProfile(_)
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::GatewayService(_)
            | Object::EdgeCluster(_)
            | Object::ServicesNode(_)
            | Object::ServicesNodePort { .. } => vec![self.keep(uuid, object)],
        };
        self.refer((kind, uuid), references);
        Ok(changes)
    }

    fn create_node(&mut self, uuid: Uuid, config: TransportNode) -> Result<Vec<Change>, Refusal> {
        let exhausted = |what| Refusal::Exhausted { what: Cow::Borrowed(what), limit: u32::MAX };
        let number = self.last_node_number.0.checked_add(1).ok_or(exhausted("transport node numbers"))?;
        self.last_node_number = NodeNumber(number);
        self.last_epoch.0 += 1;
        if let Some(credential) = &config.credential {
            self.index.node_of_identity.insert(credential.identity(), uuid);
        }
        let record = NodeRecord {
            config,
            number: self.last_node_number,
            epoch: self.last_epoch,
            owner: None,
            standby: None,
            modified: self.revision,
            vifs: BTreeSet::new(),
        };
        self.index.node_of_number.insert(record.number, uuid);
        self.nodes.insert(uuid, record);
        Ok(vec![Change::Node(uuid)])
    }

    fn create_switch(&mut self, uuid: Uuid, config: LogicalSwitch) -> Result<Vec<Change>, Refusal> {
        let key = self.next_tunnel_key()?;
        self.last_tunnel_key = key;
        let record = SwitchRecord { config, key, last_port_key: PortKey(0), modified: self.revision };
        self.switches.insert(uuid, record);
        self.index.switch_of_key.insert(key, uuid);
        self.index.ports_of.insert(uuid, BTreeSet::new());
        self.index.portnos.insert(uuid, PortNumbers::default());
        Ok(vec![Change::Switch(uuid)])
    }

    /// The next key after the last one given out that is free: a key comes round again only after all others.
    fn next_tunnel_key(&self) -> Result<TunnelKey, Refusal> {
        let after_last = (0..TUNNEL_KEYS).map(|step| TunnelKey((self.last_tunnel_key.0 + step) % TUNNEL_KEYS + 1));
        let mut free = after_last.filter(|key| !self.index.switch_of_key.contains_key(key));
        free.next().ok_or(Refusal::Exhausted { what: "tunnel keys".into(), limit: TUNNEL_KEYS })
    }

    fn create_port(&mut self, uuid: Uuid, switch: Uuid, mut config: LogicalPort) -> Result<Vec<Change>, Refusal> {
        let record = self.switches.get_mut(&switch).expect("checked: the switch exists");
        let numbers = self.index.portnos.get_mut(&switch).expect("every switch has its port numbers");
        let full = || Refusal::Exhausted { what: "port keys".into(), limit: u32::MAX };
        let key = record.last_port_key.0.checked_add(1).ok_or_else(full)?;
        numbers.assign(&mut config.portno, uuid)?;
        record.last_port_key = PortKey(key);
        let record = PortRecord {
            switch,
            config,
            key: PortKey(key),
            attachment: Attachment::None,
            modified: self.revision,
            touched: self.revision,
        };
        self.ports.insert(uuid, record);
        self.index.ports_of.entry(switch).or_default().insert(uuid);
        Ok(vec![Change::Port(uuid)])
    }

    fn create_router_port(
        &mut self,
        uuid: Uuid,
        router: Uuid,
        mut config: LogicalRouterPort,
    ) -> Result<Vec<Change>, Refusal> {
        let numbers = self.index.portnos.get_mut(&router).expect("every router has its port numbers");
        numbers.assign(&mut config.portno, uuid)?;
        config.mac_address.get_or_insert_with(|| made_up(uuid));
        let record = RouterPortRecord { router, config, attachment: Attachment::None, modified: self.revision };
        self.router_ports.insert(uuid, record);
        self.index.parts_of.entry(router).or_default().insert((Kind::LogicalRouterPort, uuid));
        Ok(vec![Change::Kept(Kind::LogicalRouterPort, uuid)])
    }

    /// Enters a resource that is what was configured, or what it is from now on.
    fn keep(&mut self, uuid: Uuid, object: Object) -> Change {
        let kind = object.kind();
        if let Some(parent) = object.parent() {
            self.index.parts_of.entry(parent).or_default().insert((kind, uuid));
        }
        if matches!(kind, Kind::LogicalRouter | Kind::ServicesNode) {
            self.index.parts_of.entry(uuid).or_default();
        }
        if kind == Kind::LogicalRouter {
            self.index.portnos.entry(uuid).or_default();
        }
        self.kept.entry(kind).or_default().insert(uuid, Kept { object, modified: self.revision });
        Change::Kept(kind, uuid)
    }

    fn update(&mut self, uuid: Uuid, object: &Object, read_at: Revision) -> Result<Vec<Change>, Refusal> {
        let kind = object.kind();
        let now = self.modified(kind, uuid).ok_or(Refusal::NotFound { kind, uuid })?;
        if now != read_at {
            return Err(Refusal::Stale { kind, uuid, now });
        }
        self.check(uuid, object)?;
        let (before, after) = (self.references_of(kind, uuid), targets(object));
        let modified = self.revision;
        let object = named(object.clone(), uuid);
        let changes = match object {
            Object::TransportZone(config) => {
                self.zones.insert(uuid, ZoneRecord { config, modified });
                vec![Change::Zone(uuid)]
            }
            Object::TransportNode(config) => self.update_node(uuid, config),
            Object::LogicalSwitch(config) => {
                let record = self.switches.get_mut(&uuid).expect("checked: the switch exists");
                record.config = config;
                record.modified = modified;
                vec![Change::Switch(uuid)]
            }
            Object::LogicalPort { config, .. } => self.update_port(uuid, config),
            Object::LogicalRouterPort { config, .. } => vec![self.update_router_port(uuid, config)],
            Object::LogicalRouter(_)
            | Object::NatRule { .. }
            | Object::Route { .. }
            | Object::SecurityProfile(_)
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::GatewayService(_)
            | Object::EdgeCluster(_)
            | Object::ServicesNode(_)
            | Object::ServicesNodePort { .. } => vec![self.keep(uuid, object)],
        };
        self.unrefer((kind, uuid), before);
        self.refer((kind, uuid), after);
        Ok(changes)
    }

    fn update_node(&mut self, uuid: Uuid, config: TransportNode) -> Vec<Change> {
        let record = self.nodes.get_mut(&uuid).expect("checked: the node exists");
        if let Some(credential) = &record.config.credential {
            self.index.node_of_identity.remove(&credential.identity());
        }
        if let Some(credential) = &config.credential {
            self.index.node_of_identity.insert(credential.identity(), uuid);
        }
        let moved = record.config.admin_status_enabled != config.admin_status_enabled;
        record.config = config;
        record.modified = self.revision;
        let vifs: Vec<String> = record.vifs.iter().filter(|_| moved).cloned().collect();
        let mut changes = vec![Change::Node(uuid)];
        changes.extend(vifs.iter().filter_map(|vif| self.touch_port_of(vif)));
        changes
    }

    fn update_port(&mut self, uuid: Uuid, mut config: LogicalPort) -> Vec<Change> {
        let record = self.ports.get_mut(&uuid).expect("checked: the port exists");
        let numbers = self.index.portnos.get_mut(&record.switch).expect("every switch has its port numbers");
        numbers.renumber(record.config.portno, &mut config.portno, uuid);
        record.config = config;
        record.modified = self.revision;
        record.touched = self.revision;
        vec![Change::Port(uuid)]
    }

    fn update_router_port(&mut self, uuid: Uuid, mut config: LogicalRouterPort) -> Change {
        let record = self.router_ports.get_mut(&uuid).expect("checked: the port exists");
        let numbers = self.index.portnos.get_mut(&record.router).expect("every router has its port numbers");
        numbers.renumber(record.config.portno, &mut config.portno, uuid);
        config.mac_address = config.mac_address.or(record.config.mac_address);
        record.config = config;
        record.modified = self.revision;
        Change::Kept(Kind::LogicalRouterPort, uuid)
    }

    /// Everything about `object` that could refuse it, the rest of the NIB considered.
    fn check(&self, uuid: Uuid, object: &Object) -> Result<(), Refusal> {
        object.validate()?;
        self.check_parent(uuid, object)?;
        self.check_references(uuid, object)?;
        match object {
            Object::TransportNode(node) => self.check_credential(uuid, node),
            Object::LogicalPort { switch, config } => {
                self.check_portno((Kind::LogicalPort, uuid), *switch, config.portno)
            }
            Object::LogicalRouterPort { router, config } => {
                self.check_portno((Kind::LogicalRouterPort, uuid), *router, config.portno)
            }
            Object::Route { router, config } => self.check_route(uuid, *router, config),
            Object::TransportZone(_)
            | Object::LogicalSwitch(_)
            | Object::LogicalRouter(_)
            | Object::NatRule { .. }
            | Object::SecurityProfile(_)
            | Object::Acl(_)
            | Object::LogicalQueue(_)
            | Object::GatewayService(_)
            | Object::EdgeCluster(_)
            | Object::ServicesNode(_)
            | Object::ServicesNodePort { .. } => Ok(()),
        }
    }

    /// The object that it belongs to exists, and is the one that it always belonged to.
    fn check_parent(&self, uuid: Uuid, object: &Object) -> Result<(), Refusal> {
        let kind = object.kind();
        let Some((parent_kind, parent)) = kind.parent().zip(object.parent()) else { return Ok(()) };
        if self.modified(parent_kind, parent).is_none() {
            return Err(Refusal::NotFound { kind: parent_kind, uuid: parent });
        }
        match self.parent(kind, uuid).is_some_and(|own| own != parent) {
            true => Err(Refusal::NotFound { kind, uuid }),
            false => Ok(()),
        }
    }

    fn check_credential(&self, uuid: Uuid, node: &TransportNode) -> Result<(), Refusal> {
        let holder = node.credential.as_ref().and_then(|c| self.node_of_identity(&c.identity()));
        match holder.filter(|holder| *holder != uuid) {
            Some(by) => Err(Refusal::InUse { what: "the credential".into(), kind: Kind::TransportNode, by }),
            None => Ok(()),
        }
    }

    fn check_portno(&self, (kind, uuid): (Kind, Uuid), parent: Uuid, portno: Option<u32>) -> Result<(), Refusal> {
        let Some(number) = portno else { return Ok(()) };
        let holder = self.index.portnos.get(&parent).and_then(|numbers| numbers.used.get(&number).copied());
        match holder.filter(|holder| *holder != uuid) {
            Some(by) => Err(Refusal::InUse { what: format!("portno {number}"), kind, by }),
            None => Ok(()),
        }
    }

    /// A router has one route to a prefix by a next hop.
    fn check_route(&self, uuid: Uuid, router: Uuid, route: &Route) -> Result<(), Refusal> {
        let same = |other: &Uuid| match self.kept(Kind::Route, *other) {
            Some(Object::Route { config, .. }) => {
                config.prefix.net() == route.prefix.net() && config.next_hop_ip.net() == route.next_hop_ip.net()
            }
            Some(_) | None => false,
        };
        match self.uuids(Kind::Route, Some(router), None).filter(|other| *other != uuid).find(same) {
            Some(by) => {
                let what = format!("the way to {} by {}", route.prefix, route.next_hop_ip);
                Err(Refusal::InUse { what, kind: Kind::Route, by })
            }
            None => Ok(()),
        }
    }

    fn delete(&mut self, kind: Kind, uuid: Uuid) -> Result<Vec<Change>, Refusal> {
        if self.modified(kind, uuid).is_none() {
            return Err(Refusal::NotFound { kind, uuid });
        }
        self.check_unused(kind, uuid)?;
        Ok(self.remove(kind, uuid))
    }

    /// Removes what exists, and what belongs to it.
    fn remove(&mut self, kind: Kind, uuid: Uuid) -> Vec<Change> {
        let references = self.references_of(kind, uuid);
        self.unrefer((kind, uuid), references);
        self.counted_from.remove(&uuid);
        self.modified_at.entry(kind).or_default().remove(&uuid);
        match kind {
            Kind::TransportZone => {
                self.zones.remove(&uuid);
                vec![Change::Zone(uuid)]
            }
            Kind::TransportNode => self.delete_node(uuid),
            Kind::LogicalSwitch => self.delete_switch(uuid),
            Kind::LogicalPort => self.delete_port(uuid),
            Kind::LogicalRouter | Kind::ServicesNode => self.delete_with_parts(kind, uuid),
            Kind::LogicalRouterPort => self.delete_router_port(uuid),
            Kind::ServicesNodePort => {
                let mut changes = self.unplug(uuid);
                changes.push(self.forget(kind, uuid));
                changes
            }
            Kind::NatRule
            | Kind::Route
            | Kind::SecurityProfile
            | Kind::Acl
            | Kind::LogicalQueue
            | Kind::GatewayService
            | Kind::EdgeCluster => vec![self.forget(kind, uuid)],
        }
    }

    fn delete_node(&mut self, uuid: Uuid) -> Vec<Change> {
        let record = self.nodes.remove(&uuid).expect("checked: the node exists");
        self.index.node_of_number.remove(&record.number);
        if let Some(credential) = &record.config.credential {
            self.index.node_of_identity.remove(&credential.identity());
        }
        let mut changes = vec![Change::Node(uuid)];
        for vif in &record.vifs {
            self.drop_claim(uuid, vif);
            changes.extend(self.touch_port_of(vif));
        }
        changes
    }

    fn delete_switch(&mut self, uuid: Uuid) -> Vec<Change> {
        let ports: Vec<Uuid> = self.index.ports_of.remove(&uuid).into_iter().flatten().collect();
        let mut changes: Vec<Change> =
            ports.into_iter().flat_map(|port| self.remove(Kind::LogicalPort, port)).collect();
        let record = self.switches.remove(&uuid).expect("checked: the switch exists");
        self.index.switch_of_key.remove(&record.key);
        self.index.portnos.remove(&uuid);
        self.index.ports_of.remove(&uuid);
        changes.push(Change::Switch(uuid));
        changes
    }

    fn delete_port(&mut self, uuid: Uuid) -> Vec<Change> {
        let mut changes = self.unplug(uuid);
        let record = self.ports.remove(&uuid).expect("checked: the port exists");
        if let Some(ports) = self.index.ports_of.get_mut(&record.switch) {
            ports.remove(&uuid);
        }
        if let Some(numbers) = self.index.portnos.get_mut(&record.switch) {
            numbers.release(record.config.portno.expect("every port has a number"));
        }
        changes.push(Change::Port(uuid));
        changes
    }

    /// Removes a logical router or services node, and what belongs to it.
    fn delete_with_parts(&mut self, kind: Kind, uuid: Uuid) -> Vec<Change> {
        let parts: Vec<(Kind, Uuid)> = self.index.parts_of.get(&uuid).into_iter().flatten().copied().collect();
        let mut changes: Vec<Change> = parts.into_iter().flat_map(|(kind, part)| self.remove(kind, part)).collect();
        changes.push(self.forget(kind, uuid));
        self.index.parts_of.remove(&uuid);
        self.index.portnos.remove(&uuid);
        changes
    }

    fn delete_router_port(&mut self, uuid: Uuid) -> Vec<Change> {
        let mut changes = self.unplug(uuid);
        let record = self.router_ports.remove(&uuid).expect("checked: the port exists");
        if let Some(parts) = self.index.parts_of.get_mut(&record.router) {
            parts.remove(&(Kind::LogicalRouterPort, uuid));
        }
        if let Some(numbers) = self.index.portnos.get_mut(&record.router) {
            numbers.release(record.config.portno.expect("every port has a number"));
        }
        changes.push(Change::Kept(Kind::LogicalRouterPort, uuid));
        changes
    }

    /// Removes a resource that is what was configured.
    fn forget(&mut self, kind: Kind, uuid: Uuid) -> Change {
        let kept = self.kept.get_mut(&kind).and_then(|kept| kept.remove(&uuid)).expect("checked: it exists");
        if let Some(parts) = kept.object.parent().and_then(|parent| self.index.parts_of.get_mut(&parent)) {
            parts.remove(&(kind, uuid));
        }
        Change::Kept(kind, uuid)
    }

    fn observe(
        &mut self,
        (node, epoch): (Uuid, Option<Epoch>),
        present: &[ObservedVif],
        gone: &[String],
    ) -> Result<Vec<Change>, Refusal> {
        let Some(record) = self.nodes.get(&node) else {
            return Err(Refusal::NotFound { kind: Kind::TransportNode, uuid: node });
        };
        if epoch.is_some_and(|epoch| epoch != record.epoch) {
            return Err(Refusal::NotMaster { node, now: record.epoch });
        }
        if let Some(long) = present.iter().find(|vif| vif.vif.is_empty() || vif.vif.len() > VIF_LENGTH_MAX) {
            let why = format!("{} bytes; must be 1 to {VIF_LENGTH_MAX}", long.vif.len());
            return Err(Invalid::new(format!("VIF identifier of {}", long.interface), why).into());
        }
        let mut changes = Vec::new();
        for vif in gone {
            if self.drop_claim(node, vif) {
                changes.extend(self.touch_port_of(vif));
            }
        }
        for observed in present {
            // A port number is one interface: whoever was said to have it before is not there any more.
            for vif in self.holders_of_ofport(node, observed) {
                self.drop_claim(node, &vif);
                changes.extend(self.touch_port_of(&vif));
            }
            if self.claim(node, observed) {
                changes.extend(self.touch_port_of(&observed.vif));
            }
        }
        changes.push(Change::Observed(node));
        Ok(changes)
    }

    /// Other VIFs of the node that are said to have the same OpenFlow port.
    fn holders_of_ofport(&self, node: Uuid, observed: &ObservedVif) -> Vec<String> {
        let places = self.index.vif_at.range((node, observed.ofport, String::new())..);
        let same = places.take_while(|(at, ofport, _)| (*at, *ofport) == (node, observed.ofport));
        same.map(|(_, _, vif)| vif).filter(|vif| **vif != observed.vif).cloned().collect()
    }

    /// Enters a claim; says whether anything changed.
    fn claim(&mut self, node: Uuid, observed: &ObservedVif) -> bool {
        let revision = self.revision;
        let claims = self.claims.entry(observed.vif.clone()).or_default();
        let since = claims.get(&node).map_or(revision, |claim| claim.since);
        let claim = Claim { since, observed: observed.clone() };
        let old = claims.insert(node, claim.clone());
        let changed = old.as_ref().is_none_or(|old| *old != claim);
        if let Some(old) = old {
            self.index.vif_at.remove(&(node, old.observed.ofport, old.observed.vif));
        }
        self.index.vif_at.insert((node, observed.ofport, observed.vif.clone()));
        let record = self.nodes.get_mut(&node).expect("checked: the node exists");
        record.vifs.insert(observed.vif.clone());
        changed
    }

    /// Takes a claim back; says whether there was one.
    fn drop_claim(&mut self, node: Uuid, vif: &str) -> bool {
        if let Some(record) = self.nodes.get_mut(&node) {
            record.vifs.remove(vif);
        }
        let Some(claims) = self.claims.get_mut(vif) else { return false };
        let dropped = claims.remove(&node);
        if claims.is_empty() {
            self.claims.remove(vif);
        }
        let Some(Claim { observed, .. }) = dropped else { return false };
        self.index.vif_at.remove(&(node, observed.ofport, observed.vif));
        true
    }

    /// Marks the port that a VIF is plugged into as touched, if there is one.
    fn touch_port_of(&mut self, vif: &str) -> Option<Change> {
        let port = self.port_of_vif(vif)?;
        let record = self.ports.get_mut(&port).expect("the index names ports that exist");
        record.touched = self.revision;
        Some(Change::Port(port))
    }
}

/// An object with a name, if its kind has names: its uuid, if it was given none.
fn named(mut object: Object, uuid: Uuid) -> Object {
    if let Some(common) = object.common_mut() {
        common.display_name.get_or_insert_with(|| uuid.to_string());
    }
    object
}

/// A locally administered address (IEEE 802) for the port of that name.
fn made_up(port: Uuid) -> Mac {
    let [.., a, b, c, d, e] = *port.as_bytes();
    Mac([2, a, b, c, d, e])
}
