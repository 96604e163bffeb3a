//! Messages to bytes and back, and where in a stream they begin and end.
//!
//! Every message is as long as its header says, at most 65535 bytes; a [`Decoder`] holds no more than what it was
//! given and has not yet returned, and nothing is allocated for a length that the bytes do not bear out.
//! Section 7.1.1. Start at [`Decoder`], [`encode`] and [`decode`].

use super::Version;
use super::actions::{put_actions, read_actions};
use super::error::{Error, ErrorCode, Fault, TooLong};
use super::flows::{FlowMod, FlowRemoved, NONE, must_be_none};
use super::groups::GroupMod;
use super::message::{
    AsyncConfig, AsyncKind, Body, BundleAdd, BundleControl, BundleFlags, BundleId, BundleStep, ErrorMessage, Features,
    Hello, Message, Mod, PacketIn, PacketOut, Role, RoleRequest, RoleStatus, SwitchConfig, Xid,
};
use super::multipart::{self, Reply, Request};
use super::oxm::{put_match, put_wire_match, read_match, read_wire_match};
use super::ports::PortStatus;
use super::session::IDLE_CAPACITY_MAX;
use super::wire::{Put, Reader, padding};
use selvedge_core::flow::{Field, Match};
use selvedge_core::ids::{Epoch, OfPort};

/// The length of the header: version, type, length, xid.
const HEADER: usize = 8;

/// The types of messages, `OFPT_*`.
mod kind {
    pub const HELLO: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const ECHO_REQUEST: u8 = 2;
    pub const ECHO_REPLY: u8 = 3;
    pub const FEATURES_REQUEST: u8 = 5;
    pub const FEATURES_REPLY: u8 = 6;
    pub const GET_CONFIG_REQUEST: u8 = 7;
    pub const GET_CONFIG_REPLY: u8 = 8;
    pub const SET_CONFIG: u8 = 9;
    pub const PACKET_IN: u8 = 10;
    pub const FLOW_REMOVED: u8 = 11;
    pub const PORT_STATUS: u8 = 12;
    pub const PACKET_OUT: u8 = 13;
    pub const FLOW_MOD: u8 = 14;
    pub const GROUP_MOD: u8 = 15;
    pub const MULTIPART_REQUEST: u8 = 18;
    pub const MULTIPART_REPLY: u8 = 19;
    pub const BARRIER_REQUEST: u8 = 20;
    pub const BARRIER_REPLY: u8 = 21;
    pub const ROLE_REQUEST: u8 = 24;
    pub const ROLE_REPLY: u8 = 25;
    pub const SET_ASYNC: u8 = 28;
    pub const ROLE_STATUS: u8 = 30;
    pub const REQUEST_FORWARD: u8 = 32;
    pub const BUNDLE_CONTROL: u8 = 33;
    pub const BUNDLE_ADD: u8 = 34;

    /// The name of a type in the specification.
    pub fn name(kind: u8) -> &'static str {
        match kind {
            HELLO => "OFPT_HELLO",
            ERROR => "OFPT_ERROR",
            ECHO_REQUEST => "OFPT_ECHO_REQUEST",
            ECHO_REPLY => "OFPT_ECHO_REPLY",
            FEATURES_REQUEST => "OFPT_FEATURES_REQUEST",
            FEATURES_REPLY => "OFPT_FEATURES_REPLY",
            GET_CONFIG_REQUEST => "OFPT_GET_CONFIG_REQUEST",
            GET_CONFIG_REPLY => "OFPT_GET_CONFIG_REPLY",
            SET_CONFIG => "OFPT_SET_CONFIG",
            PACKET_IN => "OFPT_PACKET_IN",
            FLOW_REMOVED => "OFPT_FLOW_REMOVED",
            PORT_STATUS => "OFPT_PORT_STATUS",
            PACKET_OUT => "OFPT_PACKET_OUT",
            FLOW_MOD => "OFPT_FLOW_MOD",
            GROUP_MOD => "OFPT_GROUP_MOD",
            MULTIPART_REQUEST => "OFPT_MULTIPART_REQUEST",
            MULTIPART_REPLY => "OFPT_MULTIPART_REPLY",
            BARRIER_REQUEST => "OFPT_BARRIER_REQUEST",
            BARRIER_REPLY => "OFPT_BARRIER_REPLY",
            ROLE_REQUEST => "OFPT_ROLE_REQUEST",
            ROLE_REPLY => "OFPT_ROLE_REPLY",
            SET_ASYNC => "OFPT_SET_ASYNC",
            ROLE_STATUS => "OFPT_ROLE_STATUS",
            REQUEST_FORWARD => "OFPT_REQUESTFORWARD",
            BUNDLE_CONTROL => "OFPT_BUNDLE_CONTROL",
            BUNDLE_ADD => "OFPT_BUNDLE_ADD_MESSAGE",
            _ => "a message that is not modelled",
        }
    }
}

