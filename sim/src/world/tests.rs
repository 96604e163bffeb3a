//! The world against itself: streams, cuts, crashes, timers, and that a seed is one run.

use super::*;
use selvedge_net::runtime::{Accepted, Listener, Runtime};
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Log = Arc<Mutex<Vec<String>>>;

fn at() -> SocketAddr {
    "10.0.0.1:7".parse().expect("an address")
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn two_hosts(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add("server", at().ip());
    world.add("client", "10.0.0.2".parse().expect("an address"));
    world
}

fn say(log: &Log, words: impl Into<String>) {
    log.lock().expect("no holder panics").push(words.into());
}

async fn echo() {
    let mut listener = WorldRuntime::listen(at()).await.expect("it listens");
    loop {
        let Accepted { mut stream, .. } = listener.accept().await.expect("somebody comes");
        WorldRuntime::spawn("echo", async move {
            let mut buffer = [0; 1000];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Sends a byte each 100 ms and logs when answers stop, come again, and how the connection ends.
async fn chat(log: Log) {
    let mut stream = match WorldRuntime::connect(at()).await {
        Ok(stream) => stream,
        Err(error) => return say(&log, format!("connect: {:?}", error.kind())),
    };
    say(&log, "connected");
    for round in 0_u8..=255 {
        let mut answer = [0];
        let exchange = async {
            stream.write_all(&[round]).await?;
            stream.read_exact(&mut answer).await.map(|_| ())
        };
        let began = WorldRuntime::now();
        match exchange.await {
            Ok(()) if WorldRuntime::now() - began > seconds(1) => say(&log, format!("late {round}")),
            Ok(()) => assert_eq!(answer, [round]),
            Err(error) => return say(&log, format!("{:?}", error.kind())),
        }
        WorldRuntime::sleep(Duration::from_millis(100)).await;
    }
    say(&log, "done");
}

fn run(world: &mut World, until: u64) {
    world.run(seconds(until));
}

fn logged(log: &Log) -> Vec<String> {
    log.lock().expect("no holder panics").clone()
}

#[test]
fn a_seed_is_one_run() {
    let hash = |seed| {
        let mut world = two_hosts(seed);
        world.boot("server", Box::pin(echo()));
        world.boot("client", Box::pin(chat(Log::default())));
        run(&mut world, 20);
        assert!(world.take_panics().is_empty());
        world.hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn bytes_come_through_a_small_window_in_order() {
    let mut world = two_hosts(3);
    let log = Log::default();
    world.boot("server", Box::pin(echo()));
    world.path("client", "server", Path { loss: 0.2, ..Path::default() });
    let told = log.clone();
    world.boot(
        "client",
        Box::pin(async move {
            let stream = WorldRuntime::connect(at()).await.expect("connected");
            let (mut read, mut write) = tokio::io::split(stream);
            let sent: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
            let expected = sent.clone();
            WorldRuntime::spawn("writer", async move { write.write_all(&sent).await.expect("written") });
            let mut got = vec![0; expected.len()];
            read.read_exact(&mut got).await.expect("read");
            say(&told, if got == expected { "same" } else { "different" });
        }),
    );
    run(&mut world, 600);
    assert_eq!(logged(&log), ["same"]);
}

#[test]
fn a_cut_holds_bytes_until_it_is_mended_or_the_sender_gives_up() {
    for (mended, expected) in [(true, vec!["connected", "late", "done"]), (false, vec!["connected", "TimedOut"])] {
        let mut world = two_hosts(4);
        let log = Log::default();
        world.boot("server", Box::pin(echo()));
        world.boot("client", Box::pin(chat(log.clone())));
        run(&mut world, 2);
        world.path("client", "server", Path { cut: true, ..Path::default() });
        run(&mut world, 20);
        if mended {
            world.path("client", "server", Path::default());
        }
        run(&mut world, 300);
        let words: Vec<String> =
            logged(&log).iter().map(|line| line.split(' ').next().unwrap_or_default().to_string()).collect();
        assert_eq!(words, expected);
    }
}

#[test]
fn a_killed_peer_resets_and_a_dark_one_is_silent() {
    let fate = |how| {
        let mut world = two_hosts(5);
        let log = Log::default();
        world.boot("server", Box::pin(echo()));
        world.boot("client", Box::pin(chat(log.clone())));
        run(&mut world, 2);
        world.stop("server", how);
        run(&mut world, 10);
        let soon = logged(&log);
        world.boot("server", Box::pin(echo()));
        run(&mut world, 20);
        (soon, logged(&log))
    };
    let (soon, _) = fate(Stop::Kill);
    assert_eq!(soon, ["connected", "ConnectionReset"]);
    let (soon, later) = fate(Stop::PowerCut);
    assert_eq!(soon, ["connected"], "nobody told the client");
    assert_eq!(later, ["connected", "ConnectionReset"], "the host is up again and knows nothing of it");
}

#[test]
fn nobody_listens_or_nobody_answers() {
    let mut world = two_hosts(6);
    let log = Log::default();
    world.boot("client", Box::pin(chat(log.clone())));
    run(&mut world, 1);
    assert_eq!(logged(&log), ["connect: ConnectionRefused"]);
    world.stop("client", Stop::Kill);
    world.path("client", "server", Path { cut: true, ..Path::default() });
    world.boot("client", Box::pin(chat(log.clone())));
    run(&mut world, 100);
    assert_eq!(logged(&log)[1..], ["connect: TimedOut"]);
}

#[test]
fn dropped_sleeps_leave_nothing_behind() {
    let mut world = two_hosts(7);
    world.boot(
        "client",
        Box::pin(async {
            for _ in 0..100 {
                let deadline = WorldRuntime::now() + seconds(1_000);
                let soon = WorldRuntime::sleep(Duration::from_millis(1));
                assert!(WorldRuntime::before(deadline, soon).await.is_some());
            }
        }),
    );
    run(&mut world, 10);
    assert_eq!(world.pending_events(), 0);
}

#[test]
fn a_panic_is_told_and_the_world_goes_on() {
    let mut world = two_hosts(8);
    let log = Log::default();
    world.boot("server", Box::pin(async { panic!("of {}", "necessity") }));
    world.boot("client", Box::pin(chat(log.clone())));
    run(&mut world, 1);
    assert_eq!(world.take_panics(), ["software on server: of necessity"]);
    assert_eq!(logged(&log), ["connect: ConnectionRefused"]);
}

#[test]
fn a_paused_host_does_nothing_and_its_peers_do_not_notice() {
    let mut world = two_hosts(9);
    let log = Log::default();
    world.boot("server", Box::pin(echo()));
    world.boot("client", Box::pin(chat(log.clone())));
    run(&mut world, 2);
    world.pause("server", true);
    run(&mut world, 8);
    assert_eq!(logged(&log), ["connected"]);
    world.pause("server", false);
    run(&mut world, 60);
    assert_eq!(logged(&log).len(), 3, "connected, one late answer, done: {:?}", logged(&log));
}

#[test]
fn clocks_run_as_they_are_set() {
    let mut world = two_hosts(10);
    let log = Log::default();
    let told = log.clone();
    world.clock("client", 5_000, 100_000);
    world.boot(
        "client",
        Box::pin(async move {
            let (wall, began) = (WorldRuntime::wall(), WorldRuntime::now());
            WorldRuntime::sleep(seconds(11)).await;
            say(&told, format!("{:?}", WorldRuntime::now() - began >= seconds(11)));
            say(&told, format!("{:?}", WorldRuntime::wall().duration_since(wall).expect("later") >= seconds(11)));
        }),
    );
    world.run(Duration::from_millis(9_900));
    assert!(logged(&log).is_empty());
    world.run(Duration::from_millis(10_100));
    assert_eq!(logged(&log), ["true", "true"], "ten seconds are eleven on a clock that is a tenth too fast");
}

#[test]
fn connections_are_reset_while_both_hosts_live() {
    let mut world = two_hosts(11);
    let log = Log::default();
    world.boot("server", Box::pin(echo()));
    world.boot("client", Box::pin(chat(log.clone())));
    run(&mut world, 2);
    world.reset("server", "client");
    run(&mut world, 3);
    assert_eq!(logged(&log), ["connected", "ConnectionReset"]);
}
