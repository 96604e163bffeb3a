//! Tenant isolation and policy (D1, D2, D3): a frame is delivered only where intent lets its sender reach.
//!
//! Source: [`crate::logical::rules`], the specification. Checked at every delivery to a guest, against every version of
//! the configuration that was lawful between sending and delivery; a version stays lawful until the new one is *said* to be
//! realised everywhere. Versions of sender, receiver and switch are combined freely, which forgives mixtures.
//! Not checked here: that permitted frames do arrive (see [`super::reachability`]), frames on their way while an operator
//! has changed the flows by hand. Start at [`judge`].

use super::Violation;
use crate::logical::frame::Frame;
use crate::logical::history::History;
use crate::logical::{Port, PortId, VifId, rules};
use crate::plan::{HvId, Vif};
use std::time::Duration;

/// A frame that a guest sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// By whom.
    pub from: VifId,
    /// On which hypervisor.
    pub on: HvId,
    /// When.
    pub at: Duration,
    /// The whole frame.
    pub bytes: Vec<u8>,
}

/// A frame that reached a guest.
#[derive(Clone, Debug)]
pub struct Delivered<'a> {
    /// What it was made of.
    pub sent: &'a Sent,
    /// Whom it reached.
    pub to: VifId,
    /// On which hypervisor: a guest that migrates is on two for a while.
    pub on: HvId,
    /// When.
    pub at: Duration,
    /// The whole frame.
    pub bytes: &'a [u8],
}

/// Judges a delivery.
pub fn judge(history: &History, vifs: &[Vif], delivered: &Delivered<'_>) -> Option<Violation> {
    let Sent { from, at, bytes, .. } = delivered.sent;
    let violation = |id, why: &str| {
        let (to, what) = (delivered.to, describe(bytes));
        Some(Violation::new(id, delivered.at, format!("{to} got a frame that {from} sent at {at:?} ({what}): {why}")))
    };
    let Some(frame) = Frame::read(bytes) else { return violation("D2", "it has no Ethernet header") };
    if delivered.to == *from && delivered.on == delivered.sent.on {
        return match answered(history, delivered, &frame) {
            true => None,
            false => violation("D2", "it came back to its sender, and is no answer from the network"),
        };
    }
    let mut nearest: Option<(u8, &'static str, &str)> = None;
    for sender in ports_of(history, *from, *at, delivered.at) {
        for receiver in ports_of(history, delivered.to, *at, delivered.at) {
            match permits(history, vifs, delivered, &frame, (sender.1, receiver.1)) {
                Ok(()) => return None,
                Err(miss) => nearest = nearest.max(Some(miss)),
            }
        }
    }
    match nearest {
        Some((_, id, why)) => violation(id, why),
        None => violation("D1", "at no time in between were both of them attached to anything"),
    }
}

/// The ports that may have been a guest's at some time between two moments, in all their lawful versions.
fn ports_of(history: &History, vif: VifId, from: Duration, to: Duration) -> impl Iterator<Item = (PortId, &Port)> {
    let all = history.ports.iter();
    let versions = all.flat_map(move |(id, versions)| versions.during(from, to).flatten().map(|port| (*id, port)));
    versions.filter(move |(_, port)| port.vif == Some(vif))
}

/// Whether one version permits the delivery; if not, how near it came, which property it breaks, and why.
fn permits<'a>(
    history: &History,
    vifs: &[Vif],
    delivered: &Delivered<'_>,
    frame: &Frame,
    (sender, receiver): (&'a Port, &'a Port),
) -> Result<(), (u8, &'static str, &'a str)> {
    if sender.switch != receiver.switch {
        return Err((0, "D1", "they are on different logical switches"));
    }
    rules::admits(sender, frame).map_err(|why| (1, "D3", why))?;
    let Some(arrived) = arrived(history, delivered, frame, sender) else {
        return Err((3, "D2", "it is not what was sent"));
    };
    let mac = vifs.get(usize::from(delivered.to.0)).map(|vif| vif.mac);
    let Some(switches) = history.switches.get(&sender.switch) else { return Err((0, "D1", "there is no such switch")) };
    let verdict = |isolated| rules::reaches(isolated, receiver, mac, &arrived);
    let lawful = switches.during(delivered.sent.at, delivered.at).flatten();
    let verdicts: Vec<_> = lawful.map(|switch| verdict(switch.isolated)).collect();
    match verdicts.iter().any(|verdict| verdict.is_ok()) {
        true => Ok(()),
        false => Err((2, "D2", verdicts.into_iter().find_map(Result::err).unwrap_or("its switch is gone"))),
    }
}

