//! Tables: a few dozen flows in a few tables, about the same few addresses as the packets, valid by construction.

use super::packets::{ipv4, ipv6, mac, port, tcp_flags};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use selvedge_sim::switch::model::port as reserved;
use selvedge_sim::switch::model::*;
use std::net::IpAddr;

/// How many tables there are.
const TABLES: u8 = 6;

/// Flows and groups.
pub struct Program {
    /// Flows, none of the same table, priority and match.
    pub flows: Vec<Flow>,
    /// Groups by number.
    pub groups: Vec<(u32, Group)>,
    /// Whether there are learn actions, after which decisions are to be made anew.
    pub is_learning: bool,
}

/// What a flow is about, which decides on the fields that it may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Anything,
    Arp,
    Ipv4,
    Ipv6,
    Tcp(bool),
    Udp(bool),
    Sctp(bool),
    Icmp,
    Icmpv6,
    Neighbour(u8),
}

impl About {
    fn draw(random: &mut ChaCha8Rng) -> About {
        match random.random_range(0..14) {
            0..4 => About::Anything,
            4 => About::Arp,
            5 | 6 => About::Ipv4,
            7 => About::Ipv6,
            8 | 9 => About::Tcp(random.random_bool(0.6)),
            10 => About::Udp(random.random_bool(0.6)),
            11 => About::Sctp(random.random_bool(0.6)),
            12 => About::Icmp,
            _ if random.random_bool(0.4) => About::Icmpv6,
            _ => About::Neighbour(random.random_range(135..137)),
        }
    }

    fn is_ipv4(self) -> bool {
        matches!(self, About::Ipv4 | About::Icmp | About::Tcp(true) | About::Udp(true) | About::Sctp(true))
    }

    fn is_ipv6(self) -> bool {
        matches!(self, About::Tcp(false) | About::Udp(false) | About::Sctp(false))
            || matches!(self, About::Ipv6 | About::Icmpv6 | About::Neighbour(_))
    }

    fn is_ip(self) -> bool {
        self.is_ipv4() || self.is_ipv6()
    }

    /// Fields that make it so.
    fn prerequisites(self) -> Vec<FieldMatch> {
        let ip = |is_ipv4: bool, protocol: u128| {
            let kind = if is_ipv4 { 0x800 } else { 0x86dd };
            vec![exact(Field::EthType, kind), exact(Field::IpProto, protocol)]
        };
        match self {
            About::Anything => vec![],
            About::Arp => vec![exact(Field::EthType, 0x806)],
            About::Ipv4 => vec![exact(Field::EthType, 0x800)],
            About::Ipv6 => vec![exact(Field::EthType, 0x86dd)],
            About::Tcp(is_ipv4) => ip(is_ipv4, 6),
            About::Udp(is_ipv4) => ip(is_ipv4, 17),
            About::Sctp(is_ipv4) => ip(is_ipv4, 132),
            About::Icmp => ip(true, 1),
            About::Icmpv6 => ip(false, 58),
            About::Neighbour(kind) => {
                let mut fields = ip(false, 58);
                fields.extend([exact(Field::Icmpv6Type, kind.into()), exact(Field::Icmpv6Code, 0)]);
                fields
            }
        }
    }

    /// Fields of packets that it has, and that actions may set.
    fn writable(self) -> Vec<Field> {
        let mut fields = vec![Field::EthSrc, Field::EthDst];
        fields.extend(self.is_ip().then_some([Field::IpDscp, Field::IpEcn, Field::IpTtl]).into_iter().flatten());
        fields.extend(self.is_ipv4().then_some([Field::Ipv4Src, Field::Ipv4Dst]).into_iter().flatten());
        fields.extend(self.is_ipv6().then_some([Field::Ipv6Src, Field::Ipv6Dst]).into_iter().flatten());
        fields.extend(self.is_ipv6().then_some(Field::Ipv6Label));
        fields.extend(match self {
            About::Arp => vec![Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha],
            About::Tcp(_) => vec![Field::TcpSrc, Field::TcpDst],
            About::Udp(_) => vec![Field::UdpSrc, Field::UdpDst],
            About::Sctp(_) => vec![Field::SctpSrc, Field::SctpDst],
            About::Icmp => vec![Field::Icmpv4Type, Field::Icmpv4Code],
            About::Neighbour(135) => vec![Field::NdTarget, Field::NdSll],
            About::Neighbour(_) => vec![Field::NdTarget, Field::NdTll],
            About::Anything | About::Ipv4 | About::Ipv6 | About::Icmpv6 => vec![],
        });
        fields
    }

