//! The database `Open_vSwitch` (`ovs-vswitchd.conf.db(5)`) as typed rows: those columns that we read or write.
//!
//! [`SCHEMA`] is what to watch, [`Vswitch::read`] turns the replica of it into rows, [`vifs`] finds the guests'
//! interfaces among them. Columns that Open vSwitch rewrites every few seconds (statistics, status) are not watched;
//! `is_connected` is, since it changes only when a connection does.
//!
//! The references between rows are those of a moment: look rows up, and expect to find none.

use super::replica::{Replica, Row};
use super::schema::{Base, Column, Schema, Table};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The database of a switch.
pub const DATABASE: &str = "Open_vSwitch";

/// Port numbers are from 1 to this; greater ones are reserved (OpenFlow 1.0 `OFPP_MAX`, which Open vSwitch keeps to).
const OFPORT_MAX: u32 = 0xfeff;

/// What we watch of it.
pub static SCHEMA: Schema = Schema {
    database: DATABASE,
    tables: &[
        Table {
            name: "Open_vSwitch",
            columns: &[
                Column::set("bridges", Base::Uuid),
                Column::set("manager_options", Base::Uuid),
                Column::string_map("external_ids"),
                Column::optional("ovs_version", Base::String),
                Column::set("datapath_types", Base::String),
                Column::set("iface_types", Base::String),
                Column::one("cur_cfg", Base::Integer),
                Column::one("next_cfg", Base::Integer),
            ],
        },
        Table {
            name: "Bridge",
            columns: &[
                Column::one("name", Base::String),
                Column::optional("datapath_id", Base::String),
                Column::one("datapath_type", Base::String),
                Column::set("ports", Base::Uuid),
                Column::optional("fail_mode", Base::String),
                Column::set("protocols", Base::String),
                Column::set("controller", Base::Uuid),
                Column::string_map("other_config"),
                Column::string_map("external_ids"),
            ],
        },
        Table {
            name: "Port",
            columns: &[
                Column::one("name", Base::String),
                Column::set("interfaces", Base::Uuid),
                Column::string_map("external_ids"),
                Column::optional("tag", Base::Integer),
            ],
        },
        Table {
            name: "Interface",
            columns: &[
                Column::one("name", Base::String),
                Column::one("type", Base::String),
                Column::string_map("options"),
                Column::string_map("external_ids"),
                Column::optional("ofport", Base::Integer),
                Column::optional("ofport_request", Base::Integer),
                Column::optional("link_state", Base::String),
                Column::optional("error", Base::String),
                Column::optional("mac_in_use", Base::String),
            ],
        },
        Table {
            name: "Controller",
            columns: &[
                Column::one("target", Base::String),
                Column::optional("connection_mode", Base::String),
                Column::optional("max_backoff", Base::Integer),
                Column::optional("inactivity_probe", Base::Integer),
                Column::one("is_connected", Base::Boolean),
                Column::optional("role", Base::String),
                Column::string_map("external_ids"),
            ],
        },
        Table {
            name: "Manager",
            columns: &[
                Column::one("target", Base::String),
                Column::optional("max_backoff", Base::Integer),
                Column::one("is_connected", Base::Boolean),
                Column::string_map("external_ids"),
            ],
        },
    ],
};

/// Keys and values of a column such as `external_ids`.
pub type StringMap = BTreeMap<String, String>;

/// All rows, by their UUID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vswitch {
    /// The one row of the table `Open_vSwitch`, unless the database was never initialised.
    pub switch: Option<Switch>,
    /// Table `Bridge`.
    pub bridges: BTreeMap<Uuid, Bridge>,
    /// Table `Port`.
    pub ports: BTreeMap<Uuid, Port>,
    /// Table `Interface`.
    pub interfaces: BTreeMap<Uuid, Interface>,
    /// Table `Controller`.
    pub controllers: BTreeMap<Uuid, Controller>,
    /// Table `Manager`.
    pub managers: BTreeMap<Uuid, Manager>,
}

/// The row of the table `Open_vSwitch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// Its name in transactions.
    pub uuid: Uuid,
    /// The bridges.
    pub bridges: BTreeSet<Uuid>,
    /// The OVSDB managers.
    pub managers: BTreeSet<Uuid>,
    /// Free for integrators; `system-id` names the machine.
    pub external_ids: StringMap,
    /// As in `3.1.0`; unknown until `ovs-vswitchd` or its start script has written it.
    pub ovs_version: Option<String>,
    /// What a bridge's `datapath_type` may be; unknown, thus empty, until `ovs-vswitchd` has run.
    pub datapath_types: BTreeSet<String>,
    /// What an interface's `type` may be, working or not; likewise.
    pub iface_types: BTreeSet<String>,
    /// The last `next_cfg` that `ovs-vswitchd` has put into effect.
    pub cur_cfg: i64,
    /// Incremented by whoever wants to know when a change is in effect.
    pub next_cfg: i64,
}