/// Cuts a stream into messages.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer was returned already.
    done: usize,
}

impl Decoder {
    /// Takes bytes as they come, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        self.forget();
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets what was returned.
    fn forget(&mut self) {
        self.buffer.drain(..self.done);
        self.done = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(IDLE_CAPACITY_MAX);
        }
    }

    /// The next message, if it is there as a whole.
    ///
    /// # Errors
    /// After [`Error::Length`] and [`Error::Version`] there are no more messages. [`Error::Body`] concerns one message,
    /// which is passed over.
    pub fn next_message(&mut self) -> Result<Option<Message>, Error> {
        if self.done == self.buffer.len() {
            self.forget();
        }
        let rest = &self.buffer[self.done..];
        let Some([version, kind, high, low, ..]) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        // At once, so that a peer with another protocol does not make us wait for what it takes for a length.
        check_version(*version, *kind)?;
        let length = u16::from_be_bytes([*high, *low]);
        if usize::from(length) < HEADER {
            return Err(Error::Length(length));
        }
        let Some(frame) = rest.get(..usize::from(length)) else { return Ok(None) };
        self.done += frame.len();
        decode(frame).map(Some)
    }
}

/// Reads one message that is `frame` as a whole.
///
/// # Errors
/// If it is malformed, in another version, or says what is not modelled.
pub fn decode(frame: &[u8]) -> Result<Message, Error> {
    let mut from = Reader::new("header", frame);
    let Ok((version, kind, length, xid)) = read_header(&mut from) else {
        return Err(Error::Length(frame.len() as u16));
    };
    let in_body = |fault| Error::Body { kind: kind::name(kind), xid, fault };
    if length != frame.len() {
        return Err(in_body(Fault::Length { what: "message", length }));
    }
    check_version(version, kind)?;
    let body = Reader::new(kind::name(kind), from.rest());
    read_body(version, kind, xid, body).map(|body| Message { xid, body }).map_err(in_body)
}

/// A peer that speaks another version says so in hellos and errors of that version.
fn check_version(version: u8, kind: u8) -> Result<(), Error> {
    if version != Version::V1_5.wire() && !matches!(kind, kind::HELLO | kind::ERROR) {
        return Err(Error::Version { version, kind });
    }
    Ok(())
}

/// Version, type, length and xid.
fn read_header(from: &mut Reader) -> Result<(u8, u8, usize, Xid), Fault> {
    Ok((from.u8()?, from.u8()?, usize::from(from.u16()?), Xid(from.u32()?)))
}

/// Writes a message at the end of `out`.
///
/// # Errors
/// If it would not fit the length in its header; `out` is as it was then.
///
/// # Panics
/// If a bucket or a packet-out has a goto_table, or a register is beyond `reg15`: neither exists.
pub fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    let kind = kind_of(&message.body);
    let version = match &message.body {
        Body::Hello(hello) => hello.version,
        _ => Version::V1_5.wire(),
    };
    put_header(out, version, kind, message.xid);
    put_body(out, message.xid, &message.body);
    let length = out.len() - start;
    if length > usize::from(u16::MAX) {
        out.truncate(start);
        return Err(TooLong { kind: kind::name(kind), length });
    }
    out.patch_length(start + 2, start);
    Ok(())
}

fn put_header(out: &mut Vec<u8>, version: u8, kind: u8, xid: Xid) {
    out.put(&[version, kind, 0, 0]);
    out.put_u32(xid.0);
}

