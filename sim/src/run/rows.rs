//! Flows and groups of both models as rows of one, so that they can be compared: the compiler's, and the simulated
//! switch's, which was read from bytes by code that shares nothing with the compiler or its codecs.
//!
//! Start at [`desired`] and [`held`].

use crate::oracles::realised::{Row, Rows};
use crate::switch::model::{self, Action, FieldMatch, GroupType, Match, Subfield, port};
use selvedge_core::flow as core;

/// The rows of the tables that a switch should have.
pub fn desired(table: &core::FlowTable) -> Rows {
    let flows = table.flows.iter().map(|(key, body)| {
        let fields = key.matching.fields().iter();
        let fields =
            fields.map(|part| FieldMatch { field: field(part.field()), value: part.value(), mask: part.mask() });
        let mut fields: Vec<FieldMatch> = fields.collect();
        fields.sort();
        Row::Flow {
            table: key.table,
            priority: key.priority,
            matching: Match(fields),
            cookie: body.cookie,
            actions: body.actions.steps().iter().map(desired_action).collect(),
        }
    });
    let groups = table.groups.iter().map(|(id, buckets)| {
        let bucket = |(id, actions): (&core::BucketId, &core::Actions)| {
            (id.0, actions.steps().iter().map(desired_action).collect())
        };
        Row::Group { id: id.0, kind: GroupType::All, buckets: buckets.iter().map(bucket).collect() }
    });
    flows.chain(groups).collect()
}

/// The rows of the tables that a simulated switch has.
pub fn held<'a>(
    flows: impl IntoIterator<Item = &'a model::Flow>,
    groups: impl IntoIterator<Item = (u32, &'a model::Group)>,
) -> Rows {
    let flows = flows.into_iter().map(|flow| Row::Flow {
        table: flow.table,
        priority: flow.priority,
        matching: flow.matching.clone(),
        cookie: flow.cookie,
        actions: flow.actions.iter().map(held_action).collect(),
    });
    let groups = groups.into_iter().map(|(id, group)| {
        let bucket = |bucket: &model::Bucket| (bucket.id, bucket.actions.iter().map(held_action).collect());
        let mut buckets: Vec<(u32, Vec<Action>)> = group.buckets.iter().map(bucket).collect();
        buckets.sort();
        Row::Group { id, kind: group.kind, buckets }
    });
    flows.chain(groups).collect()
}

/// The simulated switch's word for a field of the compiler's.
fn field(field: core::Field) -> model::Field {
    use model::Field;
    match field {
        core::Field::InPort => Field::InPort,
        core::Field::Metadata => Field::Metadata,
        core::Field::Reg(number) => Field::Reg(number),
        core::Field::TunId => Field::TunId,
        core::Field::TunSrc => Field::TunSrc,
        core::Field::TunDst => Field::TunDst,
        core::Field::TunIpv6Src => Field::TunIpv6Src,
        core::Field::TunIpv6Dst => Field::TunIpv6Dst,
        core::Field::EthSrc => Field::EthSrc,
        core::Field::EthDst => Field::EthDst,
        core::Field::EthType => Field::EthType,
        // The bit that says that there is a tag is in the same place.
        core::Field::VlanVid => Field::VlanTci,
        core::Field::IpProto => Field::IpProto,
        core::Field::Ipv4Src => Field::Ipv4Src,
        core::Field::Ipv4Dst => Field::Ipv4Dst,
        core::Field::Ipv6Src => Field::Ipv6Src,
        core::Field::Ipv6Dst => Field::Ipv6Dst,
        core::Field::IpTtl => Field::IpTtl,
        core::Field::TcpSrc => Field::TcpSrc,
        core::Field::TcpDst => Field::TcpDst,
        core::Field::UdpSrc => Field::UdpSrc,
        core::Field::UdpDst => Field::UdpDst,
        core::Field::Icmpv4Type => Field::Icmpv4Type,
        core::Field::Icmpv4Code => Field::Icmpv4Code,
        core::Field::Icmpv6Type => Field::Icmpv6Type,
        core::Field::Icmpv6Code => Field::Icmpv6Code,
        core::Field::ArpOp => Field::ArpOp,
        core::Field::ArpSpa => Field::ArpSpa,
        core::Field::ArpTpa => Field::ArpTpa,
        core::Field::ArpSha => Field::ArpSha,
        core::Field::ArpTha => Field::ArpTha,
        core::Field::NdTarget => Field::NdTarget,
        core::Field::NdSll => Field::NdSll,
        core::Field::NdTll => Field::NdTll,
    }
}

fn desired_action(action: &core::Action) -> Action {
    match action {
        core::Action::Output(to) => Action::Output { port: to.0, max_len: 0 },
        core::Action::OutputInPort => Action::Output { port: port::IN_PORT, max_len: 0 },
        core::Action::Group(group) => Action::Group(group.0),
        core::Action::Set(set) => {
            Action::Set(FieldMatch { field: field(set.field), value: set.value, mask: set.field.full_mask() })
        }
        core::Action::Copy { from, to } => {
            let whole = |of: core::Field| Subfield { field: field(of), offset: 0, bits: of.bits() as u16 };
            Action::Move { from: whole(*from), to: whole(*to) }
        }
        core::Action::Resubmit(table) => Action::Resubmit { in_port: None, table: Some(*table), original_tuple: false },
        core::Action::Goto(table) => Action::GotoTable(*table),
    }
}

/// An action in the one spelling of those that mean the same.
fn held_action(action: &Action) -> Action {
    match action {
        // How much of a packet a controller gets; nothing here goes to one.
        Action::Output { port, .. } => Action::Output { port: *port, max_len: 0 },
        Action::Resubmit { in_port: Some(port::IN_PORT), table, original_tuple } => {
            Action::Resubmit { in_port: None, table: *table, original_tuple: *original_tuple }
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_core::ids::OfPort;
    use std::sync::Arc;

    #[test]
    fn both_models_spell_a_flow_alike() {
        let matching = core::Match::any().exact(core::Field::InPort, 7u32).exact(core::Field::Reg(3), 9u32);
        let key = core::FlowKey { table: 2, priority: 5, matching };
        let actions = [
            core::Action::set(core::Field::TunId, 4u64),
            core::Action::Copy { from: core::Field::EthSrc, to: core::Field::EthDst },
            core::Action::Resubmit(3),
            core::Action::Output(OfPort(1)),
        ];
        let body = core::FlowBody { cookie: 8, actions: core::Actions::from(actions) };
        let mut table = core::FlowTable::default();
        table.flows.insert(Arc::new(key), Arc::new(body));
        let exact = |field: model::Field, value| FieldMatch { field, value, mask: field.full_mask() };
        let whole = |field: model::Field| Subfield { field, offset: 0, bits: field.bits() as u16 };
        let flow = model::Flow {
            table: 2,
            priority: 5,
            matching: Match(vec![exact(model::Field::InPort, 7), exact(model::Field::Reg(3), 9)]),
            cookie: 8,
            actions: vec![
                Action::Set(exact(model::Field::TunId, 4)),
                Action::Move { from: whole(model::Field::EthSrc), to: whole(model::Field::EthDst) },
                Action::Resubmit { in_port: None, table: Some(3), original_tuple: false },
                Action::Output { port: 1, max_len: 0 },
            ],
            idle_timeout: 0,
            hard_timeout: 0,
            flags: 0,
            importance: 0,
        };
        assert_eq!(desired(&table), held([&flow], []));
        let other = model::Flow { priority: 6, ..flow };
        assert_ne!(desired(&table), held([&other], []));
    }
}
