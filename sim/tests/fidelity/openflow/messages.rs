//! Messages of controllers: most of them sound, some not. Written from OpenFlow 1.5.1; sections are of it.
//!
//! Start at [`Messages::draw`].

use super::ends::{CONTROLLERS, PORTS};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::fmt;

/// `OFPP_ANY` and `OFPG_ANY`.
const ANY: u32 = u32::MAX;
/// What a field is set to or matched for, where any value will do.
const VALUES: [u64; 4] = [0, 1, 2, 0x0a00_0001];

/// How often controllers lose their connections in one conversation.
const RECONNECTS_MAX: u32 = 2;

/// One step of a conversation.
#[derive(Clone, Debug)]
pub enum Step {
    /// A controller says something.
    Say(usize, Vec<u8>),
    /// A controller's connection ends, and the switch connects again.
    Reconnect(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Say(conn, message) => {
                let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
                write!(f, "controller {conn} says {hex}")
            }
            Step::Reconnect(conn) => write!(f, "controller {conn} connects again"),
        }
    }
}

/// Draws a conversation.
pub struct Messages {
    random: ChaCha8Rng,
    xid: u32,
    generation: u64,
    reconnects: u32,
    /// The groups that the flow that is being made uses already.
    groups: BTreeSet<u64>,
    /// What is being made goes into a bundle.
    is_bundled: bool,
    /// Bundles delete groups, or their flows use groups; with both ovs-vswitchd 3.1 fails an assertion, if a bundle deletes
    /// a group after it added a flow that uses it.
    bundles_delete_groups: bool,
    /// The flow monitors that each controller has.
    monitors: Vec<Vec<u32>>,
}

fn put(out: &mut Vec<u8>, number: u64, bytes: usize) {
    out.extend_from_slice(&number.to_be_bytes()[8 - bytes..]);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// A part with a type and a length in front, padded to eight bytes, which count.
fn part(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, kind.into(), 2);
    put(&mut out, 0, 2);
    out.extend_from_slice(body);
    pad(&mut out, 8);
    let length = out.len() as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    out
}

fn message(kind: u8, xid: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![6, kind];
    put(&mut out, 8 + body.len() as u64, 2);
    put(&mut out, xid.into(), 4);
    out.extend_from_slice(body);
    out
}

/// A field with a value, and a mask if there is one (section 7.2.3).
fn field(class: u16, number: u8, bytes: usize, value: u64, mask: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, class.into(), 2);
    put(&mut out, u64::from(number << 1 | u8::from(mask.is_some())), 1);
    put(&mut out, (bytes * (1 + usize::from(mask.is_some()))) as u64, 1);
    let put_long = |out: &mut Vec<u8>, value| {
        out.resize(out.len() + bytes.saturating_sub(8), 0);
        put(out, value, bytes.min(8));
    };
    put_long(&mut out, value);
    mask.into_iter().for_each(|mask| put_long(&mut out, mask));
    out
}

