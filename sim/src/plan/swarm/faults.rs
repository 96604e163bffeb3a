//! Which faults a seed has, and how it draws them. Start at [`Kinds`].

use super::super::controller::{ControllerTrouble, DiskTrouble, Who};
use super::super::fault::{Edit, Fault, Trouble, Way};
use super::super::physical::Physical;
use super::super::{Encap, HvId, Setup};
use super::Draw;
use super::tenants::Tenants;
use crate::fabric::site::{Leaf, Twin};

/// A fault, and how long after the moment it was drawn for it begins.
pub(super) type Delayed = (u64, Fault);

/// Where a fault can be.
struct Scene<'a> {
    controllers: u16,
    hypervisors: u16,
    tenants: &'a Tenants,
}

impl Scene<'_> {
    fn hv(&self, draw: &mut Draw) -> HvId {
        HvId(draw.between(0, u64::from(self.hypervisors) - 1) as u16)
    }

    /// Which controllers something happens to: seldom all of several.
    fn who(&self, draw: &mut Draw) -> Who {
        if self.controllers == 1 {
            return Who::All;
        }
        match draw.between(0, 9) {
            0 => Who::All,
            1..4 => Who::Leader,
            4..6 => Who::Follower,
            _ => Who::OwnerOf(self.hv(draw)),
        }
    }

    /// The same of one controller.
    fn one(&self, draw: &mut Draw, trouble: ControllerTrouble) -> Vec<Delayed> {
        vec![(0, trouble.of(self.who(draw)))]
    }

    /// Two different hypervisors.
    fn pair(&self, draw: &mut Draw) -> (HvId, HvId) {
        let from = self.hv(draw);
        let step = draw.between(1, u64::from(self.hypervisors) - 1) as u16;
        (from, HvId((from.0 + step) % self.hypervisors))
    }
}