    /// Fields of packets that it may match, beyond its prerequisites.
    fn matchable(self) -> Vec<Field> {
        let mut fields = self.writable();
        fields.extend([Field::InPort, Field::VlanTci, Field::Reg(0), Field::Reg(1), Field::Metadata, Field::Xreg(1)]);
        fields.extend([Field::PktMark, Field::TunId]);
        // A flow that may be about later fragments has no ports.
        fields.extend(matches!(self, About::Ipv4 | About::Ipv6).then_some(Field::IpFrag));
        fields.extend(matches!(self, About::Tcp(_)).then_some(Field::TcpFlags));
        fields.extend(matches!(self, About::Icmpv6).then_some(Field::Icmpv6Type));
        fields
    }
}

fn exact(field: Field, value: u128) -> FieldMatch {
    FieldMatch { field, value, mask: field.full_mask() }
}

/// A value that a field may well have.
fn value(random: &mut ChaCha8Rng, field: Field) -> u128 {
    match field {
        Field::EthSrc | Field::EthDst | Field::ArpSha | Field::ArpTha | Field::NdSll | Field::NdTll => {
            mac(random).into()
        }
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => ipv4(random).into(),
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget => ipv6(random),
        Field::TcpSrc | Field::TcpDst | Field::UdpSrc | Field::UdpDst | Field::SctpSrc | Field::SctpDst => {
            port(random).into()
        }
        Field::InPort => random.random_range(1..5),
        Field::VlanTci => [0, 0x1000, 0x1001, 0x3002][random.random_range(0..4)],
        Field::IpDscp => [0, 46][random.random_range(0..2)],
        Field::IpEcn => random.random_range(0..4),
        Field::IpTtl => [1, 2, 64, 255][random.random_range(0..4)],
        Field::ArpOp => random.random_range(1..4),
        Field::TcpFlags => tcp_flags(random).into(),
        Field::Icmpv4Type => [0, 8, 3][random.random_range(0..3)],
        Field::Icmpv6Type => [128, 129][random.random_range(0..2)],
        Field::Icmpv4Code => random.random_range(0..2),
        _ => random.random_range(0..4),
    }
}

/// Whether Open vSwitch lets a mask be given for the field.
fn may_be_masked(field: Field) -> bool {
    !matches!(field, Field::InPort | Field::IpDscp | Field::IpEcn | Field::IpTtl | Field::ArpOp | Field::Icmpv4Type)
        && !matches!(field, Field::Icmpv4Code | Field::Icmpv6Type)
}

/// `ovs-ofctl` takes a mask for an IPv6 address that begins with a digit for the length of a prefix.
fn readable(field: Field, mask: u128) -> u128 {
    if field.bits() == 128 { mask | 0xf << 124 } else { mask }
}

fn condition(random: &mut ChaCha8Rng, field: Field) -> FieldMatch {
    if field == Field::IpFrag {
        let (value, mask) = [(0, 3), (1, 1), (1, 3), (3, 3), (0, 2)][random.random_range(0..5)];
        return FieldMatch { field, value, mask };
    }
    let full = field.full_mask();
    let mask = match random.random_range(0..4) {
        0 if may_be_masked(field) => full & !(full >> random.random_range(1..field.bits())),
        1 if may_be_masked(field) => random.random::<u128>() & full,
        _ => full,
    };
    let mask = if mask == 0 { full } else { readable(field, mask) };
    let value = value(random, field);
    if field == Field::VlanTci && mask & 0xe000 != 0 {
        // OpenFlow 1.5 matches the priority whole, and only in a tag.
        let mask = mask | 0xf000;
        return FieldMatch { field, value: (value | 0x1000) & mask, mask };
    }
    FieldMatch { field, value: value & mask, mask }
}

fn conditions(random: &mut ChaCha8Rng, about: About, needs_tag: bool) -> Match {
    let mut fields = about.prerequisites();
    let allowed = about.matchable();
    if needs_tag {
        fields.push(FieldMatch { field: Field::VlanTci, value: 0x1000, mask: 0x1000 });
    }
    for _ in 0..random.random_range(0..3) {
        let field = allowed[random.random_range(0..allowed.len())];
        if fields.iter().all(|known| known.field != field) {
            fields.push(condition(random, field));
        }
    }
    fields.sort();
    Match(fields)
}

