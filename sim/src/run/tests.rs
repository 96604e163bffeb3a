//! The controller that ships, in a world.

use super::client::{self, Answers, Call, Ended};
use super::controller::{API_PORT, Place, software};
use crate::disk::SimDisk;
use crate::stage::{Stage, Stop};
use crate::window::Window;
use crate::world::{World, WorldRuntime};
use hyper::Method;
use selvedge_net::runtime::Moment;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

fn run(world: &mut World, until: Moment) {
    let mut run = std::pin::pin!(world.run_until(until));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(run.as_mut().poll(&mut context).is_ready(), "our world runs without waiting");
}

use std::future::Future;

#[test]
fn a_controller_serves_survives_a_power_cut_and_serves_again() {
    let address: IpAddr = "192.0.2.1".parse().expect("an address");
    let mut world = World::new(1);
    world.add("controller", address);
    world.add("client", "192.0.2.9".parse().expect("an address"));
    let (disk, window) = (SimDisk::new(1), Window::default());
    let boot = |world: &mut World| {
        let place = Place { at: address, snapshot_every: 20_000, desk: None };
        let software = software::<WorldRuntime, _>(place, disk.clone(), window.clone());
        world.boot("controller", Box::pin(software));
    };
    boot(&mut world);
    let (calls, incoming) = mpsc::unbounded_channel();
    let answers = Answers::default();
    let api = SocketAddr::new(address, API_PORT);
    world.boot("client", Box::pin(client::run::<WorldRuntime>(api, incoming, answers.clone())));
    let post = |id| {
        let body = json!({"display_name": format!("s{id}")}).to_string().into_bytes();
        let call = Call { id, method: Method::POST, path: "/ws.v1/lswitch".into(), body };
        calls.send(call).expect("the client lives");
    };
    run(&mut world, Duration::from_secs(1));
    post(1);
    run(&mut world, Duration::from_secs(2));
    let status = |index: usize| match &answers.lock().expect("no holder panics")[index].ended {
        Ended::Answered { status, .. } => *status,
        other => panic!("answered: {other:?}"),
    };
    assert_eq!(status(0), 201);
    world.stop("controller", Stop::PowerCut);
    disk.crash();
    window.close();
    boot(&mut world);
    run(&mut world, Duration::from_secs(3));
    let names = window.handle().expect("it is up").read(|state| state.nib.switches().len());
    assert_eq!(names, 1);
    post(2);
    run(&mut world, Duration::from_secs(20));
    let ended = answers.lock().expect("no holder panics")[1].ended.clone();
    assert!(matches!(ended, Ended::Unknown(_) | Ended::Answered { status: 201, .. }), "{ended:?}");
    assert_eq!(world.take_panics(), [""; 0]);
}

/// Plays a plan in our world; the report, with the world's hash.
fn play(plan: &crate::plan::Plan) -> super::report::Report {
    super::in_our_world(plan, &super::director::Options::default())
}

#[test]
fn a_calm_world_converges_and_is_good() {
    let mut plan = crate::plan::swarm::plan(1);
    plan.steps.retain(|step| !matches!(step.act, crate::plan::Act::Fault(_)));
    let report = play(&plan);
    assert!(report.is_good(), "{}", report.in_words());
}

#[test]
fn full_packets_that_do_not_fit_the_underlay_are_missed() {
    // In some seeds nobody talks to another hypervisor in the end.
    let missed = (1..=10).any(|seed| {
        let mut plan = crate::plan::swarm::plan(seed);
        plan.steps.retain(|step| !matches!(step.act, crate::plan::Act::Fault(_)));
        // Room for what guests send, and none for what tunnels add.
        plan.setup.underlay_mtu = 1_500;
        let report = play(&plan);
        let has = |what: &str| report.violations.iter().any(|one| one.id == "L3" && one.what.contains(what));
        assert!(!has("got no answer"), "pings are small: {}", report.in_words());
        has("not all were acknowledged") && has("datagrams and got")
    });
    assert!(missed);
}