fn kind_of(body: &Body) -> u8 {
    match body {
        Body::Hello(_) => kind::HELLO,
        Body::Error(_) => kind::ERROR,
        Body::EchoRequest(_) => kind::ECHO_REQUEST,
        Body::EchoReply(_) => kind::ECHO_REPLY,
        Body::FeaturesRequest => kind::FEATURES_REQUEST,
        Body::FeaturesReply(_) => kind::FEATURES_REPLY,
        Body::GetConfigRequest => kind::GET_CONFIG_REQUEST,
        Body::GetConfigReply(_) => kind::GET_CONFIG_REPLY,
        Body::SetConfig(_) => kind::SET_CONFIG,
        Body::PacketIn(_) => kind::PACKET_IN,
        Body::FlowRemoved(_) => kind::FLOW_REMOVED,
        Body::PortStatus(_) => kind::PORT_STATUS,
        Body::PacketOut(_) => kind::PACKET_OUT,
        Body::FlowMod(_) => kind::FLOW_MOD,
        Body::GroupMod(_) => kind::GROUP_MOD,
        Body::MultipartRequest(_) => kind::MULTIPART_REQUEST,
        Body::MultipartReply { .. } => kind::MULTIPART_REPLY,
        Body::BarrierRequest => kind::BARRIER_REQUEST,
        Body::BarrierReply => kind::BARRIER_REPLY,
        Body::RoleRequest(_) => kind::ROLE_REQUEST,
        Body::RoleReply(_) => kind::ROLE_REPLY,
        Body::RoleStatus(_) => kind::ROLE_STATUS,
        Body::SetAsync(_) => kind::SET_ASYNC,
        Body::RequestForward(_) => kind::REQUEST_FORWARD,
        Body::BundleControl(_) => kind::BUNDLE_CONTROL,
        Body::BundleAdd(_) => kind::BUNDLE_ADD,
        Body::Unknown { kind, .. } => *kind,
    }
}

fn put_body(out: &mut Vec<u8>, xid: Xid, body: &Body) {
    match body {
        Body::FeaturesRequest | Body::GetConfigRequest | Body::BarrierRequest | Body::BarrierReply => {}
        Body::Hello(hello) => put_hello(out, *hello),
        Body::Error(error) => {
            out.put_u16(error.code.kind);
            out.put_u16(error.code.code);
            out.put(&error.data);
        }
        Body::EchoRequest(bytes)
        | Body::EchoReply(bytes)
        | Body::RequestForward(bytes)
        | Body::Unknown { bytes, .. } => out.put(bytes),
        Body::FeaturesReply(features) => put_features(out, *features),
        Body::GetConfigReply(config) | Body::SetConfig(config) => {
            out.put_u16(config.fragments);
            out.put_u16(config.miss_send_len);
        }
        Body::PacketIn(packet) => put_packet_in(out, packet),
        Body::FlowRemoved(removed) => removed.put(out),
        Body::PortStatus(status) => status.put(out),
        Body::PacketOut(packet) => put_packet_out(out, packet),
        Body::FlowMod(change) => change.put(out),
        Body::GroupMod(change) => change.put(out),
        Body::MultipartRequest(request) => request.put(out),
        Body::MultipartReply { more, reply } => reply.put(*more, out),
        Body::RoleRequest(role) | Body::RoleReply(role) => {
            out.put_u32(role.role.wire());
            out.put_u32(0);
            out.put_u64(role.generation.0);
        }
        Body::RoleStatus(status) => {
            out.put_u32(status.role.wire());
            out.put(&[status.reason, 0, 0, 0]);
            out.put_u64(status.generation.0);
        }
        Body::SetAsync(config) => put_async(out, config),
        Body::BundleControl(control) => {
            out.put_u32(control.bundle.0);
            out.put_u16(control.step as u16);
            out.put_u16(control.flags.0);
        }
        Body::BundleAdd(add) => put_bundle_add(out, xid, add),
    }
}

