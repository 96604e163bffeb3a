//! Draws plans from seeds.
//!
//! Swarm testing (Groce et al., ISSTA 2012): each seed first draws what it will *not* do. Whole classes of faults are off
//! half of the time, single kinds a third of the time, and so are kinds of requests and of guests' acts; what is left
//! happens all the more often. A quarter of the time windows is calm. Things are biased to where trouble is: tenants that
//! use the same addresses, names and numbers that come back within seconds, migrations chained faster than they are
//! noticed, guests that appear before anybody configured them.
//!
//! What the generator cannot say is what [`super::fault::UNSAID`] lists. Start at [`plan`].

mod faults;
mod tenants;

use super::{Act, Plan, Setup, Step};
use faults::Kinds;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tenants::Tenants;

/// The stream of a seed's randomness from which plans are drawn.
const STREAM: u64 = 1 << 40;
/// That from which the number of controllers is drawn.
const STREAM_OF_CONTROLLERS: u64 = STREAM + 1;
/// In one of so many seeds there are several controllers: that takes longer than with one.
const SEVERAL_ONE_IN: u64 = 4;
/// Length of a window that is calm or not, in milliseconds.
const WINDOW_MS: u64 = 15_000;
/// When the first configuration is done, more or less, in milliseconds.
const BEGIN_MS: u64 = 12_000;

/// Where randomness for plans comes from.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// From a seed.
    fn of(seed: u64) -> Draw {
        Draw::of_stream(seed, STREAM)
    }

    /// From one of a seed's streams.
    pub(crate) fn of_stream(seed: u64, stream: u64) -> Draw {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Draw(rng)
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0.random_range(from..=to)
    }

    /// True one time out of `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }

    /// A duration in milliseconds, short ones more often: uniform in its logarithm.
    pub(crate) fn span_ms(&mut self, from: u64, to: u64) -> u64 {
        let (low, high) = ((from.max(1) as f64).ln(), (to.max(1) as f64).ln());
        let at = low + (high - low) * self.0.random::<f64>();
        (at.exp() as u64).clamp(from, to)
    }

    /// One of several, if there are any.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        match from.len() {
            0 => None,
            n => from.get(self.between(0, n as u64 - 1) as usize).copied(),
        }
    }

    /// 32 random bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }
}

/// The plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut draw = Draw::of(seed);
    let hypervisors = draw.between(2, 5) as u16;
    let mut tenants = Tenants::draw(&mut draw, hypervisors);
    let several = Draw::of_stream(seed, STREAM_OF_CONTROLLERS).one_in(SEVERAL_ONE_IN);
    let setup = Setup {
        controllers: if several { 3 } else { 1 },
        hypervisors,
        vifs: tenants.vifs(),
        snapshot_every: draw.pick(&[3, 20, 150, 20_000]).expect("there are some"),
        silent: draw.one_in(3),
        underlay_mtu: draw.pick(&[1600, 1600, 9000]).expect("there are some"),
        recompute_every_ms: if draw.one_in(8) { 1_000 } else { 0 },
    };
    let heal_at_ms = draw.between(240_000, 480_000);
    let mut steps = tenants.settle(&mut draw, BEGIN_MS);
    let kinds = Kinds::draw(&mut draw, setup.controllers);
    let pace = Pace::draw(&mut draw);
    let mut now = BEGIN_MS;
    while now < heal_at_ms {
        let window_end = (now + WINDOW_MS).min(heal_at_ms);
        let calm = draw.one_in(4);
        steps.extend(stream(&mut draw, now, window_end, pace.requests_ms, |draw, at| tenants.request(draw, at)));
        steps.extend(stream(&mut draw, now, window_end, pace.moves_ms, |draw, at| tenants.movement(draw, at)));
        steps.extend(stream(&mut draw, now, window_end, pace.traffic_ms, |draw, at| tenants.traffic(draw, at)));
        if !calm {
            steps.extend(stream(&mut draw, now, window_end, pace.faults_ms, |draw, at| {
                kinds.draw_one(draw, &setup, &tenants).map_or_else(Vec::new, |faults| {
                    faults.into_iter().map(|(after, fault)| step(at + after, Act::Fault(fault))).collect()
                })
            }));
        }
        now = window_end;
    }
    steps.retain(|step| step.at_ms < heal_at_ms);
    steps.sort_by_key(|step| step.at_ms);
    Plan { name: format!("seed {seed}"), seed, setup, steps, heal_at_ms }
}

fn step(at_ms: u64, act: Act) -> Step {
    Step { at_ms, act }
}

/// Mean times between things, in milliseconds.
struct Pace {
    requests_ms: u64,
    moves_ms: u64,
    traffic_ms: u64,
    faults_ms: u64,
}

impl Pace {
    fn draw(draw: &mut Draw) -> Pace {
        Pace {
            requests_ms: draw.span_ms(300, 10_000),
            moves_ms: draw.span_ms(1_000, 30_000),
            traffic_ms: draw.span_ms(150, 1_500),
            faults_ms: draw.span_ms(2_000, 30_000),
        }
    }
}

/// Things that happen from `from` to `to`, with a mean time between them.
fn stream(
    draw: &mut Draw,
    from: u64,
    to: u64,
    mean_ms: u64,
    mut next: impl FnMut(&mut Draw, u64) -> Vec<Step>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = from + draw.between(0, mean_ms);
    while at < to {
        steps.extend(next(draw, at));
        at += draw.between(1, 2 * mean_ms);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_one_plan() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7).steps, plan(8).steps);
        let text = serde_json::to_string(&plan(7)).expect("it is JSON");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("and back"), plan(7));
    }

    #[test]
    fn plans_differ_in_what_they_leave_out() {
        let kinds = |plan: &Plan| -> BTreeSet<&'static str> {
            let faults = plan.steps.iter().filter_map(|step| match &step.act {
                Act::Fault(fault) => Some(fault.id()),
                Act::Api(_) | Act::Guest(_) => None,
            });
            faults.collect()
        };
        let plans: Vec<_> = (0..60).map(plan).collect();
        let all: BTreeSet<&str> = plans.iter().flat_map(kinds).collect();
        assert!(all.len() > 30, "sixty seeds say most of what can be said: {all:?}");
        assert!(plans.iter().any(|plan| kinds(plan).is_empty()), "some do nothing at all");
        assert!(plans.iter().all(|plan| kinds(plan).len() < all.len()), "none does everything");
        for plan in &plans {
            assert!(plan.steps.is_sorted_by_key(|step| step.at_ms));
            assert!(plan.steps.len() > 100, "{}: {} steps", plan.name, plan.steps.len());
        }
    }
}
