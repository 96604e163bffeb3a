//! Listens to what other members tell of their transport nodes ([`Gossip`](crate::controller::Gossip)). Start at
//! [`Member::listen`].

use super::Member;
use super::peer::Peer;
use super::types::MemberId;
use super::wire::{Ask, Said};
use crate::controller::Heard;
use crate::runtime::Runtime;
use openraft::impls::BasicNode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// So long a member that has nothing to tell waits for news before it says so.
pub(super) const NEWS_MAX: Duration = Duration::from_secs(1);
/// So long one is waited for.
const ANSWER_MAX: Duration = Duration::from_millis(2_500);
/// After an answer the next is asked for then: what happens meanwhile comes together.
const PAUSE: Duration = Duration::from_millis(20);
/// After none, then.
const PAUSE_AFTER_NONE: Duration = Duration::from_millis(500);

impl<R: Runtime> Member<R> {
    /// Listens to all other members, whoever they are, for as long as this one lives.
    pub(super) async fn listen(self) {
        let mut listening: BTreeMap<MemberId, (SocketAddr, oneshot::Sender<()>)> = BTreeMap::new();
        loop {
            let others = {
                let known: BTreeMap<MemberId, SocketAddr> =
                    listening.iter().map(|(member, (at, _))| (*member, *at)).collect();
                let changed = self.handle.until(|state| {
                    let members = state.nib.cluster().members().iter();
                    let others = members.filter(|(member, _)| Some(**member) != self.own.member);
                    let others: BTreeMap<MemberId, SocketAddr> =
                        others.map(|(member, record)| (*member, record.address)).collect();
                    (others != known).then_some(others)
                });
                tokio::select! {
                    biased;
                    _ = self.failure() => return,
                    others = changed => others,
                }
            };
            // Those that are not listened to any more notice that their sender is gone.
            listening.retain(|member, (at, _)| others.get(member) == Some(at));
            for (member, at) in others {
                listening.entry(member).or_insert_with(|| {
                    let (sender, receiver) = oneshot::channel();
                    R::spawn("gossip", self.clone().listen_to(member, at, receiver));
                    (at, sender)
                });
            }
        }
    }

    async fn listen_to(self, member: MemberId, at: SocketAddr, mut wanted: oneshot::Receiver<()>) {
        let node = BasicNode { addr: at.to_string() };
        let mut peer = Peer::<R>::new(self.own.clone(), member, &node);
        let (mut heard, mut is_lost, mut replaced) = (Heard::default(), false, 0);
        loop {
            let now = self.handle.read(|state| state.replaced);
            if std::mem::replace(&mut replaced, now) != now {
                heard = Heard::default();
            }
            let asked = peer.ask(Ask::Listen(heard), ANSWER_MAX);
            let said = tokio::select! {
                biased;
                _ = &mut wanted => return,
                said = asked => said,
            };
            let pause = match said {
                Ok(Said::Gossip(Some(gossip))) => {
                    is_lost = false;
                    let up_to = gossip.heard;
                    // What it could not tell yet, or this one not yet understand, is told again.
                    if self.handle.hear(gossip) {
                        heard = up_to;
                    }
                    PAUSE
                }
                Ok(Said::Gossip(None)) => PAUSE,
                Ok(_) | Err(_) => {
                    // All of it is told again when it is there again.
                    heard = Heard::default();
                    if !std::mem::replace(&mut is_lost, true) {
                        self.handle.lose(member);
                    }
                    PAUSE_AFTER_NONE
                }
            };
            tokio::select! {
                biased;
                _ = &mut wanted => return,
                () = R::sleep(pause) => {}
            }
        }
    }
}
