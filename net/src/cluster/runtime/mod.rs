//! Lets openraft run on any [`Runtime`]: its tasks, clock, timers, randomness and channels.
//!
//! Channels that wait for nothing but each other are tokio's, which need no runtime; its watch channel wakes waiters in
//! an order drawn at random, so that one is ours ([`watch`]). Start at [`On`].

mod time;
mod watch;

pub use time::{At, Timeout, TooLate};
pub use watch::FairWatch;

use crate::runtime::Runtime;
use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// openraft's runtime on `R`.
#[derive(Debug)]
pub struct On<R>(PhantomData<fn() -> R>);

/// No timer is set for less.
const TIMER_MIN: Duration = Duration::from_micros(100);

/// A task ended without a result: it panicked, or its runtime is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task of the cluster ended without a result")]
pub struct Ended;

/// What waits for a task.
#[derive(Debug)]
pub struct JoinHandle<T>(oneshot::Receiver<T>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Ended>> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| Ended)
    }
}

/// Lets other tasks go first, once.
struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Random numbers of the runtime.
pub struct Random<R>(PhantomData<fn() -> R>);

impl<R> fmt::Debug for Random<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl<R: Runtime> rand::TryRng for Random<R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        R::random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        R::random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        R::random(out);
        Ok(())
    }
}

impl<R: Runtime> AsyncRuntime for On<R> {
    type JoinError = Ended;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;
    type Instant = At<R>;
    type TimeoutError = TooLate;
    type Timeout<T, F: Future<Output = T> + OptionalSend> = Timeout<F>;
    type ThreadLocalRng = Random<R>;
    type Mpsc = TokioMpsc;
    type Watch = FairWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(task: T) -> JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (done, result) = oneshot::channel();
        R::spawn("cluster", async move {
            // Whoever does not wait for it does not need the result.
            let _ = done.send(task.await);
        });
        JoinHandle(result)
    }

    /// openraft sleeps a nanosecond to let other tasks go first; tokio's timers would make a millisecond of it.
    fn sleep(duration: Duration) -> Self::Sleep {
        if duration < TIMER_MIN {
            return Box::pin(Yield(false));
        }
        Box::pin(R::sleep(duration))
    }

    fn sleep_until(deadline: At<R>) -> Self::Sleep {
        Box::pin(R::sleep_until(deadline.moment()))
    }

    fn timeout<T, F: Future<Output = T> + OptionalSend>(duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(future, Self::sleep(duration))
    }

    fn timeout_at<T, F: Future<Output = T> + OptionalSend>(deadline: At<R>, future: F) -> Timeout<F> {
        Timeout::new(future, Self::sleep_until(deadline))
    }

    fn is_panic(_: &Ended) -> bool {
        // A runtime that catches panics does not tell us of them: the task is gone either way.
        true
    }

    fn thread_rng() -> Random<R> {
        Random(PhantomData)
    }

    /// # Panics
    /// Always: whoever runs a controller has a runtime already. openraft asks for one in its own tests only.
    fn new(_threads: usize) -> On<R> {
        panic!("the runtime is there before the cluster is")
    }

    /// # Panics
    /// Always; see [`On::new`].
    fn block_on<F: Future<Output = T>, T>(&mut self, _future: F) -> T {
        panic!("nothing in a controller blocks on the cluster")
    }

    async fn spawn_blocking<F, T>(work: F) -> Result<T, io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Ok(R::blocking(work).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tokio;
    use openraft_rt::testing::Suite;

    /// openraft's own suite for runtimes, test by test: it makes its runtime itself otherwise.
    #[tokio::test]
    async fn openrafts_suite_for_runtimes_passes_on_tokio() {
        type S = Suite<On<Tokio>>;
        S::test_spawn_join_handle().await;
        S::test_thread_rng().await;
        S::test_sleep().await;
        S::test_instant().await;
        S::test_instant_arithmetic().await;
        S::test_instant_sub_instant().await;
        S::test_instant_saturating_duration_since().await;
        S::test_instant_ord().await;
        S::test_sleep_until().await;
        S::test_timeout().await;
        S::test_timeout_at().await;
        S::test_mpsc_recv_empty().await;
        S::test_mpsc_send().await;
        S::test_mpsc_backpressure().await;
        S::test_watch_init_value().await;
        S::test_watch_overwrite_init_value().await;
        S::test_watch_send_error_no_receiver().await;
        S::test_watch_send_if_modified().await;
        S::test_watch_wait_until_ge().await;
        S::test_watch_wait_until().await;
        S::test_watch_changed_marks_as_seen().await;
        S::test_watch_borrow_and_update_marks_seen().await;
        S::test_watch_changed_returns_immediately_when_unseen().await;
        S::test_watch_multiple_borrow_then_changed().await;
        S::test_watch_wait_loop_pattern().await;
        S::test_watch_multiple_receivers().await;
        S::test_watch_subscribe().await;
        S::test_watch_send_if_different().await;
        S::test_watch_send_if_greater().await;
        S::test_oneshot_drop_tx().await;
        S::test_oneshot().await;
        S::test_oneshot_send_from_another_task().await;
        S::test_mutex_contention().await;
        S::test_mutex().await;
    }
}