type Make = fn(&mut Draw, &Scene<'_>) -> Vec<Delayed>;

/// All kinds: their class, and how they are drawn.
const KINDS: &[(char, Make)] = &[
    ('N', |draw, scene| vec![(0, cut(scene.hv(draw), draw))]),
    ('N', |draw, scene| vec![(0, cut(scene.hv(draw), draw))]),
    ('N', flapping),
    ('N', swizzle),
    ('N', |draw, scene| {
        let latency_ms = draw.between(0, 2_000) as u16;
        vec![(0, poor(draw, scene, latency_ms, 0, None))]
    }),
    ('N', |draw, scene| {
        let loss = draw.between(1, 30) as u8;
        vec![(0, poor(draw, scene, 1, loss, None))]
    }),
    ('N', |draw, scene| {
        let rate = draw.span_ms(2_000, 100_000) as u32;
        vec![(0, poor(draw, scene, 1, 0, Some(rate)))]
    }),
    ('N', |draw, scene| vec![(0, Fault::ResetManagement { hv: scene.hv(draw) })]),
    ('A', |draw, _| vec![(0, Fault::CutClients { for_ms: draw.span_ms(500, 40_000) })]),
    ('A', |_, _| vec![(0, Fault::ResetClients)]),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Loss(draw.between(1, 60) as u8))),
    ('U', |draw, scene| underlay(draw, scene, |_| Trouble::Cut)),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Duplicates(draw.between(1, 30) as u8))),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Jitter(draw.span_ms(1, 500) as u16))),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Mtu(draw.between(576, 1500) as u16))),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Grey(draw.between(1, 50) as u8))),
    ('U', |draw, scene| underlay(draw, scene, |draw| Trouble::Fragments(draw.between(256, 1_400) as u16))),
    ('U', physical_addresses),
    ('U', physical_cables),
    ('U', physical_hosts),
    ('P', |draw, scene| {
        let down_ms = draw.span_ms(10, 60_000);
        scene.one(draw, ControllerTrouble::Kill { down_ms })
    }),
    ('P', crash_loop),
    ('P', |draw, scene| {
        let down_ms = draw.span_ms(100, 30_000);
        scene.one(draw, ControllerTrouble::PowerCut { down_ms })
    }),
    ('P', power_cut_at),
    ('P', |draw, scene| {
        let for_ms = draw.span_ms(10, 60_000);
        scene.one(draw, ControllerTrouble::Pause { for_ms })
    }),
    ('D', power_cut_at),
    ('D', |draw, scene| disk(draw, scene, DiskTrouble::SyncFails)),
    ('D', |draw, scene| disk(draw, scene, DiskTrouble::Full)),
    ('D', |draw, scene| disk(draw, scene, DiskTrouble::ReadOnly)),
    ('D', |draw, scene| {
        let delay = draw.span_ms(1, 1_000) as u16;
        disk(draw, scene, DiskTrouble::Slow(delay))
    }),
    ('C', |draw, scene| {
        let ahead_ms = draw.between(0, 20_000_000) as i64 - 10_000_000;
        scene.one(draw, ControllerTrouble::Clock { ahead_ms, drift_ppm: 0 })
    }),
    ('C', |draw, scene| {
        let drift_ppm = draw.between(1, 100_000) as i32 - 50_000;
        scene.one(draw, ControllerTrouble::Clock { ahead_ms: 0, drift_ppm })
    }),
    ('S', |draw, scene| vec![(0, restart(draw, scene, false))]),
    ('S', |draw, scene| vec![(0, restart(draw, scene, true))]),
    ('S', |draw, scene| vec![(0, Fault::RestartOvsdb { hv: scene.hv(draw) })]),
    ('S', |draw, scene| vec![(0, Fault::RebootHypervisor { hv: scene.hv(draw), down_ms: draw.span_ms(500, 30_000) })]),
    ('S', |draw, scene| {
        let (hv, flows) = (scene.hv(draw), draw.between(1, 40) as u32);
        vec![(0, Fault::TableFull { hv, flows, for_ms: draw.span_ms(500, 30_000) })]
    }),
    ('S', |draw, scene| vec![(0, Fault::FailModification { hv: scene.hv(draw), nth: draw.between(1, 20) as u32 })]),
    ('S', |draw, scene| {
        let (hv, idle_ms) = (scene.hv(draw), draw.between(0, 20) as u16);
        vec![(0, Fault::ImpatientBundles { hv, idle_ms, for_ms: draw.span_ms(500, 20_000) })]
    }),
    ('S', |draw, scene| {
        let (hv, delay_ms) = (scene.hv(draw), draw.span_ms(1, 3_000) as u16);
        vec![(0, Fault::SlowSwitch { hv, delay_ms, for_ms: draw.span_ms(500, 30_000) })]
    }),
    ('S', |draw, scene| vec![(0, Fault::EvictFlow { hv: scene.hv(draw), nth: draw.between(0, 400) as u16 })]),
    ('S', edit),
    ('S', edit),
    ('S', |draw, scene| vec![(0, Fault::LoseReply { hv: scene.hv(draw) })]),
    ('S', |draw, scene| vec![(0, Fault::RefuseTransaction { hv: scene.hv(draw) })]),
    ('S', |draw, scene| {
        let hv = scene.hv(draw);
        vec![(0, Fault::RefuseTransactions { hv, for_ms: draw.span_ms(500, 60_000) })]
    }),
    ('S', |draw, scene| {
        let (hv, delay_ms) = (scene.hv(draw), draw.span_ms(1, 5_000) as u16);
        vec![(0, Fault::LateUpdates { hv, delay_ms, for_ms: draw.span_ms(500, 40_000) })]
    }),
    ('S', |draw, scene| {
        let (hv, lag_ms) = (scene.hv(draw), draw.span_ms(1, 3_000) as u16);
        vec![(0, Fault::CacheLag { hv, lag_ms, for_ms: draw.span_ms(500, 20_000) })]
    }),
    ('X', rogue_tunnel),
    ('X', rogue_tunnel),
    ('X', |draw, scene| {
        let (hv, ovsdb) = (scene.hv(draw), draw.one_in(2));
        vec![(0, Fault::Garbage { hv, ovsdb, seed: draw.bits() })]
    }),
];

