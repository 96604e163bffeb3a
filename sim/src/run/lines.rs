//! Flows and groups of both models in one spelling, so that they can be compared: the compiler's, and the simulated
//! switch's, which was read from bytes by code that shares nothing with the compiler or its codecs.
//!
//! Start at [`desired`] and [`held`].

use crate::oracles::realised::Lines;
use crate::switch::model::{self, port};
use selvedge_core::flow as core;
use std::fmt::Write;

/// The lines of the tables that a switch should have.
pub fn desired(table: &core::FlowTable) -> Lines {
    let flows = table.flows.iter().map(|(key, body)| {
        let fields = key
            .matching
            .fields()
            .iter()
            .map(|field| match_line(&field_name(field.field()), field.value(), field.mask()));
        let actions = body.actions.steps().iter().map(desired_action);
        flow_line(key.table, key.priority, body.cookie, fields.collect(), actions.collect())
    });
    let groups = table.groups.iter().map(|(id, buckets)| {
        let bucket = |(id, actions): (&core::BucketId, &core::Actions)| {
            (id.0, actions.steps().iter().map(desired_action).collect())
        };
        group_line(id.0, "All", buckets.iter().map(bucket).collect())
    });
    flows.chain(groups).collect()
}

/// The lines of the tables that a simulated switch has.
pub fn held<'a>(
    flows: impl IntoIterator<Item = &'a model::Flow>,
    groups: impl IntoIterator<Item = (u32, &'a model::Group)>,
) -> Lines {
    let flows = flows.into_iter().map(|flow| {
        let fields = flow.matching.0.iter().map(|m| match_line(&format!("{:?}", m.field), m.value, m.mask));
        flow_line(
            flow.table,
            flow.priority,
            flow.cookie,
            fields.collect(),
            flow.actions.iter().map(held_action).collect(),
        )
    });
    let groups = groups.into_iter().map(|(id, group)| {
        let mut buckets: Vec<(u32, Vec<String>)> =
            group.buckets.iter().map(|bucket| (bucket.id, bucket.actions.iter().map(held_action).collect())).collect();
        buckets.sort();
        group_line(id, &format!("{:?}", group.kind), buckets)
    });
    flows.chain(groups).collect()
}

fn flow_line(table: u8, priority: u16, cookie: u64, mut fields: Vec<String>, actions: Vec<String>) -> String {
    fields.sort();
    format!("table={table} priority={priority} {} cookie={cookie:#x} actions={}", fields.join(","), actions.join(","))
}

fn group_line(id: u32, kind: &str, buckets: Vec<(u32, Vec<String>)>) -> String {
    let mut line = format!("group={id:#x} {kind}");
    for (bucket, actions) in buckets {
        write!(line, " {bucket}:[{}]", actions.join(",")).expect("memory takes it");
    }
    line
}

fn match_line(name: &str, value: u128, mask: u128) -> String {
    format!("{name}={value:#x}/{mask:#x}")
}

/// The simulated switch's name of a field of the compiler's. Its only other word is that for VLAN tags: the bit that says
/// that there is one is in the same place.
fn field_name(field: core::Field) -> String {
    match field {
        core::Field::VlanVid => "VlanTci".to_string(),
        other => format!("{other:?}"),
    }
}

fn desired_action(action: &core::Action) -> String {
    match action {
        core::Action::Output(to) => format!("output:{}", to.0),
        core::Action::OutputInPort => format!("output:{}", port::IN_PORT),
        core::Action::Group(group) => format!("group:{:#x}", group.0),
        core::Action::Set(set) => set_line(&field_name(set.field), set.value, set.field.full_mask()),
        core::Action::Copy { from, to } => {
            let whole = |field: &core::Field| format!("{}[0..{}]", field_name(*field), field.bits());
            format!("move:{}->{}", whole(from), whole(to))
        }
        core::Action::Resubmit(table) => format!("resubmit:{table}"),
        core::Action::Goto(table) => format!("goto:{table}"),
    }
}

fn set_line(name: &str, value: u128, mask: u128) -> String {
    format!("set:{}", match_line(name, value, mask))
}

fn held_action(action: &model::Action) -> String {
    use model::Action;
    match action {
        Action::Output { port, .. } => format!("output:{port}"),
        Action::Group(group) => format!("group:{group:#x}"),
        Action::Set(set) => set_line(&format!("{:?}", set.field), set.value, set.mask),
        Action::Move { from, to } => {
            let part =
                |part: &model::Subfield| format!("{:?}[{}..{}]", part.field, part.offset, part.offset + part.bits);
            format!("move:{}->{}", part(from), part(to))
        }
        Action::Resubmit { in_port: None | Some(port::IN_PORT), table: Some(table), original_tuple: false } => {
            format!("resubmit:{table}")
        }
        Action::GotoTable(table) => format!("goto:{table}"),
        // The compiler says none of these: whatever is written here differs from all that it wants.
        other => format!("{other:?}"),
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
        let exact = |field: model::Field, value| model::FieldMatch { field, value, mask: field.full_mask() };
        let whole = |field: model::Field| model::Subfield { field, offset: 0, bits: field.bits() as u16 };
        let flow = model::Flow {
            table: 2,
            priority: 5,
            matching: model::Match(vec![exact(model::Field::InPort, 7), exact(model::Field::Reg(3), 9)]),
            cookie: 8,
            actions: vec![
                model::Action::Set(exact(model::Field::TunId, 4)),
                model::Action::Move { from: whole(model::Field::EthSrc), to: whole(model::Field::EthDst) },
                model::Action::Resubmit { in_port: None, table: Some(3), original_tuple: false },
                model::Action::Output { port: 1, max_len: 0 },
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
