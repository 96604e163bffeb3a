//! Flows as text, in the syntax of ovs-ofctl(8).
//!
//! [`Numbers`] writes what `ovs-ofctl --no-names` would take; a [`Names`] of the caller's puts the names of
//! stages, datapaths and ports where the numbers are, for people. Start at [`write_flow`] and [`write_table`].

use super::{Action, Actions, Buckets, Field, FieldMatch, FieldValue, FlowBody, FlowKey, FlowTable, GroupId, Match};
use crate::addr::Mac;
use crate::ids::{OfPort, PortKey, TunnelKey};
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Puts names for numbers. Every method may decline with `None`; the number is written then.
pub trait Names {
    /// The stage that is table `table`.
    fn stage(&self, table: u8) -> Option<String>;
    /// An OpenFlow port.
    fn port(&self, port: OfPort) -> Option<String>;
    /// A logical datapath.
    fn datapath(&self, key: TunnelKey) -> Option<String>;
    /// A logical port of a datapath.
    fn logical_port(&self, datapath: TunnelKey, port: PortKey) -> Option<String>;
    /// A register's use.
    fn register(&self, register: u8) -> Option<&'static str>;
    /// A group.
    fn group(&self, group: GroupId) -> Option<String>;
}

/// No names at all: what a switch understands.
pub struct Numbers;

impl Names for Numbers {
    fn stage(&self, _: u8) -> Option<String> {
        None
    }
    fn port(&self, _: OfPort) -> Option<String> {
        None
    }
    fn datapath(&self, _: TunnelKey) -> Option<String> {
        None
    }
    fn logical_port(&self, _: TunnelKey, _: PortKey) -> Option<String> {
        None
    }
    fn register(&self, _: u8) -> Option<&'static str> {
        None
    }
    fn group(&self, _: GroupId) -> Option<String> {
        None
    }
}

/// The name of `field` in ovs-fields(7).
pub fn field_name(field: Field) -> &'static str {
    use Field::*;
    const REGISTERS: [&str; 16] = [
        "reg0", "reg1", "reg2", "reg3", "reg4", "reg5", "reg6", "reg7", "reg8", "reg9", "reg10", "reg11", "reg12",
        "reg13", "reg14", "reg15",
    ];
    match field {
        InPort => "in_port",
        Metadata => "metadata",
        Reg(n) => REGISTERS.get(usize::from(n)).copied().unwrap_or("reg?"),
        TunId => "tun_id",
        TunSrc => "tun_src",
        TunDst => "tun_dst",
        TunIpv6Src => "tun_ipv6_src",
        TunIpv6Dst => "tun_ipv6_dst",
        EthSrc => "dl_src",
        EthDst => "dl_dst",
        EthType => "dl_type",
        VlanVid => "vlan_vid",
        IpProto => "nw_proto",
        Ipv4Src => "nw_src",
        Ipv4Dst => "nw_dst",
        Ipv6Src => "ipv6_src",
        Ipv6Dst => "ipv6_dst",
        IpTtl => "nw_ttl",
        TcpSrc => "tcp_src",
        TcpDst => "tcp_dst",
        UdpSrc => "udp_src",
        UdpDst => "udp_dst",
        Icmpv4Type => "icmp_type",
        Icmpv4Code => "icmp_code",
        Icmpv6Type => "icmpv6_type",
        Icmpv6Code => "icmpv6_code",
        ArpOp => "arp_op",
        ArpSpa => "arp_spa",
        ArpTpa => "arp_tpa",
        ArpSha => "arp_sha",
        ArpTha => "arp_tha",
        NdTarget => "nd_target",
        NdSll => "nd_sll",
        NdTll => "nd_tll",
    }
}

fn mac_of(value: u128) -> Mac {
    let bytes = value.to_be_bytes();
    Mac(std::array::from_fn(|i| bytes[10 + i]))
}

/// A value of `field` alone, as ovs-ofctl writes it.
fn write_value(f: &mut dyn Write, field: Field, value: u128) -> fmt::Result {
    use Field::*;
    match field {
        TunSrc | TunDst | Ipv4Src | Ipv4Dst | ArpSpa | ArpTpa => write!(f, "{}", Ipv4Addr::from(value as u32)),
        TunIpv6Src | TunIpv6Dst | Ipv6Src | Ipv6Dst | NdTarget => write!(f, "{}", Ipv6Addr::from(value)),
        EthSrc | EthDst | ArpSha | ArpTha | NdSll | NdTll => write!(f, "{}", mac_of(value)),
        Metadata | TunId | Reg(_) | EthType | VlanVid => write!(f, "{value:#x}"),
        InPort | IpProto | IpTtl | TcpSrc | TcpDst | UdpSrc | UdpDst | Icmpv4Type | Icmpv4Code | Icmpv6Type
        | Icmpv6Code | ArpOp => write!(f, "{value}"),
    }
}

