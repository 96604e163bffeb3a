//! Flows and groups in the words of `ovs-ofctl`(8).

use super::flows::Program;
use selvedge_sim::switch::model::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A bundle that replaces everything.
pub fn bundle(program: &Program) -> String {
    let mut lines = vec!["flow delete".to_string(), "group delete".to_string()];
    lines.extend(program.groups.iter().map(|(id, group)| format!("group add {}", write_group(*id, group))));
    lines.extend(program.flows.iter().map(|flow| format!("flow add {}", write_flow(flow))));
    lines.push("flow add table=0,priority=65535,dl_type=0x9999,actions=ALL,IN_PORT".to_string());
    lines.join("\n") + "\n"
}

fn write_group(id: u32, group: &Group) -> String {
    let kind = match group.kind {
        GroupType::All => "all",
        GroupType::Select => "select",
        GroupType::Indirect => "indirect",
        GroupType::FastFailover => "ff",
    };
    let buckets: Vec<String> = group.buckets.iter().map(|bucket| write_bucket(group.kind, bucket)).collect();
    format!("group_id={id},type={kind},{}", buckets.join(","))
}

fn write_bucket(kind: GroupType, bucket: &Bucket) -> String {
    let watch = match kind {
        GroupType::FastFailover => format!("watch_port:{},", bucket.watch_port),
        GroupType::All | GroupType::Select | GroupType::Indirect => String::new(),
    };
    format!("bucket=bucket_id:{},{watch}actions={}", bucket.id, write_actions(&bucket.actions))
}

fn write_flow(flow: &Flow) -> String {
    let fields: Vec<String> = flow.matching.0.iter().map(write_match).collect();
    let matching: String = fields.iter().map(|field| format!(",{field}")).collect();
    format!(
        "table={},priority={},cookie={:#x}{matching},actions={}",
        flow.table,
        flow.priority,
        flow.cookie,
        write_actions(&flow.actions)
    )
}

fn write_match(part: &FieldMatch) -> String {
    let name = match part.field {
        Field::IpFrag => return format!("ip_frag={}", fragment(part)),
        Field::CtState => return format!("ct_state={:#x}/{:#x}", part.value, part.mask),
        field => field.to_string(),
    };
    if part.mask == part.field.full_mask() {
        format!("{name}={}", value(part.field, part.value))
    } else {
        format!("{name}={}/{}", value(part.field, part.value), value(part.field, part.mask))
    }
}

fn fragment(part: &FieldMatch) -> &'static str {
    match (part.value, part.mask) {
        (0, 3) => "no",
        (1, 1) => "yes",
        (1, 3) => "first",
        (3, 3) => "later",
        (0, 2) => "not_later",
        other => panic!("no word for ip_frag {other:?}"),
    }
}