fn read_body(version: u8, kind: u8, xid: Xid, mut from: Reader) -> Result<Body, Fault> {
    let bytes = from.rest();
    let body = match kind {
        kind::HELLO => return read_hello(version, from).map(Body::Hello),
        kind::ERROR => return read_error(from).map(Body::Error),
        kind::ECHO_REQUEST => return Ok(Body::EchoRequest(bytes.to_vec())),
        kind::ECHO_REPLY => return Ok(Body::EchoReply(bytes.to_vec())),
        kind::PACKET_IN => return read_packet_in(from).map(Body::PacketIn),
        kind::PACKET_OUT => return read_packet_out(from).map(Body::PacketOut),
        kind::REQUEST_FORWARD => return Ok(Body::RequestForward(bytes.to_vec())),
        kind::FLOW_MOD => return FlowMod::read(from).map(Body::FlowMod),
        kind::GROUP_MOD => return GroupMod::read(from).map(Body::GroupMod),
        kind::SET_ASYNC => return read_async(from).map(Body::SetAsync),
        kind::BUNDLE_ADD => return read_bundle_add(xid, from).map(Body::BundleAdd),
        kind::MULTIPART_REQUEST | kind::MULTIPART_REPLY if !multipart::is_modelled({ from }.u16()?) => {
            return Ok(Body::Unknown { kind, bytes: bytes.to_vec() });
        }
        kind::FEATURES_REQUEST => Body::FeaturesRequest,
        kind::FEATURES_REPLY => Body::FeaturesReply(read_features(&mut from)?),
        kind::GET_CONFIG_REQUEST => Body::GetConfigRequest,
        kind::GET_CONFIG_REPLY => Body::GetConfigReply(read_config(&mut from)?),
        kind::SET_CONFIG => Body::SetConfig(read_config(&mut from)?),
        kind::FLOW_REMOVED => Body::FlowRemoved(FlowRemoved::read(&mut from)?),
        kind::PORT_STATUS => Body::PortStatus(PortStatus::read(&mut from)?),
        kind::MULTIPART_REQUEST => Body::MultipartRequest(Request::read(&mut from)?),
        kind::MULTIPART_REPLY => {
            let (more, reply) = Reply::read(&mut from)?;
            Body::MultipartReply { more, reply }
        }
        kind::BARRIER_REQUEST => Body::BarrierRequest,
        kind::BARRIER_REPLY => Body::BarrierReply,
        kind::ROLE_REQUEST => Body::RoleRequest(read_role(&mut from)?),
        kind::ROLE_REPLY => Body::RoleReply(read_role(&mut from)?),
        kind::ROLE_STATUS => Body::RoleStatus(read_role_status(&mut from)?),
        kind::BUNDLE_CONTROL => Body::BundleControl(read_bundle_control(&mut from)?),
        _ => return Ok(Body::Unknown { kind, bytes: bytes.to_vec() }),
    };
    if from.is_empty() { Ok(body) } else { Err(Fault::Length { what: "message", length: HEADER + bytes.len() }) }
}

/// `OFPHET_VERSIONBITMAP`.
const VERSION_BITMAP: u16 = 1;

fn put_hello(out: &mut Vec<u8>, hello: Hello) {
    if let Some(versions) = hello.versions {
        out.put_u16(VERSION_BITMAP);
        out.put_u16(8);
        out.put_u32(versions);
    }
}

/// Elements are padded to 8 bytes, which their length does not count. Only the first 32 versions matter.
fn read_hello(version: u8, mut from: Reader) -> Result<Hello, Fault> {
    const WHAT: &str = "hello element";
    let mut versions = None;
    while !from.is_empty() {
        let (kind, length) = (from.u16()?, usize::from(from.u16()?));
        let mut element = from.part(WHAT, length.checked_sub(4).ok_or(Fault::Length { what: WHAT, length })?)?;
        from.skip(padding(length).min(from.rest().len()))?;
        if kind == VERSION_BITMAP && versions.is_none() {
            versions = Some(element.u32()?);
        }
    }
    Ok(Hello { version, versions })
}

fn read_error(mut from: Reader) -> Result<ErrorMessage, Fault> {
    let code = ErrorCode { kind: from.u16()?, code: from.u16()? };
    Ok(ErrorMessage { code, data: from.rest().to_vec() })
}

fn put_features(out: &mut Vec<u8>, features: Features) {
    out.put_u64(features.datapath_id);
    out.put_u32(features.buffers);
    out.put(&[features.tables, features.auxiliary_id, 0, 0]);
    out.put_u32(features.capabilities);
    out.put_u32(0);
}

fn read_features(from: &mut Reader) -> Result<Features, Fault> {
    let (datapath_id, buffers) = (from.u64()?, from.u32()?);
    let (tables, auxiliary_id) = (from.u8()?, from.u8()?);
    from.skip(2)?;
    let capabilities = from.u32()?;
    from.skip(4)?;
    Ok(Features { datapath_id, buffers, tables, auxiliary_id, capabilities })
}

fn read_config(from: &mut Reader) -> Result<SwitchConfig, Fault> {
    Ok(SwitchConfig { fragments: from.u16()?, miss_send_len: from.u16()? })
}

fn put_packet_in(out: &mut Vec<u8>, packet: &PacketIn) {
    out.put_u32(NONE);
    out.put_u16(packet.total_length);
    out.put(&[packet.reason, packet.table]);
    out.put_u64(packet.cookie);
    put_wire_match(out, &packet.matching);
    out.zeros(2);
    out.put(&packet.data);
}

fn read_packet_in(mut from: Reader) -> Result<PacketIn, Fault> {
    must_be_none("buffer", from.u32()?)?;
    let total_length = from.u16()?;
    let (reason, table) = (from.u8()?, from.u8()?);
    let cookie = from.u64()?;
    let matching = read_wire_match(&mut from)?;
    from.skip(2)?;
    Ok(PacketIn { total_length, reason, table, cookie, matching, data: from.rest().to_vec() })
}

