//! Bundles, encoded once for all switches that are to carry them out. Which bundle it is and the xids are filled in for
//! each switch; all other bytes are the same. Start at [`Script::of`].

use super::bundle::control;
use super::codec::encode;
use super::error::TooLong;
use super::flows::{FlowFilter, FlowMod};
use super::groups::GroupMod;
use super::message::{Body, BundleAdd, BundleFlags, BundleId, BundleStep, Message, Mod, Xid};
use selvedge_core::flow::{Flow, cookies_of};
use selvedge_core::reconcile::{self, Delta, plan};

/// Most changes in one bundle: Open vSwitch holds a bundle in memory until it is committed.
const BUNDLE_MAX: usize = 20_000;
/// Most buckets in one message. One takes less than 100 bytes, a message up to 65535.
const BUCKETS_MAX: usize = 512;
/// Where a message has its xid, and a bundle's message the bundle.
const XID: usize = 4;
const BUNDLE: usize = 8;
/// Where the message inside of an `OFPT_BUNDLE_ADD_MESSAGE` has its xid, which is to be the same.
const INNER_XID: usize = 16 + XID;

/// A bundle up to its closing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    bytes: Box<[u8]>,
    /// Where each message begins: the opening, the changes, the closing.
    starts: Box<[u32]>,
    /// Changes of flows.
    pub flows: usize,
    /// Changes of groups.
    pub groups: usize,
}

impl Script {
    /// The bundles that carry a list of changes out, in their order.
    ///
    /// # Errors
    /// If a change is longer than messages can be.
    pub fn of(changes: impl IntoIterator<Item = Mod>) -> Result<Vec<Script>, TooLong> {
        let mut changes = changes.into_iter().peekable();
        let mut scripts = Vec::new();
        while changes.peek().is_some() {
            scripts.push(Script::of_one(changes.by_ref().take(BUNDLE_MAX))?);
        }
        Ok(scripts)
    }

    fn of_one(changes: impl Iterator<Item = Mod>) -> Result<Script, TooLong> {
        let (mut bytes, mut starts, mut flows, mut groups) = (Vec::new(), Vec::new(), 0, 0);
        let mut put = |body: Body| {
            starts.push(u32::try_from(bytes.len()).expect("20,000 messages of 64 KiB have less than 4 GiB"));
            encode(&Message { xid: Xid(0), body }, &mut bytes)
        };
        let bundle = BundleId(0);
        put(control(bundle, BundleStep::OpenRequest))?;
        for change in changes {
            match change {
                Mod::Flow(_) => flows += 1,
                Mod::Group(_) => groups += 1,
            }
            put(Body::BundleAdd(BundleAdd { bundle, flags: BundleFlags::ATOMIC_ORDERED, change }))?;
        }
        put(control(bundle, BundleStep::CloseRequest))?;
        Ok(Script { bytes: bytes.into(), starts: starts.into(), flows, groups })
    }

    /// How many messages there are, each with an xid of its own: the opening, the changes, the closing.
    pub fn messages(&self) -> u32 {
        self.starts.len() as u32
    }

    /// How many bytes they have.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the messages, as `bundle` and with xids from `first` on.
    pub fn put(&self, bundle: BundleId, first: Xid, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        let last = self.starts.len() - 1;
        for (place, (start, xid)) in self.starts.iter().zip(first.0..).enumerate() {
            let message = &mut out[begin + *start as usize..];
            message[XID..XID + 4].copy_from_slice(&xid.to_be_bytes());
            message[BUNDLE..BUNDLE + 4].copy_from_slice(&bundle.0.to_be_bytes());
            if 0 < place && place < last {
                message[INNER_XID..INNER_XID + 4].copy_from_slice(&xid.to_be_bytes());
            }
        }
    }
}

/// The changes that carry a difference between two flow tables out, in their order.
pub fn steps(delta: &Delta) -> Vec<Mod> {
    let mut steps = Vec::new();
    plan(delta).into_iter().for_each(|step| add(&mut steps, step));
    steps
}

