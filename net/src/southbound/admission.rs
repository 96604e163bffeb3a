//! How many switches are looked at as a whole at once.
//!
//! A switch that connects is asked for all that it holds, which is compared with all that it should hold, and it is sent
//! the difference: a megabyte or more, and milliseconds of work. If a thousand connect in one second, they take turns,
//! first come, first served. So memory is bounded, the first are done early instead of all at the end, and whoever uses the
//! API waits behind a few such tasks, not behind a thousand. A switch that waits goes on forwarding by what it has.
//! Start at [`Admission::enter`].

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many take their turn at once.
const AT_ONCE: usize = 16;
/// A turn is over after so long, if the switch is slow: others do not wait for it any longer.
pub(super) const TURN_MAX: Duration = Duration::from_secs(5);

/// The queue of those who wait.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Semaphore>);

/// A place in the queue, which is given up with it.
pub(super) struct Waiting(Pin<Box<dyn Future<Output = Slot> + Send>>);

/// A turn, which ends with it.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Admission {
    /// Joins the queue.
    pub(super) fn enter(&self) -> Waiting {
        let queue = self.0.clone();
        Waiting(Box::pin(
            async move { Slot { _permit: queue.acquire_owned().await.expect("the queue is never closed") } },
        ))
    }
}

impl Waiting {
    /// Completes when it is one's turn. May be dropped at any time and called again: the place in the queue stays.
    pub async fn turn(&mut self) -> Slot {
        self.0.as_mut().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    /// Whether it is somebody's turn now.
    async fn is_up(waiting: &mut Waiting) -> Option<Slot> {
        let mut turn = std::pin::pin!(waiting.turn());
        poll_fn(|context| match turn.as_mut().poll(context) {
            Poll::Ready(slot) => Poll::Ready(Some(slot)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn who_came_first_has_the_first_turn_though_it_looked_away() {
        let admission = Admission::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(is_up(&mut admission.enter()).await.expect("there is room"));
        }
        let (mut first, mut second) = (admission.enter(), admission.enter());
        assert!(is_up(&mut first).await.is_none() && is_up(&mut second).await.is_none());
        turns.pop();
        assert!(is_up(&mut second).await.is_none(), "it is the other's turn");
        turns.push(is_up(&mut first).await.expect("its turn"));
        drop(first);
        turns.clear();
        assert!(is_up(&mut second).await.is_some());
    }
}