fn put_packet_out(out: &mut Vec<u8>, packet: &PacketOut) {
    out.put_u32(NONE);
    let length_at = out.len();
    out.put_u32(0);
    put_match(out, &Match::any().exact(Field::InPort, packet.in_port.0));
    let start = out.len();
    put_actions(out, &packet.actions);
    out.patch_length(length_at, start);
    out.put(&packet.data);
}

fn read_packet_out(mut from: Reader) -> Result<PacketOut, Fault> {
    must_be_none("buffer", from.u32()?)?;
    let length = usize::from(from.u16()?);
    from.skip(2)?;
    let matching = read_match(&mut from)?;
    let actions = read_actions(from.part("actions of a packet-out", length)?)?;
    let in_port = match matching.fields() {
        [field] if field.field() == Field::InPort && field.is_exact() => OfPort(field.value() as u32),
        fields => return Err(Fault::NotModelled { what: "packet-out fields", value: fields.len() as u64 }),
    };
    Ok(PacketOut { in_port, actions, data: from.rest().to_vec() })
}

fn read_role(from: &mut Reader) -> Result<RoleRequest, Fault> {
    let role = Role::of_wire(from.u32()?)?;
    from.skip(4)?;
    Ok(RoleRequest { role, generation: Epoch(from.u64()?) })
}

fn read_role_status(from: &mut Reader) -> Result<RoleStatus, Fault> {
    let role = Role::of_wire(from.u32()?)?;
    let reason = from.u8()?;
    from.skip(3)?;
    Ok(RoleStatus { role, reason, generation: Epoch(from.u64()?) })
}

fn put_async(out: &mut Vec<u8>, config: &AsyncConfig) {
    for (kind, mask) in &config.0 {
        out.put_u16(*kind as u16);
        out.put_u16(8);
        out.put_u32(*mask);
    }
}

fn read_async(mut from: Reader) -> Result<AsyncConfig, Fault> {
    let mut config = AsyncConfig::default();
    while let Some((number, mut property)) = from.item("async property")? {
        let kind = AsyncKind::ALL.get(usize::from(number));
        let kind = kind.ok_or(Fault::NotModelled { what: "async property", value: number.into() })?;
        config.0.insert(*kind, property.u32()?);
    }
    Ok(config)
}

fn read_bundle_control(from: &mut Reader) -> Result<BundleControl, Fault> {
    let bundle = BundleId(from.u32()?);
    let number = from.u16()?;
    let step = BundleStep::ALL.get(usize::from(number));
    let step = *step.ok_or(Fault::Value { what: "bundle control", value: number.into() })?;
    Ok(BundleControl { bundle, step, flags: BundleFlags(from.u16()?) })
}

fn put_bundle_add(out: &mut Vec<u8>, xid: Xid, add: &BundleAdd) {
    out.put_u32(add.bundle.0);
    out.put_u16(0);
    out.put_u16(add.flags.0);
    let start = out.len();
    match &add.change {
        Mod::Flow(change) => {
            put_header(out, Version::V1_5.wire(), kind::FLOW_MOD, xid);
            change.put(out);
        }
        Mod::Group(change) => {
            put_header(out, Version::V1_5.wire(), kind::GROUP_MOD, xid);
            change.put(out);
        }
    }
    out.patch_length(start + 2, start);
}

fn read_bundle_add(outer: Xid, mut from: Reader) -> Result<BundleAdd, Fault> {
    let bundle = BundleId(from.u32()?);
    from.skip(2)?;
    let flags = BundleFlags(from.u16()?);
    let whole = from.rest().len();
    let (version, kind, length, xid) = read_header(&mut from)?;
    if length != whole {
        return Err(Fault::Length { what: "bundled message", length });
    }
    if version != Version::V1_5.wire() {
        return Err(Fault::Value { what: "version of a bundled message", value: version.into() });
    }
    if xid != outer {
        return Err(Fault::Value { what: "xid of a bundled message", value: xid.0.into() });
    }
    let body = Reader::new(kind::name(kind), from.rest());
    let change = match kind {
        kind::FLOW_MOD => Mod::Flow(FlowMod::read(body)?),
        kind::GROUP_MOD => Mod::Group(GroupMod::read(body)?),
        other => return Err(Fault::NotModelled { what: "bundled message of type", value: other.into() }),
    };
    Ok(BundleAdd { bundle, flags, change })
}
