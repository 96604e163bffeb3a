//! The packet and metadata fields that flows match and set.
//!
//! Names are those of ovs-fields(7). Each field has a width; a value is held in the low bits of a `u128`.
//! Start at [`Field`].

use super::text;
use std::fmt;

/// A field of a packet, or of what the switch remembers about it.
///
/// The order of the variants is the order in which a match is written and sent, so that prerequisites
/// (OpenFlow 1.5.1, section 7.2.3.6) come before what needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `in_port`: the OpenFlow port the packet came in by. 32 bits.
    InPort,
    /// `metadata`: 64 bits; here the logical datapath.
    Metadata,
    /// `reg0` to `reg15`: 32 bits each.
    Reg(u8),
    /// `tun_id`: the key in the tunnel header. 64 bits.
    TunId,
    /// `tun_src`: IPv4 source in the outer header.
    TunSrc,
    /// `tun_dst`: IPv4 destination in the outer header.
    TunDst,
    /// `tun_ipv6_src`: IPv6 source in the outer header.
    TunIpv6Src,
    /// `tun_ipv6_dst`: IPv6 destination in the outer header.
    TunIpv6Dst,
    /// `dl_src`: Ethernet source.
    EthSrc,
    /// `dl_dst`: Ethernet destination.
    EthDst,
    /// `dl_type`: Ethertype.
    EthType,
    /// `vlan_vid`: 13 bits, the highest (0x1000) set if there is a tag.
    VlanVid,
    /// `nw_proto`: IPv4 protocol or IPv6 next header.
    IpProto,
    /// `nw_src`: IPv4 source.
    Ipv4Src,
    /// `nw_dst`: IPv4 destination.
    Ipv4Dst,
    /// `ipv6_src`: IPv6 source.
    Ipv6Src,
    /// `ipv6_dst`: IPv6 destination.
    Ipv6Dst,
    /// `nw_ttl`: IPv4 TTL or IPv6 hop limit.
    IpTtl,
    /// `tcp_src`.
    TcpSrc,
    /// `tcp_dst`.
    TcpDst,
    /// `udp_src`.
    UdpSrc,
    /// `udp_dst`.
    UdpDst,
    /// `icmp_type`, of ICMPv4.
    Icmpv4Type,
    /// `icmp_code`, of ICMPv4.
    Icmpv4Code,
    /// `icmpv6_type`.
    Icmpv6Type,
    /// `icmpv6_code`.
    Icmpv6Code,
    /// `arp_op`: 1 request, 2 reply.
    ArpOp,
    /// `arp_spa`: sender's protocol address.
    ArpSpa,
    /// `arp_tpa`: target's protocol address.
    ArpTpa,
    /// `arp_sha`: sender's hardware address.
    ArpSha,
    /// `arp_tha`: target's hardware address.
    ArpTha,
    /// `nd_target`: target address of a neighbour solicitation or advertisement.
    NdTarget,
    /// `nd_sll`: source link-layer address option; zero if absent.
    NdSll,
    /// `nd_tll`: target link-layer address option; zero if absent.
    NdTll,
}

impl Field {
    /// Width in bits.
    pub fn bits(self) -> u32 {
        use Field::*;
        match self {
            InPort | Reg(_) | TunSrc | TunDst | Ipv4Src | Ipv4Dst | ArpSpa | ArpTpa => 32,
            Metadata | TunId => 64,
            TunIpv6Src | TunIpv6Dst | Ipv6Src | Ipv6Dst | NdTarget => 128,
            EthSrc | EthDst | ArpSha | ArpTha | NdSll | NdTll => 48,
            EthType | TcpSrc | TcpDst | UdpSrc | UdpDst | ArpOp => 16,
            VlanVid => 13,
            IpProto | IpTtl | Icmpv4Type | Icmpv4Code | Icmpv6Type | Icmpv6Code => 8,
        }
    }

    /// All bits of the field set: the mask of an exact match.
    pub fn full_mask(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }
}

/// A field with a whole value, as set by an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldValue {
    /// Which field.
    pub field: Field,
    /// Its value, in the low bits.
    pub value: u128,
}

/// A field with a value and the bits that count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldMatch {
    field: Field,
    value: u128,
    mask: u128,
}

impl FieldMatch {
    /// `field` must equal `value` in the bits of `mask`.
    ///
    /// Bits of the value outside of the mask are dropped, as Open vSwitch does.
    ///
    /// # Panics
    /// If the mask has bits that the field has not.
    pub fn masked(field: Field, value: u128, mask: u128) -> FieldMatch {
        assert_eq!(mask & !field.full_mask(), 0, "mask {mask:#x} fits {field:?}");
        FieldMatch { field, value: value & mask, mask }
    }

    /// `field` must equal `value`.
    ///
    /// # Panics
    /// If the value has bits that the field has not.
    pub fn exact(field: Field, value: u128) -> FieldMatch {
        assert_eq!(value & !field.full_mask(), 0, "value {value:#x} fits {field:?}");
        FieldMatch { field, value, mask: field.full_mask() }
    }

    /// Which field.
    pub fn field(self) -> Field {
        self.field
    }

    /// The value, zero outside of the mask.
    pub fn value(self) -> u128 {
        self.value
    }

    /// The bits that count.
    pub fn mask(self) -> u128 {
        self.mask
    }

    /// Whether every bit counts.
    pub fn is_exact(self) -> bool {
        self.mask == self.field.full_mask()
    }
}

impl fmt::Debug for FieldMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_field_match(f, *self)
    }
}
