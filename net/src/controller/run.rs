//! Carries out commands: durable first, then applied, then answered. Start at [`run`].

use super::State;
use super::handle::{Handle, Request};
use crate::runtime::Runtime;
use crate::store::{Store, StoreError};
use selvedge_core::ids::Revision;
use selvedge_core::nib::{Command, Nib, Refusal};
use std::future::Future;
use tokio::sync::{mpsc, oneshot};

/// Most commands that share one commit to disk.
const BATCH_MAX: usize = 1024;

/// Makes a controller of a store and what was in it: the way to it, and the loop that must be polled for it to work.
///
/// The loop ends when all handles are gone, or with an error when the disk fails: the process must stop then, since
/// nobody knows what is durable.
pub fn run<R: Runtime>(store: Store, nib: Nib) -> (Handle, impl Future<Output = Result<(), StoreError>> + Send) {
    let (handle, requests) = Handle::new(State::of(nib));
    let core = serve::<R>(store, handle.clone(), requests);
    (handle, core)
}

async fn serve<R: Runtime>(
    mut store: Store,
    handle: Handle,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let commands: Vec<Command> = batch.iter().map(|request| request.command.clone()).collect();
        store = durable::<R>(store, commands).await?;
        let answers = handle.write(|state| batch.drain(..).map(|request| apply(state, request)).collect::<Vec<_>>());
        for (reply, answer) in answers {
            // A caller that went away does not need the answer.
            let _ = reply.send(answer);
        }
        if store.wants_snapshot() {
            let nib = handle.read(|state| state.nib.clone());
            store = R::blocking(move || store.snapshot(&nib).map(|()| store)).await?;
        }
    }
    Ok(())
}

async fn durable<R: Runtime>(mut store: Store, commands: Vec<Command>) -> Result<Store, StoreError> {
    R::blocking(move || store.append(&commands).map(|()| store)).await
}

type Answer = (oneshot::Sender<Result<Revision, Refusal>>, Result<Revision, Refusal>);

fn apply(state: &mut State, request: Request) -> Answer {
    let answer = state.apply(&request.command);
    (request.reply, answer)
}
