//! How far a connection is, by protocol, and how long it is remembered without a packet.
//!
//! TCP is followed by its flags alone: sequence numbers and windows are not checked, so a packet that is out of the
//! window is established here and invalid in Open vSwitch.

use crate::switch::packet::protocol;
use std::time::Duration;

/// How long connections are remembered (`ct_timeout` in Open vSwitch's userspace datapath).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP after its first packet, and while it opens.
    pub tcp_opening: Duration,
    /// TCP when it is open.
    pub tcp_established: Duration,
    /// TCP when one end has closed.
    pub tcp_closing: Duration,
    /// TCP when both have.
    pub tcp_fin_wait: Duration,
    /// TCP when it is over.
    pub tcp_closed: Duration,
    /// Others while no reply was seen.
    pub other_single: Duration,
    /// Others when both ends have sent.
    pub other_both: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_opening: Duration::from_secs(30),
            tcp_established: Duration::from_secs(24 * 60 * 60),
            tcp_closing: Duration::from_secs(15 * 60),
            tcp_fin_wait: Duration::from_secs(45),
            tcp_closed: Duration::from_secs(30),
            other_single: Duration::from_secs(60),
            other_both: Duration::from_secs(30),
        }
    }
}

/// How far one end of a TCP connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// It has sent nothing.
    Closed,
    /// It has sent something.
    SynSent,
    /// That was acknowledged.
    Established,
    /// It has closed.
    Closing,
    /// That was acknowledged.
    FinWait2,
    /// It is over.
    TimeWait,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The end that began, and the other.
    Tcp([Peer; 2]),
    /// Whether the other end has sent.
    Other(bool),
}

/// What a packet is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A part of it.
    Established,
    /// A part, but nothing has come back yet.
    New,
    /// No part of it.
    Invalid,
    /// The beginning of another one between the same ends.
    Another,
}

const FIN: u16 = 1;
const SYN: u16 = 2;
const RST: u16 = 4;
const PSH: u16 = 8;
const ACK: u16 = 16;
const URG: u16 = 32;

fn are_valid(flags: u16) -> bool {
    let is_syn = flags & SYN != 0;
    let is_first = if is_syn { flags & (RST | FIN) == 0 } else { flags & (ACK | RST) != 0 };
    is_first && (flags & ACK != 0 || flags & (FIN | PSH | URG) == 0)
}

/// Whether a packet may begin a connection. `kind` is ICMP's type.
pub fn may_begin(proto: u8, flags: u16, kind: u8) -> bool {
    match proto {
        protocol::TCP => are_valid(flags) && flags & (SYN | ACK) != SYN | ACK,
        protocol::ICMP => matches!(kind, 8 | 13 | 15),
        protocol::ICMPV6 => kind == 128,
        _ => true,
    }
}

impl Progress {
    /// After the packet that began it.
    pub fn begin(proto: u8) -> Progress {
        if proto == protocol::TCP { Progress::Tcp([Peer::SynSent, Peer::Closed]) } else { Progress::Other(false) }
    }

    /// After another packet.
    pub fn packet(&mut self, flags: u16, is_reply: bool) -> Verdict {
        match self {
            Progress::Other(is_both) => {
                *is_both |= is_reply;
                if *is_both { Verdict::Established } else { Verdict::New }
            }
            Progress::Tcp(peers) => tcp(peers, flags, is_reply),
        }
    }

    /// How long it is remembered now.
    pub fn timeout(&self, timeouts: &Timeouts) -> Duration {
        match self {
            Progress::Other(false) => timeouts.other_single,
            Progress::Other(true) => timeouts.other_both,
            Progress::Tcp(peers) => {
                let (least, most) = (peers[0].min(peers[1]), peers[0].max(peers[1]));
                if least >= Peer::FinWait2 {
                    timeouts.tcp_closed
                } else if least >= Peer::Closing {
                    timeouts.tcp_fin_wait
                } else if least < Peer::Established {
                    timeouts.tcp_opening
                } else if most >= Peer::Closing {
                    timeouts.tcp_closing
                } else {
                    timeouts.tcp_established
                }
            }
        }
    }
}

fn tcp(peers: &mut [Peer; 2], flags: u16, is_reply: bool) -> Verdict {
    let (own, other) = if is_reply { (1, 0) } else { (0, 1) };
    if !are_valid(flags) {
        return Verdict::Invalid;
    }
    if flags & (SYN | ACK) == SYN {
        if peers[0] >= Peer::FinWait2 && peers[1] >= Peer::FinWait2 {
            return Verdict::Another;
        }
        if peers[own] <= Peer::SynSent {
            peers[own] = Peer::SynSent;
            return Verdict::New;
        }
    }
    peers[own] = peers[own].max(Peer::SynSent);
    if flags & FIN != 0 {
        peers[own] = peers[own].max(Peer::Closing);
    }
    if flags & ACK != 0 {
        peers[other] = match peers[other] {
            Peer::SynSent => Peer::Established,
            Peer::Closing => Peer::FinWait2,
            peer => peer,
        };
    }
    if flags & RST != 0 {
        *peers = [Peer::TimeWait; 2];
    }
    Verdict::Established
}
