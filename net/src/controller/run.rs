//! Carries out commands: agreed upon and durable first, then applied, then answered. Start at [`start`].

use super::State;
use super::handle::{Handle, Request, SubmitError};
use crate::cluster::types::{Answers, Batch};
use crate::cluster::{Member, MemberConfig, ProposeError};
use crate::runtime::Runtime;
use crate::store::{Store, StoreError};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;

/// Most commands that share one entry of the log.
const BATCH_MAX: usize = 1024;
/// So long a member that is alone may take until it has applied its log.
const START_MAX: Duration = Duration::from_secs(600);

/// So long what was agreed upon may take on its way from the leader.
const LATE_MAX: Duration = Duration::from_secs(10);

/// Why a controller does not start, or stopped. The process must end: nobody knows what is durable.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The member does not go on.
    #[error(transparent)]
    Member(#[from] ProposeError),
    /// It is one of several, and was not told where others reach it.
    #[error("this controller is one of several, and was not told where the others reach it")]
    NoAddress,
}

/// A controller that is about to run.
pub struct Started<R: Runtime, F> {
    /// The way to it.
    pub handle: Handle,
    /// Its part in the cluster.
    pub member: Member<R>,
    /// Whether it began with a snapshot.
    pub from_snapshot: bool,
    /// Must be polled for it to work. It ends with an error when the disk fails, or when the member is stopped.
    pub core: F,
}

/// Makes a controller of a store. One that is alone has applied its log when this returns; one of several has what its
/// latest snapshot had, and catches up.
///
/// # Errors
/// If the store cannot be read or written.
pub async fn start<R: Runtime>(
    store: Store,
    config: &MemberConfig,
) -> Result<Started<R, impl Future<Output = Result<(), CoreError>> + Send + use<R>>, CoreError> {
    let snapshot = store.snapshot()?.unwrap_or_default();
    let (handle, requests) = Handle::new(State::recovering(config.identity.member, R::uuid(), snapshot.nib.clone()));
    let member = Member::<R>::start(config, store, handle.clone(), &snapshot).await?;
    let is_alone = member.is_alone().await?;
    if !is_alone && config.address.is_none() {
        member.stop().await;
        return Err(CoreError::NoAddress);
    }
    if is_alone {
        member.catch_up(R::now() + START_MAX).await?;
    }
    handle.recovered();
    let from_snapshot = snapshot.meta.last_log_id.is_some();
    let core = serve(member.clone(), handle.clone(), requests);
    Ok(Started { handle, member, from_snapshot, core })
}

async fn serve<R: Runtime>(
    member: Member<R>,
    handle: Handle,
    mut requests: mpsc::Receiver<Request>,
) -> Result<(), CoreError> {
    let mut batch = Vec::new();
    loop {
        let count = tokio::select! {
            biased;
            failure = member.failure() => return Err(failure.into()),
            count = requests.recv_many(&mut batch, BATCH_MAX) => count,
        };
        if count == 0 {
            member.stop().await;
            return Ok(());
        }
        let batch = std::mem::take(&mut batch);
        let commands = batch.iter().map(|request| request.command.clone()).collect();
        match member.propose(Batch(commands)).await {
            Ok(answers) if handle.read(|state| state.nib.revision()) >= answers.at => reply(batch, answers),
            // The leader is elsewhere, and further: who asked here must find here what it was told. Others do not wait for that.
            Ok(answers) => R::spawn("answers", late_reply::<R>(handle.clone(), batch, answers)),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => fail(batch, &error),
        }
    }
}

fn reply(batch: Vec<Request>, answers: Answers) {
    for (request, answer) in batch.into_iter().zip(answers.of_each) {
        // A caller that went away does not need the answer.
        let _ = request.reply.send(answer.map_err(SubmitError::from));
    }
}

fn fail(batch: Vec<Request>, error: &ProposeError) {
    for request in batch {
        // Nor this one.
        let _ = request.reply.send(Err(SubmitError::Cluster(error.clone())));
    }
}

async fn late_reply<R: Runtime>(handle: Handle, batch: Vec<Request>, answers: Answers) {
    match handle.wait_revision::<R>(answers.at, R::now() + LATE_MAX).await {
        true => reply(batch, answers),
        false => fail(batch, &ProposeError::Unknown("what was agreed upon did not come here".to_string())),
    }
}