fn add(steps: &mut Vec<Mod>, step: reconcile::Mod) {
    match step {
        reconcile::Mod::PutGroup(group, mut buckets) => {
            let later: Vec<_> = match buckets.keys().nth(BUCKETS_MAX).copied() {
                Some(first) => buckets.split_off(&first).into_iter().collect(),
                None => Vec::new(),
            };
            steps.push(Mod::Group(GroupMod::Put { group, buckets }));
            for some in later.chunks(BUCKETS_MAX) {
                steps.push(Mod::Group(GroupMod::InsertBuckets { group, buckets: some.iter().cloned().collect() }));
            }
        }
        reconcile::Mod::InsertBucket(group, bucket, actions) => match steps.last_mut() {
            Some(Mod::Group(GroupMod::InsertBuckets { group: same, buckets }))
                if *same == group && buckets.len() < BUCKETS_MAX =>
            {
                buckets.insert(bucket, actions);
            }
            _ => steps.push(Mod::Group(GroupMod::InsertBuckets { group, buckets: [(bucket, actions)].into() })),
        },
        reconcile::Mod::RemoveBucket(group, bucket) => {
            steps.push(Mod::Group(GroupMod::RemoveBucket { group, bucket }));
        }
        reconcile::Mod::DeleteGroup(group) => steps.push(Mod::Group(GroupMod::Delete(group))),
        reconcile::Mod::AddFlow(key, body) => steps.push(Mod::Flow(FlowMod::Add(Flow { key, body }))),
        reconcile::Mod::DeleteFlowsOf(datapath) => {
            let (cookie, cookie_mask) = cookies_of(datapath);
            steps.push(Mod::Flow(FlowMod::Delete(FlowFilter { cookie, cookie_mask, ..FlowFilter::default() })));
        }
        reconcile::Mod::DeleteFlow(key) => {
            steps.push(Mod::Flow(FlowMod::DeleteStrict((*key).clone().into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Decoder;
    use super::*;
    use selvedge_core::flow::{Action, Actions, BucketId, Buckets, GroupId};
    use selvedge_core::ids::OfPort;
    use selvedge_core::reconcile::{GroupDelta, GroupEdit};

    fn buckets(count: u32) -> Buckets {
        (0..count).map(|n| (BucketId(n), Actions::from([Action::Output(OfPort(1 + n))]))).collect()
    }

    /// The sizes of the messages about buckets.
    fn sizes(change: GroupDelta) -> Vec<usize> {
        let delta = Delta { groups: [(GroupId(1), change)].into(), ..Delta::default() };
        let size = |step: &Mod| match step {
            Mod::Group(GroupMod::Put { buckets, .. } | GroupMod::InsertBuckets { buckets, .. }) => buckets.len(),
            other => panic!("{other:?}"),
        };
        steps(&delta).iter().map(size).collect()
    }

    #[test]
    fn a_group_that_is_longer_than_a_message_takes_several() {
        assert_eq!(sizes(GroupDelta::Put(buckets(3_000))), [512, 512, 512, 512, 512, 440]);
        assert_eq!(sizes(GroupDelta::Put(buckets(512))), [512]);
        assert_eq!(sizes(GroupDelta::Put(buckets(0))), [0]);
        let edit = GroupEdit { insert: buckets(513), ..GroupEdit::default() };
        assert_eq!(sizes(GroupDelta::Edit(edit)), [512, 1]);
    }

    #[test]
    fn each_switch_has_its_own_numbers_in_the_same_bytes() {
        let changes = [Mod::Group(GroupMod::Delete(GroupId(1))), Mod::Flow(FlowMod::Delete(Default::default()))];
        let scripts = Script::of(changes.clone()).expect("short");
        let [script] = &scripts[..] else { panic!("one bundle: {scripts:?}") };
        assert_eq!((script.messages(), script.flows, script.groups), (4, 1, 1));
        let mut bytes = vec![];
        script.put(BundleId(9), Xid(70), &mut bytes);
        assert_eq!(bytes.len(), script.size());
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let heard: Vec<Message> = std::iter::from_fn(|| decoder.next_message().expect("messages")).collect();
        let add =
            |change| Body::BundleAdd(BundleAdd { bundle: BundleId(9), flags: BundleFlags::ATOMIC_ORDERED, change });
        let [group, flow] = changes.map(add);
        let step = |step| control(BundleId(9), step);
        let bodies = [step(BundleStep::OpenRequest), group, flow, step(BundleStep::CloseRequest)];
        let expected: Vec<Message> = (70..).zip(bodies).map(|(xid, body)| Message { xid: Xid(xid), body }).collect();
        assert_eq!(heard, expected);
    }
}