/// A row of the table `Bridge`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Unique.
    pub name: String,
    /// 16 hexadecimal digits; unknown until `ovs-vswitchd` has made the bridge.
    pub datapath_id: Option<String>,
    /// `system`, for which the empty string also stands, or `netdev`.
    pub datapath_type: String,
    /// Its ports.
    pub ports: BTreeSet<Uuid>,
    /// `standalone` or `secure`; unset is standalone.
    pub fail_mode: Option<String>,
    /// The OpenFlow versions spoken, as in `OpenFlow15`; none set means all.
    pub protocols: BTreeSet<String>,
    /// Its OpenFlow controllers.
    pub controllers: BTreeSet<Uuid>,
    /// Settings without a column of their own.
    pub other_config: StringMap,
    /// Free for integrators.
    pub external_ids: StringMap,
}

/// A row of the table `Port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Unique.
    pub name: String,
    /// One, or several in a bond.
    pub interfaces: BTreeSet<Uuid>,
    /// Free for integrators.
    pub external_ids: StringMap,
    /// The VLAN of an access port.
    pub tag: Option<i64>,
}

/// A row of the table `Interface`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Unique; the network device's name, if there is one.
    pub name: String,
    /// `system`, for which the empty string also stands, `internal`, `geneve` and so on.
    pub kind: String,
    /// Settings of that type.
    pub options: StringMap,
    /// Free for integrators; see [`vifs`].
    pub external_ids: StringMap,
    /// The OpenFlow port number; -1 if the interface could not be made, unset until that was tried.
    pub ofport: Option<i64>,
    /// The number wished for.
    pub ofport_request: Option<i64>,
    /// `up` or `down`.
    pub link_state: Option<String>,
    /// Why the interface could not be made.
    pub error: Option<String>,
    /// The device's MAC address.
    pub mac_in_use: Option<String>,
}

/// A row of the table `Controller`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// As in `ssl:192.0.2.1:6653`.
    pub target: String,
    /// `in-band` or `out-of-band`; unset is in-band.
    pub connection_mode: Option<String>,
    /// Longest wait between attempts to connect, in milliseconds.
    pub max_backoff: Option<i64>,
    /// Silence after which the switch sends an echo request, in milliseconds.
    pub inactivity_probe: Option<i64>,
    /// Whether there is a connection. Lags by up to 5 s.
    pub is_connected: bool,
    /// `master`, `slave` or `other`, in the database's words.
    pub role: Option<String>,
    /// Free for integrators.
    pub external_ids: StringMap,
}

/// A row of the table `Manager`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manager {
    /// As in `ssl:192.0.2.1:6640`.
    pub target: String,
    /// Longest wait between attempts to connect, in milliseconds.
    pub max_backoff: Option<i64>,
    /// Whether there is a connection. Lags by up to 5 s.
    pub is_connected: bool,
    /// Free for integrators.
    pub external_ids: StringMap,
}

impl Vswitch {
    /// The rows of a replica of [`SCHEMA`].
    pub fn read(replica: &Replica) -> Self {
        let switch = replica.table("Open_vSwitch").iter().next();
        Self {
            switch: switch.map(|(uuid, row)| Switch::read(*uuid, row)),
            bridges: read_table(replica, "Bridge", Bridge::read),
            ports: read_table(replica, "Port", Port::read),
            interfaces: read_table(replica, "Interface", Interface::read),
            controllers: read_table(replica, "Controller", Controller::read),
            managers: read_table(replica, "Manager", Manager::read),
        }
    }

    /// The bridge of that name.
    pub fn bridge(&self, name: &str) -> Option<(Uuid, &Bridge)> {
        let (uuid, bridge) = self.bridges.iter().find(|(_, bridge)| bridge.name == name)?;
        Some((*uuid, bridge))
    }

    /// The ports of a bridge.
    pub fn ports_of<'a>(&'a self, bridge: &'a Bridge) -> impl Iterator<Item = (Uuid, &'a Port)> {
        bridge.ports.iter().filter_map(|uuid| Some((*uuid, self.ports.get(uuid)?)))
    }

    /// The interfaces of a port.
    pub fn interfaces_of<'a>(&'a self, port: &'a Port) -> impl Iterator<Item = (Uuid, &'a Interface)> {
        port.interfaces.iter().filter_map(|uuid| Some((*uuid, self.interfaces.get(uuid)?)))
    }
}

