//! Flows, actions and groups as Open vSwitch knows them: the words that the OpenFlow agent and the datapath share.
//!
//! This is wider than what Selvedge's compiler says, since a switch must understand whatever anybody sends to it, and
//! it shares nothing with the controller's model or codecs: two readings of one specification, so that a mistake in
//! either shows. Names are those of ovs-fields(7) and ovs-actions(7). Start at [`Field`] and [`Action`].

use std::fmt;

/// OpenFlow's reserved port numbers (OpenFlow 1.5.1, section 7.2.1).
pub mod port {
    /// Highest number of a port that is not reserved.
    pub const MAX: u32 = 0xffff_ff00;
    /// Back where the packet came from.
    pub const IN_PORT: u32 = 0xffff_fff8;
    /// Look the packet up in the first table: in packet-out only.
    pub const TABLE: u32 = 0xffff_fff9;
    /// As a plain learning switch would.
    pub const NORMAL: u32 = 0xffff_fffa;
    /// Every port but the one it came by and those that do not flood.
    pub const FLOOD: u32 = 0xffff_fffb;
    /// Every port but the one it came by.
    pub const ALL: u32 = 0xffff_fffc;
    /// To the controller.
    pub const CONTROLLER: u32 = 0xffff_fffd;
    /// The bridge's own port.
    pub const LOCAL: u32 = 0xffff_fffe;
    /// None; in requests: any.
    pub const ANY: u32 = 0xffff_ffff;
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident $(($index:ident < $count:literal))? $text:literal $bits:literal),* $(,)?) => {
        /// A field of a packet, or of what the switch knows about it. The order is the one in which Open vSwitch
        /// writes matches, so that prerequisites come before what needs them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($(#[$doc])* $name $((fields!(@index $index)))?),* }

        impl Field {
            /// Width in bits.
            pub fn bits(self) -> u32 {
                match self { $(Field::$name $((fields!(@any $index)))? => $bits),* }
            }

            /// The name in ovs-fields(7), without the index.
            pub fn stem(self) -> &'static str {
                match self { $(Field::$name $((fields!(@any $index)))? => $text),* }
            }
        }
    };
    (@index $index:ident) => { u8 };
    (@any $index:ident) => { _ };
}

fields! {
    /// Connection tracking state, `CS_*`.
    CtState "ct_state" 32,
    /// Connection tracking zone.
    CtZone "ct_zone" 16,
    /// Mark of the connection.
    CtMark "ct_mark" 32,
    /// Label of the connection.
    CtLabel "ct_label" 128,
    /// Matches packets for which all clauses of a conjunction matched.
    ConjId "conj_id" 32,
    /// Key in the tunnel header.
    TunId "tun_id" 64,
    /// Outer IPv4 source.
    TunSrc "tun_src" 32,
    /// Outer IPv4 destination.
    TunDst "tun_dst" 32,
    /// Outer IPv6 source.
    TunIpv6Src "tun_ipv6_src" 128,
    /// Outer IPv6 destination.
    TunIpv6Dst "tun_ipv6_dst" 128,
    /// Outer flags: bit 0 is OAM.
    TunFlags "tun_flags" 16,
    /// Port the packet came in by.
    InPort "in_port" 32,
    /// Mark of the packet.
    PktMark "pkt_mark" 32,
    /// OpenFlow's metadata.
    Metadata "metadata" 64,
    /// Registers 0 to 15.
    Reg(index < 16) "reg" 32,
    /// Pairs of registers: `xreg0` is `reg0` (high half) and `reg1`.
    Xreg(index < 8) "xreg" 64,
    /// Quads of registers: `xxreg0` is `reg0` (highest) to `reg3`.
    Xxreg(index < 4) "xxreg" 128,
    /// Ethernet source.
    EthSrc "dl_src" 48,
    /// Ethernet destination.
    EthDst "dl_dst" 48,
    /// Ethertype; below 0x600 there is none, and it is 0x05ff.
    EthType "dl_type" 16,
    /// The tag as it is on the wire, bit 12 set if there is one; else zero.
    VlanTci "vlan_tci" 16,
    /// 13 bits, the highest (0x1000) set if there is a tag.
    VlanVid "vlan_vid" 13,
    /// Priority in the tag.
    VlanPcp "vlan_pcp" 3,
    /// IPv4 protocol, IPv6 next header; ARP opcode goes by its own name.
    IpProto "nw_proto" 8,
    /// The upper six bits of the type of service.
    IpDscp "ip_dscp" 6,
    /// The lower two.
    IpEcn "nw_ecn" 2,
    /// TTL or hop limit.
    IpTtl "nw_ttl" 8,
    /// Bit 0: a fragment; bit 1: not the first one.
    IpFrag "ip_frag" 2,
    /// IPv4 source.
    Ipv4Src "nw_src" 32,
    /// IPv4 destination.
    Ipv4Dst "nw_dst" 32,
    /// IPv6 source.
    Ipv6Src "ipv6_src" 128,
    /// IPv6 destination.
    Ipv6Dst "ipv6_dst" 128,
    /// IPv6 flow label.
    Ipv6Label "ipv6_label" 20,
    /// TCP source.
    TcpSrc "tcp_src" 16,
    /// TCP destination.
    TcpDst "tcp_dst" 16,
    /// TCP flags.
    TcpFlags "tcp_flags" 12,
    /// UDP source.
    UdpSrc "udp_src" 16,
    /// UDP destination.
    UdpDst "udp_dst" 16,
    /// SCTP source.
    SctpSrc "sctp_src" 16,
    /// SCTP destination.
    SctpDst "sctp_dst" 16,
    /// ICMPv4 type.
    Icmpv4Type "icmp_type" 8,
    /// ICMPv4 code.
    Icmpv4Code "icmp_code" 8,
    /// ICMPv6 type.
    Icmpv6Type "icmpv6_type" 8,
    /// ICMPv6 code.
    Icmpv6Code "icmpv6_code" 8,
    /// ARP operation.
    ArpOp "arp_op" 16,
    /// ARP sender's protocol address.
    ArpSpa "arp_spa" 32,
    /// ARP target's protocol address.
    ArpTpa "arp_tpa" 32,
    /// ARP sender's hardware address.
    ArpSha "arp_sha" 48,
    /// ARP target's hardware address.
    ArpTha "arp_tha" 48,
    /// Target of a neighbour solicitation or advertisement.
    NdTarget "nd_target" 128,
    /// Its source link-layer address option; zero if absent.
    NdSll "nd_sll" 48,
    /// Its target link-layer address option; zero if absent.
    NdTll "nd_tll" 48,
}

