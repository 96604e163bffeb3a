//! The pipeline: its stages, registers and flags, each in one table, from which numbers and printed names come.
//!
//! A frame enters at [`Stage::Classify`], where its port (or tunnel) gives it a logical datapath and ingress port,
//! and leaves at [`Stage::Output`]. On the sending transport node it passes all stages; on the receiving one a frame
//! from a tunnel enters at [`Stage::L2Lookup`], since its sender was judged where it sits. No stage ever waits for
//! a controller. A stage's name is what `selvedge flows` and `selvedge trace` print.
//!
//! | stage | decides |
//! | --- | --- |
//! | classify | which logical port, or which peer's tunnel, a frame comes from; all else is dropped |
//! | admission | tags and group source addresses, which no guest may send |
//! | port_security | source MAC and IP against `allowed_address_pairs` |
//! | port_security_arp_nd | addresses inside of ARP and neighbour discovery |
//! | arp_nd | answers ARP for known addresses; sends a solicitation to its target alone |
//! | isolation | ports of an isolated switch do not reach each other |
//! | l2_lookup | the egress port by destination MAC; group addresses to all members |
//! | output | to the local port, or through the tunnel to where the port is |
//!
//! Start at [`Stage`].

use crate::flow::Field;

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal),* $(,)?) => {
        /// A stage of the pipeline; its number is the OpenFlow table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Stage { $($(#[$doc])* $name = $number),* }

        impl Stage {
            /// All stages, in the order frames pass them.
            pub const ALL: &[Stage] = &[$(Stage::$name),*];

            /// The printed name.
            pub fn name(self) -> &'static str {
                match self { $(Stage::$name => $text),* }
            }
        }
    };
}

stages! {
    /// Which logical port or tunnel a frame comes from.
    Classify = 0 "classify",
    /// What no guest may send.
    Admission = 1 "admission",
    /// Source MAC and IP addresses.
    PortSecurity = 2 "port_security",
    /// Addresses inside of ARP and neighbour discovery.
    PortSecurityArpNd = 3 "port_security_arp_nd",
    /// Local answers to ARP; solicitations to their target.
    ArpNd = 4 "arp_nd",
    /// Port isolation.
    Isolation = 5 "isolation",
    /// Destination MAC to egress port or group.
    L2Lookup = 6 "l2_lookup",
    /// To a local port, or into a tunnel.
    Output = 7 "output",
}

impl Stage {
    /// The OpenFlow table.
    pub fn table(self) -> u8 {
        self as u8
    }

    /// The stage that is `table`.
    pub fn of_table(table: u8) -> Option<Stage> {
        Stage::ALL.iter().copied().find(|stage| stage.table() == table)
    }
}

/// `reg10`: flags of the frame, see [`FROM_TUNNEL`].
pub const FLAGS: Field = Field::Reg(10);
/// `reg14`: the logical port the frame came in by; 0 for a frame from a tunnel.
pub const INGRESS: Field = Field::Reg(14);
/// `reg15`: the logical port the frame leaves by.
pub const EGRESS: Field = Field::Reg(15);
/// In [`FLAGS`]: the frame came from a tunnel, so it must not enter one again.
pub const FROM_TUNNEL: u32 = 1;

/// What a register is used for, if it is.
pub fn register_name(register: u8) -> Option<&'static str> {
    match Field::Reg(register) {
        FLAGS => Some("flags"),
        INGRESS => Some("ingress"),
        EGRESS => Some("egress"),
        _ => None,
    }
}

/// Whether a register holds the key of a logical port.
pub fn is_port_register(register: u8) -> bool {
    [INGRESS, EGRESS].contains(&Field::Reg(register))
}
