//! Which packets a flow is for. Start at [`Match`].

use super::field::{Field, FieldMatch};
use super::text;
use crate::addr::Mac;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A conjunction of field matches, at most one for a field, in the order of [`Field`].
///
/// Two matches that mean the same are equal: a field with an empty mask is left out.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match(Box<[FieldMatch]>);

impl Match {
    /// Matches every packet.
    pub fn any() -> Match {
        Match::default()
    }

    /// The conjunction of `fields`, in any order.
    ///
    /// Returns `None` if a field occurs twice.
    pub fn from_fields(mut fields: Vec<FieldMatch>) -> Option<Match> {
        fields.retain(|field| field.mask() != 0);
        fields.sort_unstable();
        let unique = fields.windows(2).all(|pair| pair[0].field() != pair[1].field());
        unique.then(|| Match(fields.into_boxed_slice()))
    }

    /// This match, and `field` too.
    ///
    /// # Panics
    /// If the field is matched already: a stage that does so contradicts itself.
    #[must_use]
    pub fn and(&self, field: FieldMatch) -> Match {
        if field.mask() == 0 {
            return self.clone();
        }
        // Most of what it takes to compute all flows is to make their matches: one allocation each, of the right size.
        let (before, after) = self.0.split_at(self.0.partition_point(|other| other.field() < field.field()));
        assert!(after.first().is_none_or(|other| other.field() != field.field()), "{field:?} is matched twice");
        let mut fields = Vec::with_capacity(self.0.len() + 1);
        fields.extend_from_slice(before);
        fields.push(field);
        fields.extend_from_slice(after);
        Match(fields.into_boxed_slice())
    }

    /// This match, and `field` equal to `value`.
    #[must_use]
    pub fn exact(&self, field: Field, value: impl Into<u128>) -> Match {
        self.and(FieldMatch::exact(field, value.into()))
    }

    /// This match, and `field` equal to `value` in the bits of `mask`.
    #[must_use]
    pub fn masked(&self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Match {
        self.and(FieldMatch::masked(field, value.into(), mask.into()))
    }

    /// This match, and the Ethernet address `field` equal to `mac`.
    #[must_use]
    pub fn mac(&self, field: Field, mac: Mac) -> Match {
        self.exact(field, mac)
    }

    /// This match, and the IPv4 `field` equal to `address`.
    #[must_use]
    pub fn ipv4(&self, field: Field, address: Ipv4Addr) -> Match {
        self.exact(field, address.to_bits())
    }

    /// This match, and the IPv6 `field` equal to `address`.
    #[must_use]
    pub fn ipv6(&self, field: Field, address: Ipv6Addr) -> Match {
        self.exact(field, address.to_bits())
    }

    /// This match, and the outer source address equal to `address`.
    #[must_use]
    pub fn tunnel_source(&self, address: IpAddr) -> Match {
        match address {
            IpAddr::V4(v4) => self.ipv4(Field::TunSrc, v4),
            IpAddr::V6(v6) => self.ipv6(Field::TunIpv6Src, v6),
        }
    }

    /// The field matches, in the order of [`Field`].
    pub fn fields(&self) -> &[FieldMatch] {
        &self.0
    }

    /// What is asked of `field`, if anything is.
    pub fn get(&self, field: Field) -> Option<FieldMatch> {
        self.0.iter().copied().find(|f| f.field() == field)
    }
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_match(f, self, &text::Numbers)
    }
}