fn part(random: &mut ChaCha8Rng, field: Field, bits: u16) -> Subfield {
    let room = field.bits() as u16 - bits;
    Subfield { field, offset: random.random_range(0..=room), bits }
}

/// Registers and the like, which any flow may set.
const SCRATCH: [Field; 7] =
    [Field::Reg(0), Field::Reg(1), Field::Xreg(1), Field::Xxreg(0), Field::Metadata, Field::PktMark, Field::TunId];

fn set(random: &mut ChaCha8Rng, about: About) -> Action {
    let fields = about.writable();
    let field = match random.random_bool(0.5) {
        true => fields[random.random_range(0..fields.len())],
        false => SCRATCH[random.random_range(0..SCRATCH.len())],
    };
    let full = field.full_mask();
    let is_masked = may_be_masked(field) && random.random_bool(0.3);
    let mask = if is_masked { readable(field, (random.random::<u128>() & full) | 1) } else { full };
    Action::Set(FieldMatch { field, value: value(random, field) & mask, mask })
}

fn copy(random: &mut ChaCha8Rng, about: About) -> Action {
    let mut fields = about.writable();
    fields.extend(SCRATCH);
    let from = fields[random.random_range(0..fields.len())];
    let to = fields[random.random_range(0..fields.len())];
    let bits = random.random_range(1..=from.bits().min(to.bits()) as u16);
    Action::Move { from: part(random, from, bits), to: part(random, to, bits) }
}

fn output(random: &mut ChaCha8Rng) -> Action {
    let number = match random.random_range(0..12) {
        0 => reserved::IN_PORT,
        1 => reserved::ALL,
        2 => reserved::FLOOD,
        3 => 9,
        _ => random.random_range(1..5),
    };
    Action::Output { port: number, max_len: 0 }
}

/// A table to go on in; almost always a later one, or packets would mostly go round until they are dropped.
fn next(random: &mut ChaCha8Rng, table: u8) -> u8 {
    let least = if random.random_bool(0.02) { 0 } else { (table + 1).min(TABLES) };
    random.random_range(least..=TABLES)
}

fn resubmit(random: &mut ChaCha8Rng, table: u8) -> Action {
    let in_port = random.random_bool(0.2).then(|| random.random_range(1..5));
    Action::Resubmit { in_port, table: Some(next(random, table)), original_tuple: false }
}

fn stack(random: &mut ChaCha8Rng, about: About) -> Vec<Action> {
    let mut fields = about.writable();
    fields.extend(SCRATCH);
    let mut one = || {
        let field = fields[random.random_range(0..fields.len())];
        let bits = random.random_range(1..=field.bits() as u16);
        part(random, field, bits)
    };
    vec![Action::Push(one()), Action::Push(one()), Action::Pop(one()), Action::Pop(one())]
}

fn step(random: &mut ChaCha8Rng, about: About, table: u8, depth: u32) -> Vec<Action> {
    match random.random_range(0..20) {
        0..5 => vec![output(random)],
        5..9 => vec![set(random, about)],
        9 | 10 => vec![copy(random, about)],
        11 | 12 => vec![resubmit(random, table)],
        13 => stack(random, about),
        14 if about.is_ip() => vec![Action::DecTtl(vec![0])],
        15 if about.is_ip() => vec![Action::SetTtl(random.random_range(0..3))],
        16 if depth == 0 => {
            let count = random.random_range(1..4);
            vec![Action::Clone((0..count).flat_map(|_| step(random, about, table, 1)).collect())]
        }
        17 if depth == 0 => vec![Action::Group(random.random_range(1..5))],
        18 if random.random_bool(0.2) => vec![Action::Exit],
        18 => {
            let source = Subfield { field: Field::Reg(random.random_range(0..2)), offset: 0, bits: 3 };
            vec![Action::OutputReg { source, max_len: 0 }]
        }
        _ => vec![Action::Note(vec![1, 2])],
    }
}