fn read_table<T>(replica: &Replica, name: &str, read: impl Fn(&Row) -> T) -> BTreeMap<Uuid, T> {
    replica.table(name).iter().map(|(uuid, row)| (*uuid, read(row))).collect()
}

impl Switch {
    fn read(uuid: Uuid, row: &Row) -> Self {
        Self {
            uuid,
            bridges: row.references("bridges"),
            managers: row.references("manager_options"),
            external_ids: row.string_map("external_ids"),
            ovs_version: row.optional_string("ovs_version"),
            datapath_types: row.strings("datapath_types"),
            iface_types: row.strings("iface_types"),
            cur_cfg: row.integer("cur_cfg"),
            next_cfg: row.integer("next_cfg"),
        }
    }
}

impl Bridge {
    fn read(row: &Row) -> Self {
        Self {
            name: row.string("name"),
            datapath_id: row.optional_string("datapath_id"),
            datapath_type: row.string("datapath_type"),
            ports: row.references("ports"),
            fail_mode: row.optional_string("fail_mode"),
            protocols: row.strings("protocols"),
            controllers: row.references("controller"),
            other_config: row.string_map("other_config"),
            external_ids: row.string_map("external_ids"),
        }
    }
}

impl Port {
    fn read(row: &Row) -> Self {
        Self {
            name: row.string("name"),
            interfaces: row.references("interfaces"),
            external_ids: row.string_map("external_ids"),
            tag: row.optional_integer("tag"),
        }
    }
}

impl Interface {
    fn read(row: &Row) -> Self {
        Self {
            name: row.string("name"),
            kind: row.string("type"),
            options: row.string_map("options"),
            external_ids: row.string_map("external_ids"),
            ofport: row.optional_integer("ofport"),
            ofport_request: row.optional_integer("ofport_request"),
            link_state: row.optional_string("link_state"),
            error: row.optional_string("error"),
            mac_in_use: row.optional_string("mac_in_use"),
        }
    }
}

impl Controller {
    fn read(row: &Row) -> Self {
        Self {
            target: row.string("target"),
            connection_mode: row.optional_string("connection_mode"),
            max_backoff: row.optional_integer("max_backoff"),
            inactivity_probe: row.optional_integer("inactivity_probe"),
            is_connected: row.boolean("is_connected"),
            role: row.optional_string("role"),
            external_ids: row.string_map("external_ids"),
        }
    }
}

impl Manager {
    fn read(row: &Row) -> Self {
        Self {
            target: row.string("target"),
            max_backoff: row.optional_integer("max_backoff"),
            is_connected: row.boolean("is_connected"),
            external_ids: row.string_map("external_ids"),
        }
    }
}

/// A guest's interface on the integration bridge, as the hypervisor's software has marked it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vif {
    /// What a logical port's attachment names.
    pub vif_id: String,
    /// The interface's name on the hypervisor.
    pub interface: String,
    /// Its OpenFlow port number, once it has a usable one.
    pub ofport: Option<u32>,
    /// The guest's MAC address, as the hypervisor's software wrote it.
    pub attached_mac: Option<String>,
    /// Whether the guest uses it: a guest being migrated has an interface on either side, and an HVM guest of Xen
    /// two on one, of which one is active.
    pub active: bool,
    /// Why the interface could not be made.
    pub error: Option<String>,
}

impl Vif {
    fn read(interface: &Interface) -> Option<Self> {
        let ids = &interface.external_ids;
        let usable = |ofport: &u32| (1..=OFPORT_MAX).contains(ofport);
        Some(Self {
            vif_id: vif_id(ids)?.to_owned(),
            interface: interface.name.clone(),
            ofport: interface.ofport.and_then(|ofport| u32::try_from(ofport).ok()).filter(usable),
            attached_mac: ids.get("attached-mac").cloned(),
            active: ids.get("iface-status").is_none_or(|status| status == "active"),
            error: interface.error.clone(),
        })
    }
}

/// The VIFs of a bridge, by VIF and then by interface. A VIF may have more than one interface.
pub fn vifs(vswitch: &Vswitch, bridge: &str) -> Vec<Vif> {
    let bridge = vswitch.bridge(bridge).map(|(_, bridge)| bridge);
    let ports = bridge.into_iter().flat_map(|bridge| vswitch.ports_of(bridge));
    let interfaces = ports.flat_map(|(_, port)| vswitch.interfaces_of(port));
    let mut vifs: Vec<Vif> = interfaces.filter_map(|(_, interface)| Vif::read(interface)).collect();
    vifs.sort();
    vifs
}

