//! Guests on a plain wire: everybody hears everybody.

use super::*;
use crate::logical::frame;

fn vif(host: u8) -> Vif {
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host));
    Vif { mac: Mac([2, 0, 0, 0, 0, host]), v4: Ipv4Addr::new(10, 0, 0, host), v6 }
}

/// Lets guests talk for a while; frames for which `lost` says so do not arrive.
fn talk(guests: &mut [Guest], seconds: u64, mut lost: impl FnMut(usize) -> bool) -> usize {
    let (mut now, mut count) = (Duration::ZERO, 0);
    while now < Duration::from_secs(seconds) {
        let sent: Vec<(usize, Vec<u8>)> = (0..guests.len())
            .flat_map(|from| guests[from].poll(now).into_iter().map(move |frame| (from, frame)).collect::<Vec<_>>())
            .collect();
        for (from, bytes) in sent {
            count += 1;
            if lost(count) {
                continue;
            }
            (0..guests.len()).filter(|to| *to != from).for_each(|to| guests[to].receive(now, &bytes));
        }
        now += Duration::from_millis(1);
    }
    count
}

#[test]
fn guests_find_each_other_and_talk() {
    let mut guests = [Guest::new(vif(1)), Guest::new(vif(2)), Guest::new(vif(3))];
    guests[0].ping(Duration::ZERO, vif(2).v4.into());
    guests[0].ping(Duration::ZERO, vif(2).v6.into());
    guests[1].datagram(Duration::ZERO, vif(3).v4.into(), 100);
    guests[2].stream(Duration::ZERO, vif(1).v6.into(), 5_000);
    talk(&mut guests, 3, |_| false);
    assert_eq!((guests[0].ledger.pings, guests[0].ledger.answered), (2, 2));
    assert_eq!(guests[2].ledger.datagrams, 1);
    assert_eq!(guests[2].ledger.streams, (1, 1));
    assert_eq!(guests.iter().map(|guest| guest.deadline()).collect::<Vec<_>>(), [None, None, None], "all is said");
}

#[test]
fn streams_survive_loss_and_pings_do_not() {
    let mut guests = [Guest::new(vif(1)), Guest::new(vif(2))];
    guests[0].stream(Duration::ZERO, vif(2).v4.into(), 20_000);
    talk(&mut guests, 60, |count| count % 5 == 0);
    assert_eq!(guests[0].ledger.streams, (1, 1));
    guests[0].reboot();
    guests[0].ping(Duration::ZERO, vif(2).v4.into());
    talk(&mut guests, 5, |_| true);
    assert_eq!(guests[0].ledger.answered, 0);
    assert_eq!(guests[0].deadline(), None, "it has given up");
}

#[test]
fn every_kind_of_spoof_is_a_frame_of_its_own() {
    let frames: Vec<Vec<u8>> = (0..spoof::KINDS).map(|kind| spoof::frame(kind, &vif(1), &vif(2), vif(3).mac)).collect();
    for (kind, bytes) in frames.iter().enumerate() {
        assert!(frame::Frame::read(bytes).is_some(), "kind {kind}");
        assert_eq!(frames.iter().filter(|other| *other == bytes).count(), 1, "kind {kind}");
    }
}
