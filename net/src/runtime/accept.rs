//! The loop that every listener runs. Start at [`accept_until`].

use super::{Accepted, Listener, Runtime};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Rest after a listener failed, for instance because there are no more file descriptors.
const RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until `stop` completes, and gives each to `welcome` with the slot that it takes. While all slots
/// are taken nobody is accepted. `what` is for logs.
pub async fn accept_until<R: Runtime>(
    what: &'static str,
    mut listener: R::Listener,
    slots: Arc<Semaphore>,
    stop: impl Future,
    mut welcome: impl FnMut(Accepted<R::Stream>, OwnedSemaphorePermit),
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            _ = &mut stop => return,
            next = next => next,
        };
        match accepted {
            Ok(accepted) => welcome(accepted, slot),
            Err(error) => {
                tracing::warn!(%error, listener = what, "a listener failed to accept a connection");
                R::sleep(RETRY).await;
            }
        }
    }
}
