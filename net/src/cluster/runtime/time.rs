//! Moments and timeouts as openraft wants them. Start at [`At`].

use crate::runtime::{Moment, Runtime};
use openraft_rt::Instant;
use pin_project_lite::pin_project;
use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A moment of the runtime `R`.
pub struct At<R>(Moment, PhantomData<fn() -> R>);

impl<R> At<R> {
    /// Since the runtime's origin.
    pub fn moment(self) -> Moment {
        self.0
    }
}

impl<R> Clone for At<R> {
    fn clone(&self) -> At<R> {
        *self
    }
}

impl<R> Copy for At<R> {}

impl<R> fmt::Debug for At<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<R> PartialEq for At<R> {
    fn eq(&self, other: &At<R>) -> bool {
        self.0 == other.0
    }
}

impl<R> Eq for At<R> {}

impl<R> PartialOrd for At<R> {
    fn partial_cmp(&self, other: &At<R>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for At<R> {
    fn cmp(&self, other: &At<R>) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<R> Add<Duration> for At<R> {
    type Output = At<R>;

    fn add(self, later: Duration) -> At<R> {
        At(self.0.saturating_add(later), PhantomData)
    }
}

impl<R> AddAssign<Duration> for At<R> {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

impl<R> Sub<Duration> for At<R> {
    type Output = At<R>;

    /// Moments before the origin are the origin.
    fn sub(self, earlier: Duration) -> At<R> {
        At(self.0.saturating_sub(earlier), PhantomData)
    }
}

impl<R> Sub for At<R> {
    type Output = Duration;

    fn sub(self, earlier: At<R>) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl<R> SubAssign<Duration> for At<R> {
    fn sub_assign(&mut self, earlier: Duration) {
        *self = *self - earlier;
    }
}

impl<R: Runtime> Instant for At<R> {
    fn now() -> At<R> {
        At(R::now(), PhantomData)
    }
}

/// Something did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct TooLate;

pin_project! {
    /// A future, and until when it is waited for.
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
    }
}

impl<F> Timeout<F> {
    /// Waits for a future until the sleep is over.
    pub fn new(future: F, sleep: Pin<Box<dyn Future<Output = ()> + Send>>) -> Timeout<F> {
        Timeout { future, sleep }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TooLate>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => this.sleep.as_mut().poll(cx).map(|()| Err(TooLate)),
        }
    }
}
