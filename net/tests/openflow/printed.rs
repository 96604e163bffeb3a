//! `ovs-ofctl` reads what we write, and says in its own words what that is.

use crate::{bed, samples, snapshot};
use selvedge_core::flow::{Action, Actions, Field, FlowKey};
use selvedge_core::flow::{BucketId, GroupId, Match};
use selvedge_core::ids::{Epoch, OfPort};
use selvedge_net::openflow::codec::encode;
use selvedge_net::openflow::flows::{FlowFilter, FlowMod};
use selvedge_net::openflow::groups::GroupMod;
use selvedge_net::openflow::message::{
    AsyncConfig, AsyncKind, Body, BundleAdd, BundleControl, BundleFlags, BundleId, BundleStep, Message, Mod, PacketOut,
    Role, RoleRequest, Xid,
};
use selvedge_net::openflow::multipart::Request;
use selvedge_net::openflow::ports::CONTROLLER;
use std::process::Command;

/// What `ovs-ofctl` makes of messages.
fn printed(bodies: impl IntoIterator<Item = Body>) -> String {
    let mut bytes = Vec::new();
    for (xid, body) in (1..).map(Xid).zip(bodies) {
        encode(&Message { xid, body }, &mut bytes).expect("short");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("messages");
    std::fs::write(&file, bytes).expect("a file for the messages");
    let output =
        Command::new("ovs-ofctl").args(["--no-names", "ofp-parse"]).arg(&file).output().expect("ovs-ofctl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains("decode error"), "ovs-ofctl understands all:\n{text}");
    text
}

#[test]
fn ovs_ofctl_reads_flows_as_they_were_meant() {
    if !bed::is_installed() {
        return;
    }
    let adds = samples::flows().into_iter().map(FlowMod::Add);
    let flow = samples::flows().remove(0);
    let key = FlowKey::clone(&flow.key);
    let matching = Match::any().exact(Field::Metadata, 5u32);
    let others = [
        FlowMod::ModifyStrict(flow),
        FlowMod::DeleteStrict(key.into()),
        FlowMod::Delete(FlowFilter::default()),
        FlowMod::Delete(FlowFilter { table: Some(3), cookie: 7, cookie_mask: u64::MAX, matching }),
    ];
    snapshot("openflow__flow_mods", &printed(adds.chain(others).map(Body::FlowMod)));
}

#[test]
fn ovs_ofctl_reads_groups_and_bundles_as_they_were_meant() {
    if !bed::is_installed() {
        return;
    }
    let group = GroupId(2);
    let adds = samples::groups().into_iter().map(|(group, buckets)| GroupMod::Add { group, buckets });
    let (_, buckets) = samples::groups().remove(1);
    let others = [
        GroupMod::Modify { group, buckets: buckets.clone() },
        GroupMod::InsertBuckets { group, buckets },
        GroupMod::RemoveBucket { group, bucket: BucketId(9) },
        GroupMod::Delete(group),
        GroupMod::DeleteAll,
    ];
    let mods: Vec<_> = adds.chain(others).collect();
    let (bundle, flags) = (BundleId(7), BundleFlags::ATOMIC_ORDERED);
    let control = |step| Body::BundleControl(BundleControl { bundle, step, flags });
    let add = |change| Body::BundleAdd(BundleAdd { bundle, flags, change });
    let bundled = [
        control(BundleStep::OpenRequest),
        add(Mod::Group(mods[1].clone())),
        add(Mod::Flow(FlowMod::Add(samples::flows().remove(0)))),
        control(BundleStep::CloseRequest),
        control(BundleStep::CommitRequest),
        control(BundleStep::DiscardRequest),
    ];
    snapshot("openflow__groups_and_bundles", &printed(mods.into_iter().map(Body::GroupMod).chain(bundled)));
}

#[test]
fn ovs_ofctl_reads_requests_as_they_were_meant() {
    if !bed::is_installed() {
        return;
    }
    let filter = FlowFilter { table: Some(3), matching: Match::any().exact(Field::InPort, 1u32), ..Default::default() };
    let actions = Actions::from([Action::set(Field::TunId, 5u32), Action::Output(OfPort(1))]);
    let unasked = [(AsyncKind::PortStatusPrimary, 7), (AsyncKind::RoleStatusSecondary, 1)];
    let bodies = [
        Body::RoleRequest(RoleRequest { role: Role::Primary, generation: Epoch(9) }),
        Body::SetAsync(AsyncConfig(unasked.into_iter().collect())),
        Body::PacketOut(PacketOut { in_port: CONTROLLER, actions, data: vec![0xff; 14] }),
        Body::MultipartRequest(Request::Description),
        Body::MultipartRequest(Request::Flows(FlowFilter::default())),
        Body::MultipartRequest(Request::Aggregate(filter)),
        Body::MultipartRequest(Request::Groups(None)),
        Body::MultipartRequest(Request::Groups(Some(GroupId(3)))),
        Body::MultipartRequest(Request::Ports(None)),
    ];
    snapshot("openflow__requests", &printed(bodies));
}
