//! What a host or a router knows of its neighbours' Ethernet addresses, as Linux keeps it (arp(7), `net/core/neighbour.c`
//! in its default settings).
//!
//! There are no timers: what is old is seen when it is used. Start at [`Neighbours::send`].

use super::frame::{Arp, Frame, Payload};
use crate::logical::Mac;
use selvedge_net::runtime::Moment;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// An address that was confirmed is good for so long (`base_reachable_time`), and asked for again thereafter.
const REACHABLE: Duration = Duration::from_secs(30);
/// So long passes between questions (`retrans_time`).
const AGAIN: Duration = Duration::from_secs(1);
/// So many questions go to the address that was known, before everybody is asked (`ucast_solicit`).
const PROBES: u8 = 3;
/// Another address is not believed so soon after one was (`locktime`).
const LOCKED: Duration = Duration::from_secs(1);
/// Packets that wait for one address; later ones are dropped.
const WAITING_MAX: usize = 8;

#[derive(Clone, Debug, Default)]
struct Neighbour {
    /// None: nobody answered yet.
    mac: Option<Mac>,
    confirmed: Moment,
    changed: Moment,
    /// When it was last asked for.
    asked: Option<Moment>,
    probes: u8,
    waiting: Vec<Arc<Vec<u8>>>,
}

/// The neighbours of one interface.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    known: BTreeMap<Ipv4Addr, Neighbour>,
}

impl Neighbours {
    /// Sends a packet to a neighbour: frames that go out now, questions among them. A packet that has to wait goes out
    /// with the answer ([`Neighbours::hear`]).
    pub fn send(&mut self, now: Moment, own: (Ipv4Addr, Mac), to: Ipv4Addr, packet: Vec<u8>) -> Vec<Frame> {
        let neighbour = self.known.entry(to).or_default();
        let packet = Arc::new(packet);
        let may_ask = neighbour.asked.is_none_or(|asked| now.saturating_sub(asked) >= AGAIN);
        let old = now.saturating_sub(neighbour.confirmed) >= REACHABLE;
        let mut frames = Vec::new();
        match neighbour.mac {
            Some(mac) => {
                frames.push(Frame::new(own.1, mac, Payload::Ip(packet)));
                if old && may_ask && neighbour.probes < PROBES {
                    neighbour.probes += 1;
                    neighbour.asked = Some(now);
                    frames.push(Frame::request(own, to, Some(mac)));
                } else if old && may_ask {
                    *neighbour = Neighbour { asked: Some(now), ..Neighbour::default() };
                    frames.push(Frame::request(own, to, None));
                }
            }
            None => {
                if neighbour.waiting.len() < WAITING_MAX {
                    neighbour.waiting.push(packet);
                }
                if may_ask {
                    neighbour.asked = Some(now);
                    frames.push(Frame::request(own, to, None));
                }
            }
        }
        frames
    }

    /// Learns from what a neighbour says, whether it asks, answers or announces; `own` is who listens. What waited for
    /// that goes out, and the answer to a question.
    pub fn hear(&mut self, now: Moment, own: (Ipv4Addr, Mac), arp: &Arp) -> Vec<Frame> {
        let (ip, mac) = arp.sender;
        let mut frames = Vec::new();
        let is_for_us = arp.target == own.0;
        if ip != own.0 && (is_for_us || self.known.contains_key(&ip)) {
            let neighbour = self.known.entry(ip).or_default();
            let other = neighbour.mac.is_some_and(|known| known != mac);
            if !other || now.saturating_sub(neighbour.changed) >= LOCKED {
                if neighbour.mac != Some(mac) {
                    neighbour.changed = now;
                }
                neighbour.mac = Some(mac);
                // Only an answer proves that both directions work.
                if !arp.is_request {
                    neighbour.confirmed = now;
                    neighbour.probes = 0;
                }
                let waiting = std::mem::take(&mut neighbour.waiting);
                frames.extend(waiting.into_iter().map(|packet| Frame::new(own.1, mac, Payload::Ip(packet))));
            }
        }
        if arp.is_request && is_for_us {
            frames.push(Frame::reply(own, arp.sender));
        }
        frames
    }