impl Messages {
    pub fn new(mut random: ChaCha8Rng) -> Messages {
        let bundles_delete_groups = random.random();
        Messages {
            random,
            xid: 0x100,
            generation: 0,
            reconnects: 0,
            groups: BTreeSet::new(),
            is_bundled: false,
            bundles_delete_groups,
            monitors: vec![Vec::new(); CONTROLLERS],
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    /// The next step.
    pub fn draw(&mut self) -> Step {
        self.xid += 1;
        let (conn, xid) = (self.random.random_range(0..CONTROLLERS), self.xid);
        let message = match self.random.random_range(0..1000) {
            0..380 => message(14, xid, &self.flow_mod()),
            380..500 => message(15, xid, &self.group_mod()),
            500..600 => self.bundle(xid),
            600..690 => message(34, xid, &self.bundle_add(xid)),
            690..740 => message(24, xid, &self.role()),
            740..780 => message(28, xid, &self.asynchronous()),
            780..830 => message(18, xid, &self.flow_monitor(conn)),
            830..930 => message(18, xid, &self.dump()),
            930..945 => message(2, xid, b"an echo"),
            945..955 => message(20, xid, &[]),
            955..965 => message(5, xid, &[]),
            965..970 => message(7, xid, &[]),
            970..985 => message(self.pick(&[50, 99, 255]), xid, &[]),
            985..992 => {
                let mut wrong = message(5, xid, &[]);
                wrong[0] = self.pick(&[1, 4, 5]);
                wrong
            }
            // The switch waits a second before it connects again, and then longer.
            _ if self.reconnects < RECONNECTS_MAX => {
                self.reconnects += 1;
                self.monitors[conn].clear();
                return Step::Reconnect(conn);
            }
            _ => message(20, xid, &[]),
        };
        Step::Say(conn, message)
    }

    fn matching(&mut self) -> Vec<u8> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let (port, value) = (u64::from(self.random.random_range(1..=PORTS)), self.pick(&VALUES));
        if self.chance(30) {
            fields.push(field(0x8000, 0, 4, port, None));
        }
        if self.chance(30) {
            let mask = self.pick(&[None, Some(0xff), Some(0xffff_ffff), Some(0)]);
            fields.push(field(1, self.pick(&[0, 1, 6]), 4, value & mask.unwrap_or(u64::MAX), mask));
        }
        if self.chance(20) {
            let mask = self.pick(&[None, Some(0xff_ff00_0000)]);
            fields.push(field(0x8000, 38, 8, (value << 24) & mask.unwrap_or(u64::MAX), mask));
        }
        if self.chance(20) {
            fields.push(field(0x8000, 2, 8, value, None));
        }
        if self.chance(20) {
            let mask = self.pick(&[None, Some(0x0100_0000_0000)]);
            fields.push(field(0x8000, 3, 6, 0x0100_0000_0000, mask));
        }
        let with_type = self.chance(40);
        if with_type {
            let ethertype = self.pick(&[0x0800, 0x0800, 0x0806, 0x86dd, 0x88cc]);
            fields.push(field(0x8000, 5, 2, ethertype, None));
        }
        // Mostly where the type allows it.
        if self.chance(if with_type { 50 } else { 3 }) {
            let (number, bytes) = self.pick(&[(10, 1), (11, 4), (12, 4), (21, 2), (23, 4), (26, 16), (27, 16)]);
            let protocol = self.pick(&[1, 6, 17, 58]);
            let value = if number == 10 { protocol } else { value & (u64::MAX >> (64 - 8 * bytes.min(8))) };
            fields.push(field(0x8000, number, bytes, value, None));
            if number == 10 && self.chance(60) {
                let port = self.pick(&[13, 14, 15, 16]);
                fields.push(field(0x8000, port, 2, 80, None));
            }
        }
        if self.chance(2) {
            fields.extend(fields.first().cloned());
        }
        if self.chance(2) {
            let wrong = [field(0x8000, 100, 4, 1, None), field(0x4242, 1, 4, 1, None), field(0x8000, 0, 2, 1, None)];
            fields.push(wrong[self.random.random_range(0..wrong.len())].clone());
        }
        let fields = fields.concat();
        let mut out = Vec::new();
        let kind = if self.chance(1) { self.pick(&[0, 7]) } else { 1 };
        put(&mut out, kind, 2);
        put(&mut out, 4 + fields.len() as u64, 2);
        out.extend(fields);
        pad(&mut out, 8);
        out
    }

    fn actions(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.random.random_range(0..=3) {
            out.extend(self.action());
        }
        out
    }

    fn action(&mut self) -> Vec<u8> {
        let value = self.pick(&VALUES);
        let mut body = Vec::new();
        match self.random.random_range(0..100) {
            0..35 => {
                let port = self.pick(&[1, 2, 3, 99, 0xffff_fff8, 0xffff_fffd, 0xffff_fffe, 0xffff_fffb]);
                put(&mut body, if self.chance(3) { 0xffff_ff10 } else { port }, 4);
                put(&mut body, self.pick(&[0, 64]), 2);
                put(&mut body, 0, 6);
                part(0, &body)
            }
            35..50 => {
                let group = self.pick(&[1, 2, 3, 4]);
                // ovs-vswitchd 3.1 does not survive the deletion of a group that one flow uses twice.
                if !self.groups.insert(group) || self.is_bundled && self.bundles_delete_groups {
                    return part(18, &[0; 4]);
                }
                put(&mut body, group, 4);
                part(22, &body)
            }
            50..70 => {
                let (number, bytes) = self.pick(&[(3, 6), (4, 6), (2, 8), (38, 8)]);
                part(25, &field(0x8000, number, bytes, value, None))
            }
            70..80 => {
                let mask = self.pick(&[None, Some(0xff)]);
                part(25, &field(1, self.pick(&[0, 5]), 4, value & mask.unwrap_or(u64::MAX), mask))
            }
            80..90 => {
                put(&mut body, 0x2320, 4);
                put(&mut body, 14, 2);
                put(&mut body, self.pick(&[1, 0xfff8]), 2);
                put(&mut body, self.pick(&[0, 1, 5, 0xff]), 1);
                put(&mut body, 0, 3);
                part(0xffff, &body)
            }
            90..93 => {
                put(&mut body, self.pick(&[0x8100, 0x88a8, 0x0800]), 2);
                part(17, &body)
            }
            93..95 => part(18, &[0; 4]),
            95..97 => {
                // Wants an IP packet.
                part(24, &[0; 4])
            }
            97 => part(25, &field(0x8000, 12, 4, 1, None)),
            98 => part(99, &[0; 4]),
            _ => {
                put(&mut body, self.pick(&[0x2320, 0x4f4e]), 4);
                put(&mut body, 999, 2);
                put(&mut body, 0, 2);
                part(0xffff, &body)
            }
        }
    }

    fn instructions(&mut self, table: u8) -> Vec<u8> {
        let mut out = Vec::new();
        if self.chance(70) {
            out.push(part(4, &[vec![0; 4], self.actions()].concat()));
        }
        if self.chance(10) {
            out.push(part(5, &[0; 4]));
        }
        if self.chance(10) {
            out.push(part(3, &[vec![0; 4], self.actions()].concat()));
        }
        if self.chance(10) {
            let mut body = vec![0; 4];
            put(&mut body, 5, 8);
            put(&mut body, self.pick(&[0xff, u64::MAX]), 8);
            out.push(part(2, &body));
        }
        if self.chance(20) {
            let target =
                if self.chance(90) { table.saturating_add(1 + self.pick(&[0, 3])) } else { self.pick(&[0, 1, 255]) };
            out.push(part(1, &[target, 0, 0, 0]));
        }
        if self.chance(2) {
            out.extend(out.first().cloned());
        }
        if self.chance(1) {
            out.push(part(42, &[0; 4]));
        }
        // In any order (section 5.9).
        if self.chance(20) {
            out.reverse();
        }
        out.concat()
    }

    fn flow_mod(&mut self) -> Vec<u8> {
        self.groups.clear();
        let mut out = Vec::new();
        let command = match self.random.random_range(0..100) {
            0..55 => 0,
            55..67 => 1,
            67..77 => 2,
            77..87 => 3,
            87..98 => 4,
            _ => 9,
        };
        // Table 254 has flows of the switch's own, which others may not touch.
        let table = match (self.chance(92), command) {
            (true, _) => self.pick(&[0, 1, 2]),
            (false, 0) => self.pick(&[253, 254, 255]),
            (false, _) => self.pick(&[253, 255]),
        };
        let (cookie, mask) = (self.pick(&[0, 1, 2, 0xffff_0000_0000_0001]), self.pick(&[0, 0, 0, 1, u64::MAX]));
        put(&mut out, cookie, 8);
        put(&mut out, mask, 8);
        put(&mut out, table.into(), 1);
        put(&mut out, command, 1);
        put(&mut out, 0, 4);
        put(&mut out, self.pick(&[0, 1, 100]), 2);
        put(&mut out, ANY.into(), 4);
        let (port, group) = (self.pick(&[ANY, ANY, ANY, 1, 2]), self.pick(&[ANY, ANY, ANY, 1, 2]));
        put(&mut out, port.into(), 4);
        put(&mut out, group.into(), 4);
        put(&mut out, if self.chance(97) { self.pick(&[0, 1, 1, 2, 3, 4, 5]) } else { 0x8000 }, 2);
        put(&mut out, self.pick(&[0, 0, 7]), 2);
        out.extend(self.matching());
        out.extend(self.instructions(table));
        out
    }

    fn bucket(&mut self, kind: u8) -> Vec<u8> {
        self.groups.clear();
        let actions = self.actions();
        let mut properties = Vec::new();
        if self.chance(if kind == 1 { 90 } else { 3 }) {
            properties.extend(part(0, &[0, self.pick(&[0, 1, 100])]));
        }
        if self.chance(if kind == 3 { 90 } else { 3 }) {
            let mut body = Vec::new();
            put(&mut body, self.pick(&[1, 2]), 4);
            properties.extend(part(1, &body));
        }
        let mut out = Vec::new();
        put(&mut out, (8 + actions.len() + properties.len()) as u64, 2);
        put(&mut out, actions.len() as u64, 2);
        put(&mut out, if self.chance(97) { self.pick(&[1, 2, 3, 4, 5, 6]) } else { 0xffff_ff10 }, 4);
        out.extend(actions);
        out.extend(properties);
        out
    }

    fn group_mod(&mut self) -> Vec<u8> {
        let command = match self.random.random_range(0..100) {
            0..30 => 0,
            30..45 => 1,
            45..55 => 0x8000,
            55..65 => 2,
            65..83 => 3,
            83..98 => 5,
            _ => 4,
        };
        let command = if command == 2 && self.is_bundled && !self.bundles_delete_groups { 1 } else { command };
        let kind = if self.chance(97) { self.pick(&[0, 0, 0, 1, 2, 3]) } else { 9 };
        let count = match (command, kind) {
            (2 | 5, _) => u32::from(self.chance(3)),
            (_, 2) => 1 + u32::from(self.chance(5)),
            // ovs-vswitchd 3.1 never ends to insert no buckets.
            (3, _) => self.random.random_range(1..=3),
            _ => self.random.random_range(0..=3),
        };
        let buckets: Vec<Vec<u8>> = (0..count).map(|_| self.bucket(kind)).collect();
        let buckets = buckets.concat();
        let group =
            if self.chance(95) { self.pick(&[1, 2, 3, 4]) } else { self.pick(&[0, 0xffff_ff00, 0xffff_fffc, ANY]) };
        let bucket = match command {
            3 | 5 => self.pick(&[0xffff_fffd, 0xffff_fffe, 0xffff_ffff, 1, 2, 3]),
            _ if self.chance(97) => 0xffff_ffff,
            _ => 1,
        };
        let mut out = Vec::new();
        put(&mut out, command, 2);
        put(&mut out, kind.into(), 1);
        put(&mut out, 0, 1);
        put(&mut out, group.into(), 4);
        put(&mut out, buckets.len() as u64, 2);
        put(&mut out, 0, 2);
        put(&mut out, bucket, 4);
        out.extend(buckets);
        out
    }

    fn bundle(&mut self, xid: u32) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.pick(&[1, 1, 1, 2]), 4);
        let step = if self.chance(97) { self.pick(&[0, 0, 2, 4, 4, 4, 6]) } else { self.pick(&[1, 3, 5]) };
        put(&mut out, step, 2);
        put(&mut out, self.flags(), 2);
        message(33, xid, &out)
    }

    fn flags(&mut self) -> u64 {
        if self.chance(95) { 3 } else { self.pick(&[0, 1, 2, 4]) }
    }

    fn bundle_add(&mut self, xid: u32) -> Vec<u8> {
        self.is_bundled = true;
        let inner = if self.chance(98) { xid } else { xid + 1 };
        let inner = match self.random.random_range(0..100) {
            0..60 => message(14, inner, &self.flow_mod()),
            60..97 => message(15, inner, &self.group_mod()),
            _ => message(20, inner, &[]),
        };
        self.is_bundled = false;
        let mut out = Vec::new();
        put(&mut out, self.pick(&[1, 1, 1, 2]), 4);
        put(&mut out, 0, 2);
        put(&mut out, self.flags(), 2);
        out.extend(inner);
        out
    }

    fn role(&mut self) -> Vec<u8> {
        let role = if self.chance(97) { self.pick(&[0, 1, 1, 1, 2, 2, 3]) } else { 7 };
        if self.chance(60) {
            self.generation = self.generation.wrapping_add(self.pick(&[0, 1, 2]));
        } else if self.chance(5) {
            self.generation = self.pick(&[u64::MAX - 1, 5, 1 << 63]);
        }
        let generation = if self.chance(90) { self.generation } else { self.generation.wrapping_sub(1) };
        let mut out = Vec::new();
        put(&mut out, role, 4);
        put(&mut out, 0, 4);
        put(&mut out, generation, 8);
        out
    }

    fn asynchronous(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for kind in 0..12 {
            if self.chance(30) {
                let lawful = match kind {
                    0 | 1 | 4 | 5 => 0x3f,
                    8 | 9 => 0x18,
                    10 | 11 => 3,
                    _ => 7,
                };
                let mask = if self.chance(98) { self.pick(&[0, lawful, lawful]) } else { self.pick(&[1, 0xff]) };
                let mut body = Vec::new();
                put(&mut body, mask, 4);
                out.extend(part(kind, &body));
            }
        }
        if self.chance(3) {
            out.extend(part(77, &[0; 4]));
        }
        out
    }

    fn multipart(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, kind.into(), 2);
        put(&mut out, 0, 6);
        out.extend_from_slice(body);
        out
    }

    /// A request to watch all flows, to watch them otherwise, or no more (section 7.3.5.19). Always sound: Open vSwitch
    /// 3.1 refuses the others with an error that holds what was in its memory.
    fn flow_monitor(&mut self, conn: usize) -> Vec<u8> {
        let known = self.monitors[conn].clone();
        let (command, id) = match known.is_empty() || self.chance(40) {
            true => (0, self.xid),
            false => (self.pick(&[1, 2]), self.pick(&known)),
        };
        match command {
            0 => self.monitors[conn].push(id),
            2 => self.monitors[conn].retain(|other| *other != id),
            _ => {}
        }
        let flags = self.pick(&[0x1f, 0x1e, 0x0f, 0x16, 0x06, 0x5f]);
        let mut out = Vec::new();
        put(&mut out, id.into(), 4);
        put(&mut out, ANY.into(), 4);
        put(&mut out, ANY.into(), 4);
        put(&mut out, flags, 2);
        put(&mut out, 0xff, 1);
        put(&mut out, command, 1);
        out.extend([0, 1, 0, 4, 0, 0, 0, 0]);
        Messages::multipart(16, &out)
    }

    fn dump(&mut self) -> Vec<u8> {
        let kind = self.pick(&[1, 1, 1, 17, 2, 7, 7, 200]);
        let mut out = Vec::new();
        match kind {
            1 | 2 => {
                put(&mut out, self.pick(&[0, 1, 0xff, 0xff]), 1);
                put(&mut out, 0, 3);
                put(&mut out, self.pick(&[ANY, ANY, 1]).into(), 4);
                put(&mut out, self.pick(&[ANY, ANY, 1]).into(), 4);
                put(&mut out, 0, 4);
                put(&mut out, self.pick(&[0, 1]), 8);
                put(&mut out, self.pick(&[0, 0, 1]), 8);
                match self.chance(70) {
                    true => out.extend([0, 1, 0, 4, 0, 0, 0, 0]),
                    false => out.extend(self.matching()),
                }
            }
            7 => {
                put(&mut out, self.pick(&[0xffff_fffc, 0xffff_fffc, 1, 4]), 4);
                put(&mut out, 0, 4);
            }
            _ => {}
        }
        Messages::multipart(kind, &out)
    }
}