impl Field {
    /// All bits of the field set.
    pub fn full_mask(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Reg(index) | Field::Xreg(index) | Field::Xxreg(index) => write!(f, "{}{index}", self.stem()),
            other => f.write_str(other.stem()),
        }
    }
}

/// Some bits of a field, counted from the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    /// Of which field.
    pub field: Field,
    /// The lowest bit.
    pub offset: u16,
    /// How many bits.
    pub bits: u16,
}

/// A field with a value and the bits that count. Bits of the value outside of the mask are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldMatch {
    /// Which field.
    pub field: Field,
    /// Its value.
    pub value: u128,
    /// The bits that count.
    pub mask: u128,
}

/// Which packets a flow is for: at most one entry for a field, sorted by field, no empty masks. Two matches that say the
/// same in different words (`reg0` and `xreg0`, `vlan_vid` and `vlan_tci`) are made equal by whoever decodes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match(pub Vec<FieldMatch>);

/// What a flow or a bucket does, in order. Instructions are among them, as in Open vSwitch: [`Action::GotoTable`],
/// [`Action::WriteActions`], [`Action::ClearActions`], [`Action::WriteMetadata`] and [`Action::Meter`] only in flows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To a port, reserved ones included.
    Output {
        /// Which.
        port: u32,
        /// Bytes of the packet, where the port is the controller.
        max_len: u16,
    },
    /// To the port whose number is in a field.
    OutputReg {
        /// Where the number is.
        source: Subfield,
        /// Bytes of the packet, where the port is the controller.
        max_len: u16,
    },
    /// To the buckets of a group.
    Group(u32),
    /// Set the bits of a field that are in the mask. Also `load`.
    Set(FieldMatch),
    /// Copy bits.
    Move {
        /// From here.
        from: Subfield,
        /// To here; as many bits.
        to: Subfield,
    },
    /// Put bits of a field on the stack.
    Push(Subfield),
    /// Take them from it.
    Pop(Subfield),
    /// Add a VLAN tag with an Ethertype.
    PushVlan(u16),
    /// Take the outer VLAN tag away.
    PopVlan,
    /// Lower the TTL; at zero the packet goes to these controllers and stops here.
    DecTtl(Vec<u16>),
    /// Set the TTL.
    SetTtl(u8),
    /// Which queue the packet is for.
    SetQueue(u32),
    /// None in particular.
    PopQueue,
    /// Look the packet up and do what is found there, then go on.
    Resubmit {
        /// As if it had come in by this port; none: by the port it did come by.
        in_port: Option<u32>,
        /// In this table; none: in this one.
        table: Option<u8>,
        /// With source and destination of the connection's original direction.
        original_tuple: bool,
    },
    /// Add a flow made from this packet.
    Learn(Box<Learn>),
    /// One clause of a conjunction matched.
    Conjunction {
        /// Which conjunction.
        id: u32,
        /// Which clause, from 0.
        clause: u8,
        /// How many there are: 2 to 64.
        clauses: u8,
    },
    /// Send through the connection tracker.
    Ct(Box<Ct>),
    /// Forget what the connection tracker said.
    CtClear,
    /// Translate addresses; only inside of [`Ct::actions`].
    Nat(Nat),
    /// To a controller.
    Controller {
        /// Bytes of the packet.
        max_len: u16,
        /// Which controllers, by `other_config:controller-id`.
        controller: u16,
        /// `OFPR_*`.
        reason: u8,
        /// Given back with the packet.
        userdata: Vec<u8>,
    },
    /// Do these, then undo what they changed.
    Clone(Vec<Action>),
    /// Stop here.
    Exit,
    /// Bytes that mean nothing.
    Note(Vec<u8>),
    /// Count against a meter, which may drop the packet.
    Meter(u32),
    /// Set bits of the metadata.
    WriteMetadata {
        /// The bits.
        value: u64,
        /// Which.
        mask: u64,
    },
    /// Add to the action set.
    WriteActions(Vec<Action>),
    /// Empty the action set.
    ClearActions,
    /// Go on in a later table.
    GotoTable(u8),
}

