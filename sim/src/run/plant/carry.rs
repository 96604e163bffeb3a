//! What keeps the physical world going on a stage: its time, and the bytes of hypervisors' connections.
//!
//! Start at [`Plant::beat`] and [`Plant::carry`].

use super::Plant;
use crate::plan::HvId;
use crate::switch::machine::{Input, Output};
use selvedge_net::runtime::{Moment, Runtime};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

impl Plant {
    /// Lets the time of everything physical pass, for as long as its host is up.
    pub async fn beat<R: Runtime>(self) {
        loop {
            let next = {
                let mut state = self.state();
                let next = state.advance(R::now());
                for (hv, hypervisor) in &state.hypervisors {
                    if !hypervisor.outbox.is_empty() {
                        self.outboxes[hv].notify_one();
                    }
                }
                next
            };
            let sleep = async {
                match next {
                    Some(at) => R::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Carries the bytes of a hypervisor's connections, for as long as its host is up.
    pub async fn carry<R: Runtime>(self, hv: HvId) {
        let mut writers: BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>> = BTreeMap::new();
        loop {
            let (outputs, garbage) = {
                let mut state = self.state();
                let Some(hypervisor) = state.hypervisors.get_mut(&hv) else { return };
                (std::mem::take(&mut hypervisor.outbox), std::mem::take(&mut hypervisor.garbage))
            };
            if outputs.is_empty() && garbage.is_empty() {
                self.outboxes[&hv].notified().await;
                continue;
            }
            for output in outputs {
                match output {
                    Output::Connect(conn, to) => {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        writers.insert(conn, sender);
                        R::spawn("connection", self.clone().connection::<R>(hv, conn, to, receiver));
                    }
                    Output::Send(conn, bytes) => {
                        // Whoever reads there is gone if it fails, and the switch is told so.
                        writers.get(&conn).map(|writer| writer.send(bytes)).into_iter().for_each(|sent| _ = sent);
                    }
                    Output::Close(conn) => _ = writers.remove(&conn),
                    Output::Frame(..) | Output::Underlay(_) => unreachable!("packets do not go by connections"),
                }
            }
            for (to, bytes) in garbage {
                R::spawn("garbage", async move {
                    let Ok(mut stream) = R::connect(to).await else { return };
                    // Whether it is taken is the controller's business.
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.flush().await;
                    R::sleep(Duration::from_secs(20)).await;
                });
            }
        }
    }

    async fn connection<R: Runtime>(
        self,
        hv: HvId,
        conn: u64,
        to: SocketAddr,
        mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    ) {
        let Ok(stream) = R::connect(to).await else {
            return self.input(hv, R::now(), Input::Closed(conn));
        };
        self.input(hv, R::now(), Input::Opened(conn));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; 16 * 1024];
        let mut pending: Vec<u8> = Vec::new();
        loop {
            tokio::select! {
                biased;
                read = reader.read(&mut buffer) => match read {
                    Ok(count @ 1..) => self.input(hv, R::now(), Input::Received(conn, buffer[..count].to_vec())),
                    Ok(0) | Err(_) => break,
                },
                written = writer.write(&pending), if !pending.is_empty() => match written {
                    Ok(count @ 1..) => {
                        pending.drain(..count);
                        // Some streams keep what is written until they are asked not to.
                        if writer.flush().await.is_err() {
                            break;
                        }
                    }
                    Ok(0) | Err(_) => break,
                },
                more = outgoing.recv(), if pending.len() < 64 * 1024 => match more {
                    Some(more) => pending.extend(more),
                    None => {
                        // The switch ends it.
                        let _ = writer.shutdown().await;
                        return;
                    }
                },
            }
        }
        self.input(hv, R::now(), Input::Closed(conn));
    }

    fn input(&self, hv: HvId, now: Moment, input: Input) {
        let mut state = self.state();
        state.input(hv, now, input);
        let outbox = state.hypervisors.get(&hv).is_some_and(|hypervisor| !hypervisor.outbox.is_empty());
        let sooner = match (state.planned, state.deadline()) {
            (Some(planned), Some(next)) => next < planned,
            (None, next) => next.is_some(),
            (Some(_), None) => false,
        };
        drop(state);
        if outbox {
            self.outboxes[&hv].notify_one();
        }
        if sooner {
            self.sooner.notify_one();
        }
    }
}
