//! Names for the numbers in flows, for people: those of the NIB. Start at [`NibNames`].

use crate::compile::{GroupName, tunnel_port};
use crate::flow::GroupId;
use crate::flow::text::Names;
use crate::ids::{OfPort, PortKey, TunnelKey};
use crate::nib::{Encap, Nib};
use crate::pipeline::{self, Stage};
use uuid::Uuid;

/// The names that a NIB knows, as seen from one transport node or from none.
#[derive(Clone, Copy, Debug)]
pub struct NibNames<'a> {
    nib: &'a Nib,
    node: Option<Uuid>,
}

impl<'a> NibNames<'a> {
    /// Names for the flows of `node`; without one, OpenFlow ports of guests stay numbers.
    pub fn new(nib: &'a Nib, node: Option<Uuid>) -> NibNames<'a> {
        NibNames { nib, node }
    }
}

/// A name, in quotes where it could be taken for something else.
fn quoted(name: &str) -> String {
    let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    let number = name.starts_with("0x") || name.chars().all(|c| c.is_ascii_digit());
    match word && !number {
        true => name.to_string(),
        false => format!("{name:?}"),
    }
}

impl Names for NibNames<'_> {
    fn stage(&self, table: u8) -> Option<String> {
        Stage::of_table(table).map(|stage| stage.name().to_string())
    }

    fn port(&self, port: OfPort) -> Option<String> {
        let tunnel = Encap::ALL.into_iter().find(|encap| tunnel_port(*encap) == port);
        let vif = || {
            let mut claims = self.nib.vifs_of(self.node?);
            claims.find(|claim| claim.observed.ofport == port).map(|claim| quoted(&claim.observed.interface))
        };
        tunnel.map(|encap| encap.name().to_string()).or_else(vif)
    }

    fn datapath(&self, key: TunnelKey) -> Option<String> {
        let record = self.nib.switches().get(&self.nib.switch_of_key(key)?)?;
        record.config.common.display_name.as_deref().map(quoted)
    }

    fn logical_port(&self, datapath: TunnelKey, port: PortKey) -> Option<String> {
        let mut ports = self.nib.ports_of(self.nib.switch_of_key(datapath)?);
        let (_, record) = ports.find(|(_, record)| record.key == port)?;
        record.config.common.display_name.as_deref().map(quoted)
    }

    fn register(&self, register: u8) -> Option<&'static str> {
        pipeline::register_name(register)
    }

    fn group(&self, group: GroupId) -> Option<String> {
        let group = GroupName::of(group)?;
        Some(format!("{}/{group}", self.datapath(group.datapath)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_something_else_are_quoted() {
        let check = |name: &str, want: &str| assert_eq!(quoted(name), want);
        check("web-1.prod_a", "web-1.prod_a");
        check("5f0e", "5f0e");
        check("", r#""""#);
        check("5", r#""5""#);
        check("0x1", r#""0x1""#);
        check("red team", r#""red team""#);
        check("a,actions=drop", r#""a,actions=drop""#);
        check("a\nb", r#""a\nb""#);
    }
}