/// `iface-id`, as everywhere, or `xs-vif-uuid`, by which a XenServer is known and where a `nicira-iface-id` overrides
/// both. An empty string identifies nothing.
fn vif_id(external_ids: &StringMap) -> Option<&str> {
    let id = |key| external_ids.get(key).map(String::as_str).filter(|id| !id.is_empty());
    let xen = id("xs-vif-uuid");
    let overriding = xen.and_then(|_| id("nicira-iface-id"));
    overriding.or_else(|| id("iface-id")).or(xen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(pairs: &[(&str, &str)]) -> StringMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// A switch with these interfaces, each on a port of its own on br-int.
    fn vswitch(interfaces: &[Interface]) -> Vswitch {
        let mut vswitch = Vswitch::default();
        let mut bridge = Bridge { name: "br-int".to_owned(), ..Bridge::default() };
        for (number, interface) in (1..).zip(interfaces) {
            let uuid = Uuid::from_u128(number);
            vswitch.interfaces.insert(uuid, interface.clone());
            vswitch.ports.insert(uuid, Port { interfaces: [uuid].into(), ..Port::default() });
            bridge.ports.insert(uuid);
        }
        vswitch.bridges.insert(Uuid::from_u128(100), bridge);
        vswitch
    }

    fn check_id(pairs: &[(&str, &str)], expected: Option<&str>) {
        let interface = Interface { external_ids: ids(pairs), ..Interface::default() };
        let found = vifs(&vswitch(&[interface]), "br-int");
        assert_eq!(found.first().map(|vif| vif.vif_id.as_str()), expected, "{pairs:?}");
    }

    #[test]
    fn a_vif_is_known_by_its_external_ids() {
        check_id(&[], None);
        check_id(&[("iface-id", "")], None);
        check_id(&[("iface-id", "a")], Some("a"));
        check_id(&[("xs-vif-uuid", "x")], Some("x"));
        check_id(&[("xs-vif-uuid", "x"), ("iface-id", "a")], Some("a"));
        check_id(&[("xs-vif-uuid", "x"), ("iface-id", "a"), ("nicira-iface-id", "n")], Some("n"));
        check_id(&[("xs-vif-uuid", "x"), ("nicira-iface-id", "n")], Some("n"));
        check_id(&[("nicira-iface-id", "n")], None);
        check_id(&[("iface-id", "a"), ("nicira-iface-id", "n")], Some("a"));
    }

    #[test]
    fn only_ordinary_port_numbers_count() {
        for (ofport, expected) in [
            (None, None),
            (Some(-1), None),
            (Some(0), None),
            (Some(1), Some(1)),
            (Some(65279), Some(65279)),
            (Some(65280), None),
            (Some(65534), None),
            (Some(1 << 32 | 1), None),
        ] {
            let interface = Interface { ofport, external_ids: ids(&[("iface-id", "a")]), ..Interface::default() };
            assert_eq!(vifs(&vswitch(&[interface]), "br-int")[0].ofport, expected, "{ofport:?}");
        }
    }

    #[test]
    fn two_interfaces_of_a_vif_are_told_apart() {
        let interface = |name: &str, status| Interface {
            name: name.to_owned(),
            external_ids: ids(&[("iface-id", "a"), ("iface-status", status), ("attached-mac", "m")]),
            error: Some("e".to_owned()),
            ..Interface::default()
        };
        let found = vifs(&vswitch(&[interface("vif1.0", "inactive"), interface("tap1.0", "active")]), "br-int");
        let expected = |name: &str, active| Vif {
            vif_id: "a".to_owned(),
            interface: name.to_owned(),
            ofport: None,
            attached_mac: Some("m".to_owned()),
            active,
            error: Some("e".to_owned()),
        };
        assert_eq!(found, [expected("tap1.0", true), expected("vif1.0", false)]);
    }

    #[test]
    fn other_bridges_and_lost_rows_have_no_vifs() {
        let interface = Interface { external_ids: ids(&[("iface-id", "a")]), ..Interface::default() };
        let mut vswitch = vswitch(&[interface]);
        assert_eq!(vifs(&vswitch, "br-ex"), []);
        vswitch.interfaces.clear();
        assert_eq!(vifs(&vswitch, "br-int"), []);
        vswitch.ports.clear();
        assert_eq!(vifs(&vswitch, "br-int"), []);
    }
}