/// Adds a flow made from a packet (`learn` in ovs-actions(7)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learn {
    /// Seconds without a packet until it goes; 0 is never.
    pub idle_timeout: u16,
    /// Seconds until it goes; 0 is never.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// `NX_LEARN_F_*`.
    pub flags: u16,
    /// Its table.
    pub table: u8,
    /// Idle timeout after a FIN or RST; 0 changes nothing.
    pub fin_idle_timeout: u16,
    /// Hard timeout after a FIN or RST; 0 changes nothing.
    pub fin_hard_timeout: u16,
    /// Its match and actions.
    pub specs: Vec<LearnSpec>,
}

/// One part of a learnt flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnSpec {
    /// Where the bits come from.
    pub source: LearnSource,
    /// How many bits.
    pub bits: u16,
    /// What they become.
    pub target: LearnTarget,
}

/// Where the bits of a learnt flow come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSource {
    /// The packet.
    Field(Subfield),
    /// The action itself.
    Value(u128),
}

/// What the bits of a learnt flow become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnTarget {
    /// A part of its match.
    Match(Subfield),
    /// Bits that it sets.
    Load(Subfield),
    /// The port it sends to.
    Output,
}

/// Sends a packet through the connection tracker (`ct` in ovs-actions(7)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ct {
    /// Keep the connection.
    pub commit: bool,
    /// Forget one that runs the other way.
    pub force: bool,
    /// Where to go on with what the tracker said; none: nowhere.
    pub recirculate: Option<u8>,
    /// Which zone.
    pub zone: CtZone,
    /// Application helper: 0 none, 21 FTP, 69 TFTP.
    pub alg: u16,
    /// What to do in the tracker's context: set `ct_mark`, `ct_label`, and [`Action::Nat`].
    pub actions: Vec<Action>,
}

/// Which zone of the connection tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtZone {
    /// This one.
    Fixed(u16),
    /// The one whose number is in a field.
    Field(Subfield),
}

/// Translates addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nat {
    /// `NX_NAT_F_*`: 1 source, 2 destination, 4 persistent, 8 hash, 16 random; 0 as the connection has it.
    pub flags: u16,
    /// Range of IP addresses, both ends included.
    pub addresses: Option<(std::net::IpAddr, std::net::IpAddr)>,
    /// Range of ports, both ends included.
    pub ports: Option<(u16, u16)>,
}

/// How a group uses its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// A copy to each.
    All,
    /// One of them, by hash and weight.
    Select,
    /// The only one.
    Indirect,
    /// The first one that is alive.
    FastFailover,
}

/// One bucket of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Names it in the group.
    pub id: u32,
    /// Its share, in groups that select.
    pub weight: u16,
    /// The port that must be up for it to be alive; [`port::ANY`] for none.
    pub watch_port: u32,
    /// The group that must be alive; 0xffff_ffff for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Vec<Action>,
}

/// A group: its buckets in the order they were given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// How it uses them.
    pub kind: GroupType,
    /// They.
    pub buckets: Vec<Bucket>,
}

/// A flow as the agent adds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its table.
    pub table: u8,
    /// Higher wins.
    pub priority: u16,
    /// Which packets.
    pub matching: Match,
    /// Whose it is.
    pub cookie: u64,
    /// What it does.
    pub actions: Vec<Action>,
    /// Seconds without a packet until it goes; 0 is never.
    pub idle_timeout: u16,
    /// Seconds until it goes; 0 is never.
    pub hard_timeout: u16,
    /// `OFPFF_*`: bit 0 is to tell when it goes.
    pub flags: u16,
    /// Lower goes first when the table is full.
    pub importance: u16,
}
