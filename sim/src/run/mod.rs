//! Runs a plan: controllers, hypervisors with guests, an underlay and clients, on a stage, judged all the while.
//!
//! | module | |
//! | --- | --- |
//! | [`director`] | applies the steps of a plan, heals, asks for what must hold |
//! | [`plant`] | everything physical: switches, guests, the underlay |
//! | [`controller`] | a controller's process: the code that ships |
//! | [`controllers`] | all of them: which are up, and which a fault is about |
//! | [`client`] | clients of the API, over real HTTP |
//! | [`intent`] | what they asked for and were told, and so what may be there |
//! | [`judge`] | follows every frame, and judges each delivery |
//! | [`rows`] | flow tables of both models as rows of one |
//! | `checks`, `reach` | asking the oracles; whether who may talk can |
//! | `faults`, `malformed` | applying faults, requests that nobody should send |
//! | [`report`] | what a run came to |
//! | [`capture`] | packets as a file for Wireshark |
//!
//! Start at [`director::play`].

pub mod capture;
mod checks;
pub mod client;
pub mod controller;
mod controllers;
pub mod director;
mod faults;
pub mod intent;
pub mod judge;
mod malformed;
pub mod plant;
mod reach;
pub mod report;
pub mod rows;
#[cfg(test)]
mod tests;

use crate::oracles::Violation;
use crate::plan::Plan;
use crate::stage::Stage;
use crate::world::{World, words};
use director::Options;
use report::Report;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Plays a plan in our own world. What was found, and the hash of all that happened, are in the report.
pub fn in_our_world(plan: &Plan, options: &Options) -> Report {
    let mut world = World::new(plan.seed);
    if options.trace {
        world.record();
    }
    let played = catch_unwind(AssertUnwindSafe(|| finish(director::play(&mut world, plan, options))));
    let mut report = played.unwrap_or_else(|panic| {
        let what = format!("the simulator itself panicked: {}", words(&*panic));
        let violations = vec![Violation::new("X0", world.now(), what)];
        Report { name: plan.name.clone(), seed: plan.seed, simulated: world.now(), violations, ..Report::default() }
    });
    report.hash = world.hash();
    report.trace = world.trace();
    let panics = world.take_panics();
    let at = report.simulated;
    report.violations.extend(panics.into_iter().map(|what| Violation::new("X0", at, what)));
    report
}

/// Runs a future that never waits, as those of our world and of turmoil do: their time passes inside of them.
///
/// # Panics
/// If it does wait.
pub fn finish<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a stage whose time passes inside of it never waits"),
    }
}