/// The length of a mask that is a prefix, for fields where ovs-ofctl writes it so.
fn prefix_length(field: Field, mask: u128) -> Option<u32> {
    use Field::*;
    let bits = field.bits();
    let length = (mask << (128 - bits)).leading_ones();
    let is_prefix = length < 128 && mask == field.full_mask() & !(field.full_mask() >> length);
    let takes_prefix = matches!(
        field,
        TunSrc | TunDst | Ipv4Src | Ipv4Dst | ArpSpa | ArpTpa | TunIpv6Src | TunIpv6Dst | Ipv6Src | Ipv6Dst | NdTarget
    );
    (is_prefix && takes_prefix).then_some(length)
}

/// `field=value` or `field=value/mask`.
pub fn write_field_match(f: &mut dyn Write, item: FieldMatch) -> fmt::Result {
    write!(f, "{}=", field_name(item.field()))?;
    write_value(f, item.field(), item.value())?;
    match (item.is_exact(), prefix_length(item.field(), item.mask())) {
        (true, _) => Ok(()),
        (false, Some(length)) => write!(f, "/{length}"),
        (false, None) => {
            f.write_char('/')?;
            write_value(f, item.field(), item.mask())
        }
    }
}

/// The datapath a match is for, which its registers are about.
fn datapath_of(matching: &Match) -> Option<TunnelKey> {
    let metadata = matching.get(Field::Metadata)?;
    u32::try_from(metadata.value()).ok().map(TunnelKey)
}

/// A field's value by name, where names has one.
fn named_value(names: &dyn Names, datapath: Option<TunnelKey>, field: Field, value: u128) -> Option<String> {
    let number = u32::try_from(value).ok()?;
    match field {
        Field::InPort => names.port(OfPort(number)),
        Field::Metadata | Field::TunId => names.datapath(TunnelKey(number)),
        Field::Reg(n) if crate::pipeline::is_port_register(n) => names.logical_port(datapath?, PortKey(number)),
        _ => None,
    }
}

fn shown_name(names: &dyn Names, field: Field) -> &'static str {
    match field {
        Field::Reg(n) => names.register(n).unwrap_or(field_name(field)),
        _ => field_name(field),
    }
}

/// A whole match: `field=value,...`.
pub fn write_match(f: &mut dyn Write, matching: &Match, names: &dyn Names) -> fmt::Result {
    let datapath = datapath_of(matching);
    for (i, item) in matching.fields().iter().enumerate() {
        if i > 0 {
            f.write_char(',')?;
        }
        match named_value(names, datapath, item.field(), item.value()).filter(|_| item.is_exact()) {
            Some(name) => write!(f, "{}={name}", shown_name(names, item.field()))?,
            None if matches!(item.field(), Field::Reg(_)) => {
                let mut text = String::new();
                write_field_match(&mut text, *item)?;
                let tail = text.split_once('=').map_or("", |(_, tail)| tail);
                write!(f, "{}={tail}", shown_name(names, item.field()))?;
            }
            None => write_field_match(f, *item)?,
        }
    }
    Ok(())
}

fn write_set(f: &mut dyn Write, set: FieldValue, datapath: Option<TunnelKey>, names: &dyn Names) -> fmt::Result {
    f.write_str("set_field:")?;
    match named_value(names, datapath, set.field, set.value) {
        Some(name) => f.write_str(&name)?,
        None => write_value(f, set.field, set.value)?,
    }
    write!(f, "->{}", shown_name(names, set.field))
}

fn write_stage(f: &mut dyn Write, table: u8, names: &dyn Names) -> fmt::Result {
    match names.stage(table) {
        Some(name) => f.write_str(&name),
        None => write!(f, "{table}"),
    }
}

/// A list of actions; `drop` if it is empty. `matching` is that of the flow, which tells the datapath.
pub fn write_actions(f: &mut dyn Write, actions: &Actions, matching: &Match, names: &dyn Names) -> fmt::Result {
    if actions.steps().is_empty() {
        return f.write_str("drop");
    }
    let mut datapath = datapath_of(matching);
    for (i, step) in actions.steps().iter().enumerate() {
        if i > 0 {
            f.write_char(',')?;
        }
        if let Action::Set(FieldValue { field: Field::Metadata, value }) = step {
            datapath = u32::try_from(*value).ok().map(TunnelKey);
        }
        write_action(f, *step, datapath, names)?;
    }
    Ok(())
}