/// Kinds that there are only where there are several controllers.
const KINDS_AMONG_CONTROLLERS: &[(char, Make)] = &[
    ('N', apart),
    ('N', apart),
    ('N', |draw, scene| {
        let (hv, way, for_ms) = (scene.hv(draw), way(draw), draw.span_ms(200, 120_000));
        let who = if draw.one_in(2) { Who::OwnerOf(hv) } else { scene.who(draw) };
        vec![(0, ControllerTrouble::CutOff { hv, way, for_ms }.of(who))]
    }),
];

/// The kinds that a seed has.
pub(super) struct Kinds(Vec<Make>);

impl Kinds {
    /// Classes are off half of the time, kinds a third of the time.
    pub fn draw(draw: &mut Draw, controllers: u16) -> Kinds {
        let classes = ['N', 'U', 'P', 'D', 'C', 'S', 'A', 'X'];
        let on: Vec<char> = classes.into_iter().filter(|_| draw.one_in(2)).collect();
        let more = if controllers == 1 { &[] } else { KINDS_AMONG_CONTROLLERS };
        let kept = KINDS.iter().chain(more).filter(|(class, _)| on.contains(class) && !draw.one_in(3));
        Kinds(kept.map(|(_, make)| *make).collect())
    }

    /// A fault or several that belong together; none if the seed has no kinds.
    pub fn draw_one(&self, draw: &mut Draw, setup: &Setup, tenants: &Tenants) -> Option<Vec<Delayed>> {
        let make = draw.pick(&self.0)?;
        let Setup { controllers, hypervisors, .. } = *setup;
        Some(make(draw, &Scene { controllers, hypervisors, tenants }))
    }
}

fn way(draw: &mut Draw) -> Way {
    draw.pick(&[Way::Both, Way::Both, Way::Up, Way::Down]).expect("there are some")
}

fn cut(hv: HvId, draw: &mut Draw) -> Fault {
    Fault::CutManagement { hv, way: way(draw), for_ms: draw.span_ms(200, 120_000) }
}

fn apart(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (way, for_ms) = (way(draw), draw.span_ms(200, 120_000));
    scene.one(draw, ControllerTrouble::Apart { way, for_ms })
}

/// A path that comes and goes.
fn flapping(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (hv, period) = (scene.hv(draw), draw.span_ms(100, 10_000));
    let flap = |n| (n * period, Fault::CutManagement { hv, way: Way::Both, for_ms: (period / 2).max(1) });
    (0..draw.between(2, 6)).map(flap).collect()
}

/// Some paths are cut one by one, and mended in another order.
fn swizzle(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (step, end) = (draw.span_ms(100, 5_000), u64::from(scene.hypervisors) + 1);
    let begins = (0..scene.hypervisors).filter(|_| !draw.one_in(4)).collect::<Vec<_>>();
    let cut = |hv: u16| {
        let begin = u64::from(hv) * step;
        let for_ms = (end * step - begin + draw.between(0, 5 * step)).max(1);
        (begin, Fault::CutManagement { hv: HvId(hv), way: Way::Both, for_ms })
    };
    begins.into_iter().map(cut).collect()
}

fn poor(draw: &mut Draw, scene: &Scene<'_>, latency_ms: u16, loss: u8, rate: Option<u32>) -> Fault {
    let (hv, jitter_ms) = (scene.hv(draw), draw.between(0, 500) as u16);
    Fault::PoorManagement { hv, latency_ms, jitter_ms, loss, rate, for_ms: draw.span_ms(1_000, 60_000) }
}