/// Tags come and go at the beginning, so that what follows is about the same kind of packet.
fn tags(random: &mut ChaCha8Rng, has_tag: bool, may_have_tag: bool) -> Vec<Action> {
    let push = |random: &mut ChaCha8Rng| {
        let kind = [0x8100, 0x88a8][random.random_range(0..2)];
        let vid = 0x1000 | random.random_range(0..4095u128);
        vec![Action::PushVlan(kind), Action::Set(exact(Field::VlanVid, vid))]
    };
    match random.random_range(0..12) {
        0 => push(random),
        1 if !may_have_tag => [push(random), push(random)].concat(),
        2..7 if has_tag => vec![Action::PopVlan],
        7 if has_tag => vec![Action::Set(exact(Field::VlanPcp, random.random_range(0..8)))],
        8 if has_tag => [vec![Action::PopVlan], push(random)].concat(),
        _ => vec![],
    }
}

fn actions(random: &mut ChaCha8Rng, about: About, table: u8, matching: &Match) -> Vec<Action> {
    let tag = matching.0.iter().find(|part| part.field == Field::VlanTci);
    let has_tag = tag.is_some_and(|part| part.value & part.mask & 0x1000 != 0);
    let mut actions = tags(random, has_tag, tag.is_some());
    for _ in 0..random.random_range(0..5) {
        actions.extend(step(random, about, table, 0));
    }
    if random.random_bool(0.7) {
        actions.push(output(random));
    }
    // Instructions in the order of OpenFlow.
    actions.extend(random.random_bool(0.1).then_some(Action::ClearActions));
    if random.random_bool(0.15) {
        actions.push(Action::WriteActions(vec![set(random, about), output(random)]));
    }
    if random.random_bool(0.2) {
        let mask = random.random_range(1..16);
        actions.push(Action::WriteMetadata { value: random.random_range(0..4) & mask, mask });
    }
    if random.random_bool(0.4) && table < TABLES {
        actions.push(Action::GotoTable(random.random_range(table + 1..=TABLES)));
    }
    actions
}

fn flow(table: u8, priority: u16, matching: Match, actions: Vec<Action>) -> Flow {
    Flow {
        table,
        priority,
        matching,
        cookie: priority.into(),
        actions,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: 0,
        importance: 0,
    }
}

fn conjunction(random: &mut ChaCha8Rng, id: u32, priority: u16, table: u8) -> Vec<Flow> {
    let clauses = random.random_range(2..4u8);
    let fields = [Field::EthSrc, Field::InPort, Field::EthDst];
    let mut flows = Vec::new();
    for clause in 0..clauses {
        for _ in 0..2 {
            let part = condition(random, fields[usize::from(clause)]);
            let action = Action::Conjunction { id, clause, clauses };
            flows.push(flow(table, priority, Match(vec![part]), vec![action]));
        }
    }
    let actions = actions(random, About::Anything, table, &Match::default());
    flows.push(flow(table, priority, Match(vec![exact(Field::ConjId, id.into())]), actions));
    flows
}

fn ct_nat(random: &mut ChaCha8Rng) -> Nat {
    let address = IpAddr::V4((0xc000_0200 | random.random_range(1..3u32)).into());
    let ports = random.random_bool(0.5).then_some((7777, 7777));
    Nat { flags: random.random_range(1..3), addresses: Some((address, address)), ports }
}

/// Flows that track UDP and ICMP of IPv4: TCP is not, since it is not followed by its windows here.
fn tracking(random: &mut ChaCha8Rng) -> Vec<Flow> {
    let ct = |commit, zone, recirculate, actions| {
        Action::Ct(Box::new(Ct { commit, force: false, recirculate, zone: CtZone::Fixed(zone), alg: 0, actions }))
    };
    let state = |value: u128, mask: u128| FieldMatch { field: Field::CtState, value, mask };
    let zone = random.random_range(1..3);
    let udp = |more: &[FieldMatch]| {
        // Fragments are put together by Open vSwitch, and not tracked here.
        let mut fields = [About::Udp(true).prerequisites(), vec![exact(Field::IpFrag, 0)], more.to_vec()].concat();
        fields.sort();
        Match(fields)
    };
    let track = if random.random_bool(0.5) { vec![Action::Nat(Nat::default())] } else { vec![] };
    let first = flow(0, 1000, udp(&[]), vec![ct(false, zone, Some(1), track)]);
    let mark = Action::Set(exact(Field::CtMark, random.random_range(1..9)));
    let mut keep = vec![mark];
    keep.extend(random.random_bool(0.6).then(|| Action::Nat(ct_nat(random))));
    let commit = ct(true, zone, random.random_bool(0.5).then_some(2), keep);
    let new = flow(1, 1001, udp(&[state(0x21, 0x21)]), vec![commit, output(random)]);
    let reply = flow(1, 1002, udp(&[state(0x2a, 0x2a)]), vec![Action::Output { port: 3, max_len: 0 }]);
    let established = flow(1, 1001, udp(&[state(0x22, 0x23)]), vec![Action::Output { port: 2, max_len: 0 }]);
    let invalid = flow(1, 1003, udp(&[state(0x30, 0x30)]), vec![Action::Output { port: 4, max_len: 0 }]);
    vec![first, new, reply, established, invalid]
}

