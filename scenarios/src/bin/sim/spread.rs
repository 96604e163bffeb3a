//! The same work for many inputs, on all cores, with a progress line while it goes on. Start at [`spread`].

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What one run came to, as far as progress is told.
#[derive(Clone, Copy)]
pub struct Came {
    /// Something was wrong.
    pub failed: bool,
    /// How much time passed in its world.
    pub simulated: Duration,
}

/// What all runs came to.
pub struct Spread<R> {
    /// In the order of inputs; fewer if it stopped early.
    pub results: Vec<R>,
    /// How long it took.
    pub wall: Duration,
    /// How long all threads worked.
    pub busy: Duration,
}

/// Plays all, on so many threads.
pub fn spread<T: Sync, R: Send>(
    all: &[T],
    jobs: Option<NonZero<usize>>,
    stop_at_first: bool,
    play: impl Fn(&T) -> R + Sync,
    came: impl Fn(&R) -> Came + Sync,
) -> Spread<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let began = Instant::now();
    let jobs = jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let mut progress = Progress { began, shown: None, total: all.len() };
    let busy = thread::scope(|scope| {
        let work = || {
            let began = Instant::now();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = all.get(index) else { break };
                let result = play(one);
                let told = came(&result);
                done.lock().expect("no worker panics with it").insert(index, (result, told));
                if told.failed && stop_at_first {
                    next.store(all.len(), Ordering::Relaxed);
                }
            }
            began.elapsed()
        };
        let workers: Vec<_> = (0..jobs.min(all.len().max(1))).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            let done = done.lock().expect("no worker panics with it");
            progress.show(done.values().map(|(_, came)| *came));
        }
        progress.end();
        workers.into_iter().map(|worker| worker.join().expect("panics of worlds are caught")).sum()
    });
    let done = done.into_inner().expect("no worker panics with it");
    Spread { results: done.into_values().map(|(result, _)| result).collect(), wall: began.elapsed(), busy }
}

/// One line on the terminal, or a line now and then in a log.
struct Progress {
    began: Instant,
    shown: Option<Instant>,
    total: usize,
}

impl Progress {
    fn show(&mut self, done: impl Iterator<Item = Came>) {
        let pause = Duration::from_millis(if stderr().is_terminal() { 200 } else { 20_000 });
        if self.shown.unwrap_or(self.began).elapsed() < pause {
            return;
        }
        self.shown = Some(Instant::now());
        let (mut runs, mut failed, mut simulated) = (0, 0, Duration::ZERO);
        for one in done {
            runs += 1;
            failed += usize::from(one.failed);
            simulated += one.simulated;
        }
        let ratio = simulated.as_secs_f64() / self.began.elapsed().as_secs_f64();
        let line = format!("{runs}/{} runs, {failed} failed, {ratio:.0} simulated s/s", self.total);
        match stderr().is_terminal() {
            true => eprint!("\r\x1b[K{line}"),
            false => eprintln!("{line}"),
        }
        let _ = stderr().flush();
    }

    fn end(&self) {
        if stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