fn write_action(f: &mut dyn Write, step: Action, datapath: Option<TunnelKey>, names: &dyn Names) -> fmt::Result {
    match step {
        Action::Output(port) => match names.port(port) {
            Some(name) => write!(f, "output:{name}"),
            None => write!(f, "output:{port}"),
        },
        Action::OutputInPort => f.write_str("in_port"),
        Action::Group(group) => match names.group(group) {
            Some(name) => write!(f, "group:{name}"),
            None => write!(f, "group:{}", group.0),
        },
        Action::Set(set) => write_set(f, set, datapath, names),
        Action::Copy { from, to } => {
            write!(f, "move:{}[]->{}[]", shown_name(names, from), shown_name(names, to))
        }
        Action::Resubmit(table) => {
            f.write_str("resubmit(,")?;
            write_stage(f, table, names)?;
            f.write_char(')')
        }
        Action::Goto(table) => {
            f.write_str("goto_table:")?;
            write_stage(f, table, names)
        }
    }
}

/// One flow on a line: `table=T,priority=P,MATCH actions=...`. The cookie is left out: it says whose, not what.
pub fn write_flow(f: &mut dyn Write, key: &FlowKey, body: &FlowBody, names: &dyn Names) -> fmt::Result {
    f.write_str("table=")?;
    write_stage(f, key.table, names)?;
    write!(f, ",priority={}", key.priority)?;
    if !key.matching.fields().is_empty() {
        f.write_char(',')?;
        write_match(f, &key.matching, names)?;
    }
    f.write_str(" actions=")?;
    write_actions(f, &body.actions, &key.matching, names)
}

/// One group on a line: `group_id=N,type=all,bucket=bucket_id:B,actions=...`.
pub fn write_group(f: &mut dyn Write, id: GroupId, buckets: &Buckets, names: &dyn Names) -> fmt::Result {
    match names.group(id) {
        Some(name) => write!(f, "group_id={name},type=all")?,
        None => write!(f, "group_id={},type=all", id.0)?,
    }
    for (bucket, actions) in buckets {
        write!(f, ",bucket=bucket_id:{},actions=", bucket.0)?;
        write_actions(f, actions, &Match::any(), names)?;
    }
    Ok(())
}

/// A whole table: groups, then flows by table and falling priority.
pub fn write_table(f: &mut dyn Write, table: &FlowTable, names: &dyn Names) -> fmt::Result {
    for (id, buckets) in &table.groups {
        write_group(f, *id, buckets, names)?;
        f.write_char('\n')?;
    }
    let mut flows: Vec<_> = table.flows.iter().collect();
    flows.sort_by_key(|(key, _)| (key.table, std::cmp::Reverse(key.priority), *key));
    for (key, body) in flows {
        write_flow(f, key, body, names)?;
        f.write_char('\n')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_read_as_ovs_ofctl_writes_them() {
        let check = |matching: Match, want: &str| assert_eq!(format!("{matching:?}"), want);
        check(Match::any(), "");
        check(Match::any().exact(Field::InPort, 3u32), "in_port=3");
        check(
            Match::any().masked(Field::EthDst, Mac::GROUP_BIT, Mac::GROUP_BIT),
            "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
        );
        check(Match::any().masked(Field::Ipv4Src, 0x0a00_0000u32, 0xffff_ff00u32), "nw_src=10.0.0.0/24");
        check(Match::any().masked(Field::VlanVid, 0x1000u16, 0x1000u16), "vlan_vid=0x1000/0x1000");
        check(Match::any().masked(Field::Reg(10), 0u32, 1u32), "reg10=0x0/0x1");
        let v6 = "fd00::".parse::<Ipv6Addr>().expect("well formed").to_bits();
        check(Match::any().masked(Field::Ipv6Src, v6, u128::MAX << 64), "ipv6_src=fd00::/64");
    }

    #[test]
    fn actions_read_as_ovs_ofctl_writes_them() {
        let actions = Actions::from([
            Action::set(Field::Metadata, 5u32),
            Action::Copy { from: Field::EthSrc, to: Field::EthDst },
            Action::Resubmit(7),
            Action::OutputInPort,
            Action::Goto(9),
        ]);
        let want = "set_field:0x5->metadata,move:dl_src[]->dl_dst[],resubmit(,7),in_port,goto_table:9";
        assert_eq!(format!("{actions:?}"), want);
        assert_eq!(format!("{:?}", Actions::drop()), "drop");
    }
}
