//! Small networks, made of a few lines of words. Start at [`Network::of`].

use selvedge_core::compile::Engine;
use selvedge_core::flow::text::write_table;
use selvedge_core::ids::OfPort;
use selvedge_core::names::NibNames;
use selvedge_core::nib::*;
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A network made of words.
#[derive(Default)]
pub struct Network {
    pub nib: Nib,
    pub uuids: BTreeMap<String, Uuid>,
}

impl Network {
    /// A network in words, one object a line:
    ///
    /// `node NAME ENCAP=ADDRESS...`, `switch NAME [isolated] ENCAP...`, `port NAME SWITCH [learning] [down] MAC[=IP]...`,
    /// `bind PORT NODE OFPORT MAC`.
    pub fn of(words: &str) -> Network {
        let mut network = Network::default();
        network.create("fabric", Object::TransportZone(TransportZone::default()));
        words.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| network.line(line));
        network
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["node", name, ends @ ..] => self.node(name, ends),
            ["switch", name, options @ ..] => self.switch(name, options),
            ["port", name, switch, options @ ..] => self.port(name, switch, options),
            ["bind", port, node, ofport, mac] => self.bind(port, node, ofport, mac),
            _ => panic!("'{line}' is no object of a network"),
        }
    }

    fn apply(&mut self, command: &Command) {
        self.nib.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
    }

    fn create(&mut self, name: &str, mut object: Object) {
        let uuid = Uuid::from_u128(self.uuids.len() as u128 + 1);
        object.common_mut().expect("it has a name").display_name = Some(name.to_string());
        self.apply(&Command::Create { uuid, object });
        self.uuids.insert(name.to_string(), uuid);
    }

    fn node(&mut self, name: &str, ends: &[&str]) {
        let connector = |end: &&str| {
            let (encap, address) = end.split_once('=').expect("ENCAP=ADDRESS");
            let kind = match encap {
                "geneve" => "GeneveConnector",
                "vxlan" => "VXLANConnector",
                "gre" => "GREConnector",
                other => panic!("no encapsulation {other}"),
            };
            json!({ "type": kind, "ip_address": address, "transport_zone_uuid": self.uuids["fabric"] })
        };
        let connectors: Vec<_> = ends.iter().map(connector).collect();
        let config = serde_json::from_value(json!({ "transport_connectors": connectors })).expect("a node");
        self.create(name, Object::TransportNode(config));
    }

    fn switch(&mut self, name: &str, options: &[&str]) {
        let encaps = options.iter().filter(|option| **option != "isolated");
        let zones: Vec<_> =
            encaps.map(|encap| json!({ "zone_uuid": self.uuids["fabric"], "transport_type": encap })).collect();
        let isolated = options.contains(&"isolated");
        let config = json!({ "transport_zones": zones, "port_isolation_enabled": isolated });
        self.create(name, Object::LogicalSwitch(serde_json::from_value(config).expect("a switch")));
    }

    fn port(&mut self, name: &str, switch: &str, options: &[&str]) {
        let pair = |word: &&str| match word.split_once('=') {
            Some((mac, ip)) => json!({ "mac_address": mac, "ip_address": ip }),
            None => json!({ "mac_address": word }),
        };
        let pairs: Vec<_> = options.iter().filter(|word| !["learning", "down"].contains(*word)).map(pair).collect();
        let config = json!({
            "allowed_address_pairs": pairs,
            "mac_learning": options.contains(&"learning"),
            "admin_status_enabled": !options.contains(&"down"),
        });
        let config = serde_json::from_value(config).expect("a port");
        self.create(name, Object::LogicalPort { switch: self.uuids[switch], config });
        let attachment = Attachment::Vif { vif_uuid: format!("vif-{name}") };
        self.apply(&Command::Attach { port: self.uuids[name], attachment });
    }

    fn bind(&mut self, port: &str, node: &str, ofport: &str, mac: &str) {
        let observed = ObservedVif {
            vif: format!("vif-{port}"),
            interface: format!("tap-{port}"),
            ofport: OfPort(ofport.parse().expect("a number")),
            attached_mac: Some(mac.parse().expect("a MAC")),
        };
        self.apply(&Command::Observe {
            node: self.uuids[node],
            epoch: None,
            present: vec![observed],
            gone: Vec::new(),
        });
    }

    /// Compares the table of a node with the one in `snapshots/`.
    pub fn snapshot(&self, feature: &str, node: &str) {
        let uuid = self.uuids[node];
        let table = Engine::from_nib(&self.nib).desired(self.nib.nodes()[&uuid].number);
        let mut text = String::new();
        write_table(&mut text, &table, &NibNames::new(&self.nib, Some(uuid))).expect("memory takes it");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../../../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{feature}__{node}"), text));
    }
}
