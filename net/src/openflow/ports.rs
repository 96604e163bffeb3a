//! Ports as a switch describes them. Section 7.2.1. Start at [`Port`].

use super::error::Fault;
use super::wire::{Put, Reader};
use selvedge_core::addr::Mac;
use selvedge_core::ids::OfPort;

/// `OFPP_CONTROLLER`: the controllers, as a port. Output to it sends whole packets.
pub const CONTROLLER: OfPort = OfPort(0xffff_fffd);
/// `OFPP_LOCAL`: the port that every bridge has, under its own name.
pub const LOCAL: OfPort = OfPort(0xffff_fffe);

/// A port of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its OpenFlow number.
    pub number: OfPort,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its name in the database: at most 15 bytes, cut there by the switch.
    pub name: String,
    /// `OFPPC_*`, see [`Port::is_down`].
    pub config: u32,
    /// `OFPPS_*`, see [`Port::is_live`].
    pub state: u32,
    /// What the link can do, if it is Ethernet.
    pub ethernet: Option<Ethernet>,
}

/// What an Ethernet link can do: `OFPPF_*` bits, and speeds in kbit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ethernet {
    /// Features in use.
    pub current: u32,
    /// Features advertised.
    pub advertised: u32,
    /// Features supported.
    pub supported: u32,
    /// Features that the peer advertises.
    pub peer: u32,
    /// Speed now.
    pub current_speed: u32,
    /// Speed at best.
    pub maximum_speed: u32,
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortChange {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Something about it is different.
    Modified,
}

/// A port came, went or changed. Section 7.4.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub change: PortChange,
    /// The port as it is now, or last was.
    pub port: Port,
}

const NAME_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 40;
/// `OFPPDPT_ETHERNET`.
const ETHERNET: u16 = 0;

impl Port {
    /// `OFPPC_PORT_DOWN`: it was put down by an administrator.
    pub const CONFIG_DOWN: u32 = 1;
    /// `OFPPS_LINK_DOWN`: there is no carrier.
    pub const STATE_LINK_DOWN: u32 = 1;
    /// `OFPPS_LIVE`: it can be relied on, as far as carrier and BFD tell.
    pub const STATE_LIVE: u32 = 4;

    /// Whether it was put down by an administrator.
    pub fn is_down(&self) -> bool {
        self.config & Port::CONFIG_DOWN != 0
    }

    /// Whether it can be relied on, as far as carrier and BFD tell.
    pub fn is_live(&self) -> bool {
        self.state & Port::STATE_LIVE != 0
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u32(self.number.0);
        out.put_u32(0);
        out.put(&self.mac.0);
        out.zeros(2);
        let name = &self.name.as_bytes()[..self.name.len().min(NAME_LENGTH - 1)];
        out.put(name);
        out.zeros(NAME_LENGTH - name.len());
        out.put_u32(self.config);
        out.put_u32(self.state);
        self.ethernet.iter().for_each(|ethernet| ethernet.put(out));
        out.patch_length(start + 4, start);
    }

    /// Properties that are not modelled are passed over.
    pub(super) fn read(from: &mut Reader) -> Result<Port, Fault> {
        const WHAT: &str = "port";
        let number = OfPort(from.u32()?);
        let length = usize::from(from.u16()?);
        from.skip(2)?;
        let mac = Mac(from.mac()?);
        from.skip(2)?;
        let name = read_text(from.take(NAME_LENGTH)?);
        let (config, state) = (from.u32()?, from.u32()?);
        let length = length.checked_sub(HEADER_LENGTH).ok_or(Fault::Length { what: WHAT, length })?;
        let mut properties = from.part(WHAT, length)?;
        let mut ethernet = None;
        while let Some((kind, property)) = properties.item("port property")? {
            if kind == ETHERNET {
                ethernet = Some(Ethernet::read(property)?);
            }
        }
        Ok(Port { number, mac, name, config, state, ethernet })
    }
}

impl Ethernet {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u16(ETHERNET);
        out.put_u16(32);
        out.put_u32(0);
        let features = [self.current, self.advertised, self.supported, self.peer];
        features.into_iter().chain([self.current_speed, self.maximum_speed]).for_each(|value| out.put_u32(value));
    }

    fn read(mut from: Reader) -> Result<Ethernet, Fault> {
        from.skip(4)?;
        Ok(Ethernet {
            current: from.u32()?,
            advertised: from.u32()?,
            supported: from.u32()?,
            peer: from.u32()?,
            current_speed: from.u32()?,
            maximum_speed: from.u32()?,
        })
    }
}

impl PortStatus {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let reason = match self.change {
            PortChange::Added => 0,
            PortChange::Deleted => 1,
            PortChange::Modified => 2,
        };
        out.put_u8(reason);
        out.zeros(7);
        self.port.put(out);
    }

    pub(super) fn read(from: &mut Reader) -> Result<PortStatus, Fault> {
        let change = match from.u8()? {
            0 => PortChange::Added,
            1 => PortChange::Deleted,
            2 => PortChange::Modified,
            other => return Err(Fault::Value { what: "port status reason", value: other.into() }),
        };
        from.skip(7)?;
        Ok(PortStatus { change, port: Port::read(from)? })
    }
}

/// The text in a field of fixed length, up to its first NUL.
pub(super) fn read_text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