fn underlay(draw: &mut Draw, scene: &Scene<'_>, trouble: fn(&mut Draw) -> Trouble) -> Vec<Delayed> {
    let (from, to) = scene.pair(draw);
    let (trouble, for_ms) = (trouble(draw), draw.span_ms(500, 60_000));
    let mut faults = vec![(0, Fault::Underlay { from, to, trouble, for_ms })];
    if draw.one_in(2) {
        faults.push((0, Fault::Underlay { from: to, to: from, trouble, for_ms }));
    }
    faults
}

fn physical(draw: &mut Draw, trouble: Physical) -> Vec<Delayed> {
    vec![(0, Fault::Physical { trouble, for_ms: draw.span_ms(500, 60_000) })]
}

/// Where switches think that addresses are.
fn physical_addresses(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let trouble = match draw.between(0, 2) {
        0 => Physical::LinkMoves(scene.hv(draw)),
        1 => Physical::SmallTables(draw.between(0, 6) as u16),
        _ => Physical::ShortMemory(draw.between(1, 300) as u16),
    };
    physical(draw, trouble)
}

/// How switches are cabled.
fn physical_cables(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    if draw.one_in(2) {
        return vec![(0, Fault::Physical { trouble: Physical::Circle, for_ms: draw.span_ms(100, 10_000) })];
    }
    let leaf = if draw.one_in(2) { Leaf::One } else { Leaf::Two };
    let of = scene.hv(draw);
    physical(draw, Physical::MissingVlan { leaf, of })
}

/// Who else is there.
fn physical_hosts(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let of = scene.hv(draw);
    let trouble = match draw.between(0, 5) {
        0 | 1 => Physical::Stranger { of, twin: Twin::Ip },
        2 => Physical::Stranger { of, twin: Twin::Mac },
        3 | 4 => Physical::RouterFails { both: false },
        _ => Physical::RouterFails { both: true },
    };
    physical(draw, trouble)
}

fn crash_loop(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (period, who) = (draw.span_ms(100, 5_000), scene.who(draw));
    let crash = |n| (n * period, ControllerTrouble::Kill { down_ms: (period / 3).max(1) }.of(who));
    (0..draw.between(2, 5)).map(crash).collect()
}

fn power_cut_at(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (operations, down_ms) = (draw.span_ms(1, 400) as u32, draw.span_ms(100, 20_000));
    scene.one(draw, ControllerTrouble::PowerCutAt { operations, down_ms })
}

fn disk(draw: &mut Draw, scene: &Scene<'_>, trouble: DiskTrouble) -> Vec<Delayed> {
    let for_ms = draw.span_ms(500, 20_000);
    scene.one(draw, ControllerTrouble::Disk { trouble, for_ms })
}

fn restart(draw: &mut Draw, scene: &Scene<'_>, renumber: bool) -> Fault {
    Fault::RestartVswitchd { hv: scene.hv(draw), down_ms: draw.span_ms(10, 20_000), renumber }
}

fn edit(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let nth = draw.between(0, 300) as u16;
    let edits = [
        Edit::DeleteFlow(nth),
        Edit::DeleteFlow(nth),
        Edit::DeleteAllFlows,
        Edit::AddDrop((nth % 8) as u8),
        Edit::EmptyGroup(nth),
        Edit::DeleteGroup(nth),
        Edit::FailMode,
        Edit::Controllers,
        Edit::DeleteTunnel((nth % 4) as u8),
        Edit::DeleteBridge,
    ];
    let edit = draw.pick(&edits).expect("there are some");
    vec![(0, Fault::Edit { hv: scene.hv(draw), edit })]
}

fn rogue_tunnel(draw: &mut Draw, scene: &Scene<'_>) -> Vec<Delayed> {
    let (from, to) = scene.pair(draw);
    let encap = draw.pick(&Encap::ALL).expect("there are some");
    let key = draw.between(0, 12) as u32;
    let (posing, victim) = (scene.tenants.any_vif(draw), scene.tenants.any_vif(draw));
    let as_from = draw.one_in(3).then(|| scene.hv(draw)).filter(|hv| *hv != to && *hv != from);
    vec![(0, Fault::RogueTunnel { from, to, encap, key, posing, victim, as_from })]
}