fn learning(random: &mut ChaCha8Rng) -> Flow {
    let whole = |field: Field| Subfield { field, offset: 0, bits: field.bits() as u16 };
    let table = 4;
    let specs = vec![
        LearnSpec {
            source: LearnSource::Field(whole(Field::EthSrc)),
            bits: 48,
            target: LearnTarget::Match(whole(Field::EthDst)),
        },
        LearnSpec {
            source: LearnSource::Value(random.random_range(0..4)),
            bits: 32,
            target: LearnTarget::Load(whole(Field::Reg(1))),
        },
        LearnSpec { source: LearnSource::Field(whole(Field::Reg(0))), bits: 32, target: LearnTarget::Output },
    ];
    let learn = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: 2000,
        cookie: 0,
        flags: 0,
        table,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        specs,
    };
    let copy = Action::Move {
        from: Subfield { field: Field::InPort, offset: 0, bits: 16 },
        to: Subfield { field: Field::Reg(0), offset: 0, bits: 16 },
    };
    let resubmit = Action::Resubmit { in_port: None, table: Some(table), original_tuple: false };
    let set = Action::Set(exact(Field::Reg(0), random.random_range(1..5)));
    // Half of them learn the port it came by.
    let first = if random.random_bool(0.5) { copy } else { set };
    flow(0, 1500, Match::default(), vec![resubmit, first, Action::Learn(Box::new(learn)), output(random)])
}

fn groups(random: &mut ChaCha8Rng) -> Vec<(u32, Group)> {
    let mut groups = Vec::new();
    for id in 1..5 {
        let kind = [GroupType::All, GroupType::Indirect, GroupType::FastFailover][random.random_range(0..3)];
        let count = if kind == GroupType::Indirect { 1 } else { random.random_range(1..4) };
        let buckets = (0..count).map(|number| {
            let mut actions = vec![set(random, About::Anything), set(random, About::Anything), output(random)];
            actions.extend(random.random_bool(0.3).then(|| resubmit(random, 3)));
            // A port that is not there is not alive.
            let watch_port = [1, 2, 9][random.random_range(0..3)];
            Bucket { id: number, weight: 1, watch_port, watch_group: reserved::ANY, actions }
        });
        let buckets = buckets.collect::<Vec<_>>();
        let buckets = buckets.into_iter().map(|bucket| match kind {
            GroupType::FastFailover => bucket,
            GroupType::All | GroupType::Select | GroupType::Indirect => Bucket { watch_port: reserved::ANY, ..bucket },
        });
        groups.push((id, Group { kind, buckets: buckets.collect() }));
    }
    groups
}

/// A program. No two flows of one table have the same priority, so it is always clear which one wins.
pub fn generate(random: &mut ChaCha8Rng) -> Program {
    let mut flows = Vec::new();
    let mut priority = 10;
    for table in 0..=TABLES {
        for _ in 0..random.random_range(4..12) {
            priority += 1;
            let about = About::draw(random);
            let has_tag = random.random_bool(0.2);
            let matching = conditions(random, about, has_tag);
            let actions = actions(random, about, table, &matching);
            flows.push(flow(table, priority, matching, actions));
        }
        let default = actions(random, About::Anything, table, &Match::default());
        flows.push(flow(table, 1, Match::default(), default));
    }
    if random.random_bool(0.4) {
        flows.extend(conjunction(random, 7, 1200, random_table(priority)));
        flows.extend(conjunction(random, 8, 1300, 2));
    }
    if random.random_bool(0.3) {
        flows.extend(tracking(random));
    }
    let is_learning = random.random_bool(0.1);
    if is_learning {
        flows.push(learning(random));
    }
    Program { flows, groups: groups(random), is_learning }
}

fn random_table(seed: u16) -> u8 {
    (seed % 3) as u8
}