/// What a frame was when it arrived, if that is what may become of what was sent.
fn arrived(history: &History, delivered: &Delivered<'_>, frame: &Frame, sender: &Port) -> Option<Frame> {
    let Delivered { sent, at, bytes, .. } = *delivered;
    if sent.bytes == bytes {
        return Some(frame.clone());
    }
    let mut owners = history.ports.values().flat_map(|versions| versions.during(sent.at, at).flatten());
    let redirected = owners.any(|owner| owner.switch == sender.switch && rules::redirects(&sent.bytes, bytes, owner));
    redirected.then(|| Frame::read(bytes)).flatten()
}

/// Whether a frame that came back to its sender is the network's answer.
fn answered(history: &History, delivered: &Delivered<'_>, asked: &Frame) -> bool {
    let Some(answer) = Frame::read(delivered.bytes) else { return false };
    let span = (delivered.sent.at, delivered.at);
    let owners = || history.ports.values().flat_map(|versions| versions.during(span.0, span.1).flatten());
    ports_of(history, delivered.to, span.0, span.1).any(|(_, asker)| {
        rules::admits(asker, asked).is_ok()
            && owners().any(|owner| owner.switch == asker.switch && rules::answers_arp(asked, &answer, owner))
    })
}

/// A frame in a few words.
fn describe(bytes: &[u8]) -> String {
    match Frame::read(bytes) {
        Some(frame) => {
            format!("{} to {}, {} bytes, {:?}", frame.source, frame.destination, bytes.len(), frame.payload)
        }
        None => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logical::{Mac, Switch, SwitchId};
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn vif(host: u8) -> Vif {
        Vif { mac: Mac([2, 0, 0, 0, 0, host]), v4: Ipv4Addr::new(10, 0, 0, host), v6: Ipv6Addr::LOCALHOST }
    }

    /// Guests 0 and 1 on switch 0, guest 2 on switch 1.
    fn world() -> (History, Vec<Vif>) {
        let vifs: Vec<Vif> = (1..=3).map(vif).collect();
        let mut history = History::default();
        for (id, switch) in [(0, 0), (1, 0), (2, 1)] {
            let port = Port {
                switch: SwitchId(switch),
                enabled: true,
                pairs: vifs[id].pairs(),
                learning: false,
                vif: Some(VifId(id as u16)),
            };
            let versions = history.ports.entry(PortId(id as u16)).or_default();
            versions.may_become(Duration::ZERO, Some(port.clone()));
            versions.holds(Duration::ZERO, Some(&port));
            let versions = history.switches.entry(SwitchId(switch)).or_default();
            versions.may_become(Duration::ZERO, Some(Switch::default()));
        }
        (history, vifs)
    }

    fn arp(source: u8, spa: u8, tpa: u8) -> Vec<u8> {
        let mut bytes = vec![0xff; 6];
        bytes.extend([2, 0, 0, 0, 0, source, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, source, 10, 0, 0, spa]);
        bytes.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, tpa]);
        bytes
    }

    fn verdict(from: u16, to: u16, bytes: &[u8], delivered: &[u8]) -> Option<&'static str> {
        let (history, vifs) = world();
        let sent = Sent { from: VifId(from), on: HvId(0), at: Duration::from_secs(1), bytes: bytes.to_vec() };
        let delivered =
            Delivered { sent: &sent, to: VifId(to), on: HvId(0), at: Duration::from_secs(1), bytes: delivered };
        judge(&history, &vifs, &delivered).map(|violation| violation.id)
    }

    #[test]
    fn a_lawful_delivery_is_none_of_its_business() {
        assert_eq!(verdict(0, 1, &arp(1, 1, 9), &arp(1, 1, 9)), None);
    }

    #[test]
    fn another_tenant_must_not_hear_it() {
        assert_eq!(verdict(0, 2, &arp(1, 1, 9), &arp(1, 1, 9)), Some("D1"));
    }

    #[test]
    fn a_forged_source_must_not_arrive() {
        assert_eq!(verdict(0, 1, &arp(1, 7, 9), &arp(1, 7, 9)), Some("D3"));
        assert_eq!(verdict(0, 1, &arp(7, 1, 9), &arp(7, 1, 9)), Some("D3"));
    }

    #[test]
    fn a_frame_must_not_change_or_stray() {
        let mut for_somebody_else = arp(1, 1, 9);
        for_somebody_else[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        assert_eq!(verdict(0, 1, &for_somebody_else, &for_somebody_else), Some("D2"));
        assert_eq!(verdict(0, 1, &arp(1, 1, 9), &arp(1, 1, 8)), Some("D2"));
    }

    #[test]
    fn only_an_answer_comes_back_to_its_sender() {
        assert_eq!(verdict(0, 0, &arp(1, 1, 2), &arp(1, 1, 2)), Some("D2"));
        let mut answer = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        answer.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        assert_eq!(verdict(0, 0, &arp(1, 1, 2), &answer), None);
        answer[27] = 9;
        assert_eq!(verdict(0, 0, &arp(1, 1, 2), &answer), Some("D2"), "an answer that is a lie");
    }
}