fn value(field: Field, value: u128) -> String {
    match field {
        Field::EthSrc | Field::EthDst | Field::ArpSha | Field::ArpTha | Field::NdSll | Field::NdTll => {
            let bytes = value.to_be_bytes();
            bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
        }
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa | Field::TunSrc | Field::TunDst => {
            Ipv4Addr::from(value as u32).to_string()
        }
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget | Field::TunIpv6Src | Field::TunIpv6Dst => {
            Ipv6Addr::from(value).to_string()
        }
        Field::InPort => value.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// A part of a field. Open vSwitch calls the port of 32 bits otherwise.
fn part(part: &Subfield) -> String {
    if part.bits == 0 {
        panic!("a part has bits");
    }
    format!("{}[{}..{}]", part.field, part.offset, part.offset + part.bits - 1)
}

fn write_actions(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "drop".to_string();
    }
    actions.iter().map(write_action).collect::<Vec<_>>().join(",")
}

fn port_name(number: u32) -> String {
    match number {
        port::IN_PORT => "IN_PORT".to_string(),
        port::ALL => "ALL".to_string(),
        port::FLOOD => "FLOOD".to_string(),
        port::LOCAL => "LOCAL".to_string(),
        port::NORMAL => "NORMAL".to_string(),
        number => number.to_string(),
    }
}

fn write_action(action: &Action) -> String {
    match action {
        Action::Output { port, .. } => format!("output:{}", port_name(*port)),
        Action::OutputReg { source, .. } => format!("output:{}", part(source)),
        Action::Group(id) => format!("group:{id}"),
        Action::Set(FieldMatch { field, value: bits, mask }) if *mask == field.full_mask() => {
            format!("set_field:{}->{field}", value(*field, *bits))
        }
        Action::Set(FieldMatch { field, value: bits, mask }) => {
            format!("set_field:{}/{}->{field}", value(*field, *bits), value(*field, *mask))
        }
        Action::Move { from, to } => format!("move:{}->{}", part(from), part(to)),
        Action::Push(source) => format!("push:{}", part(source)),
        Action::Pop(target) => format!("pop:{}", part(target)),
        Action::PushVlan(kind) => format!("push_vlan:{kind:#x}"),
        Action::PopVlan => "pop_vlan".to_string(),
        Action::DecTtl(_) => "dec_ttl".to_string(),
        Action::SetTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::Resubmit { in_port, table, original_tuple } => {
            let in_port = in_port.map(|port| port.to_string()).unwrap_or_default();
            let table = table.map(|table| table.to_string()).unwrap_or_default();
            let tuple = if *original_tuple { ",ct" } else { "" };
            format!("resubmit({in_port},{table}{tuple})")
        }
        Action::Learn(learn) => write_learn(learn),
        Action::Conjunction { id, clause, clauses } => format!("conjunction({id},{}/{clauses})", clause + 1),
        Action::Ct(ct) => write_ct(ct),
        Action::CtClear => "ct_clear".to_string(),
        Action::Clone(inner) => format!("clone({})", write_actions(inner)),
        Action::Exit => "exit".to_string(),
        Action::Note(_) => "note:01.02".to_string(),
        Action::WriteMetadata { value, mask } => format!("write_metadata:{value:#x}/{mask:#x}"),
        Action::WriteActions(inner) => format!("write_actions({})", write_actions(inner)),
        Action::ClearActions => "clear_actions".to_string(),
        Action::GotoTable(table) => format!("goto_table:{table}"),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::PopQueue => "pop_queue".to_string(),
        Action::Nat(nat) => write_nat(nat),
        Action::Meter(_) | Action::Controller { .. } => panic!("not generated: {action:?}"),
    }
}

fn write_learn(learn: &Learn) -> String {
    let spec = |spec: &LearnSpec| match (&spec.source, &spec.target) {
        (LearnSource::Field(from), LearnTarget::Match(to)) => format!("{}={}", part(to), part(from)),
        (LearnSource::Value(bits), LearnTarget::Match(to)) => format!("{}={}", to.field, value(to.field, *bits)),
        (LearnSource::Field(from), LearnTarget::Load(to)) => format!("load:{}->{}", part(from), part(to)),
        (LearnSource::Value(bits), LearnTarget::Load(to)) => format!("load:{bits:#x}->{}", part(to)),
        (LearnSource::Field(from), LearnTarget::Output) => format!("output:{}", part(from)),
        (LearnSource::Value(_), LearnTarget::Output) => panic!("not generated"),
    };
    let specs: Vec<String> = learn.specs.iter().map(spec).collect();
    format!("learn(table={},priority={},{})", learn.table, learn.priority, specs.join(","))
}

fn write_ct(ct: &Ct) -> String {
    let zone = match ct.zone {
        CtZone::Fixed(zone) => format!("zone={zone}"),
        CtZone::Field(source) => format!("zone={}", part(&source)),
    };
    let mut words = vec![zone];
    words.extend(ct.commit.then(|| "commit".to_string()));
    words.extend(ct.force.then(|| "force".to_string()));
    words.extend(ct.recirculate.map(|table| format!("table={table}")));
    let (nat, sets): (Vec<&Action>, Vec<&Action>) = ct.actions.iter().partition(|one| matches!(one, Action::Nat(_)));
    words.extend(nat.into_iter().map(write_action));
    if !sets.is_empty() {
        words.push(format!("exec({})", sets.into_iter().map(write_action).collect::<Vec<_>>().join(",")));
    }
    format!("ct({})", words.join(","))
}

fn write_nat(nat: &Nat) -> String {
    let side = match nat.flags & 3 {
        1 => "src",
        2 => "dst",
        _ => return "nat".to_string(),
    };
    let addresses = nat.addresses.map_or(String::new(), |(first, last)| format!("{first}-{last}"));
    let ports = nat.ports.map_or(String::new(), |(first, last)| format!(":{first}-{last}"));
    format!("nat({side}={addresses}{ports})")
}