    /// How many packets waited in vain; they are dropped. Answers come at once here, or not at all.
    pub fn give_up(&mut self) -> usize {
        self.known.values_mut().map(|neighbour| std::mem::take(&mut neighbour.waiting).len()).sum()
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: (Ipv4Addr, Mac) = (Ipv4Addr::new(10, 0, 0, 1), Mac([2, 0, 0, 0, 0, 1]));
    const PEER: (Ipv4Addr, Mac) = (Ipv4Addr::new(10, 0, 0, 2), Mac([2, 0, 0, 0, 0, 2]));
    const THIEF: (Ipv4Addr, Mac) = (PEER.0, Mac([2, 0, 0, 0, 0, 9]));

    fn seconds(n: u64) -> Moment {
        Duration::from_secs(n)
    }

    /// Whom frames are for; true: a question.
    fn kinds(frames: &[Frame]) -> Vec<(Mac, bool)> {
        frames.iter().map(|frame| (frame.destination, matches!(frame.payload, Payload::Arp(_)))).collect()
    }

    fn answer(who: (Ipv4Addr, Mac)) -> Arp {
        Arp { is_request: false, sender: who, target: OWN.0 }
    }

    fn knowing() -> Neighbours {
        let mut neighbours = Neighbours::default();
        assert_eq!(kinds(&neighbours.send(seconds(100), OWN, PEER.0, vec![1])), [(Mac::BROADCAST, true)]);
        assert_eq!(kinds(&neighbours.hear(seconds(100), OWN, &answer(PEER))), [(PEER.1, false)]);
        neighbours
    }

    #[test]
    fn packets_wait_for_the_answer() {
        let mut neighbours = knowing();
        assert_eq!(kinds(&neighbours.send(seconds(129), OWN, PEER.0, vec![1])), [(PEER.1, false)]);
        assert_eq!(neighbours.give_up(), 0);
    }

    #[test]
    fn nobody_answers_and_the_question_is_put_once_a_second() {
        let mut neighbours = Neighbours::default();
        assert_eq!(neighbours.send(seconds(100), OWN, PEER.0, vec![1]).len(), 1);
        assert_eq!(neighbours.send(seconds(100), OWN, PEER.0, vec![1]).len(), 0);
        assert_eq!(neighbours.give_up(), 2);
        assert_eq!(neighbours.send(seconds(101), OWN, PEER.0, vec![1]).len(), 1);
    }

    #[test]
    fn an_old_address_is_used_and_asked_for_and_given_up_in_the_end() {
        let mut neighbours = knowing();
        for n in 0..3 {
            let frames = neighbours.send(seconds(130 + n), OWN, PEER.0, vec![1]);
            assert_eq!(kinds(&frames), [(PEER.1, false), (PEER.1, true)], "question {n}");
        }
        let frames = neighbours.send(seconds(133), OWN, PEER.0, vec![1]);
        assert_eq!(kinds(&frames), [(PEER.1, false), (Mac::BROADCAST, true)]);
        let frames = neighbours.hear(seconds(133), OWN, &answer(THIEF));
        assert!(frames.is_empty(), "nothing waited");
        assert_eq!(kinds(&neighbours.send(seconds(133), OWN, PEER.0, vec![1])), [(THIEF.1, false)]);
    }

    #[test]
    fn the_first_answer_wins_for_a_second_and_announcements_are_believed_of_who_is_known() {
        let mut neighbours = knowing();
        neighbours.hear(seconds(100), OWN, &answer(THIEF));
        assert_eq!(kinds(&neighbours.send(seconds(101), OWN, PEER.0, vec![1])), [(PEER.1, false)]);
        let announcement = Arp { is_request: true, sender: THIEF, target: THIEF.0 };
        assert!(neighbours.hear(seconds(102), OWN, &announcement).is_empty());
        assert_eq!(kinds(&neighbours.send(seconds(102), OWN, PEER.0, vec![1])), [(THIEF.1, false)]);
        let mut stranger = Neighbours::default();
        stranger.hear(seconds(102), OWN, &announcement);
        assert_eq!(kinds(&stranger.send(seconds(102), OWN, PEER.0, vec![1])), [(Mac::BROADCAST, true)]);
    }

    #[test]
    fn questions_are_answered_and_teach_who_asked() {
        let mut neighbours = Neighbours::default();
        let question = Arp { is_request: true, sender: PEER, target: OWN.0 };
        let frames = neighbours.hear(seconds(100), OWN, &question);
        assert_eq!(frames, [Frame::reply(OWN, PEER)]);
        assert_eq!(kinds(&neighbours.send(seconds(100), OWN, PEER.0, vec![1]))[0], (PEER.1, false));
        let other = Arp { target: Ipv4Addr::new(10, 0, 0, 7), ..question };
        assert!(neighbours.hear(seconds(100), OWN, &other).is_empty());
    }
}
