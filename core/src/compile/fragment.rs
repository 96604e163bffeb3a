//! The unit of computation: flows that have one smallest owner. Start at [`Fragment`].

use crate::addr::Mac;
use crate::flow::{Actions, BucketId, Flow, FlowBody, FlowKey, GroupId, Match, cookies_of};
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::Stage;
use std::net::IpAddr;
use std::sync::Arc;

/// Names a fragment: a datapath, and which part of it. All fragments of a datapath lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FragmentKey {
    /// The datapath; 0 for what belongs to none.
    pub datapath: TunnelKey,
    /// Which part of it.
    pub part: Part,
}

/// A part of a datapath: its smallest owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The frame of the pipeline, on every node.
    Base,
    /// What concerns the datapath as a whole.
    Datapath,
    /// A port where it is: the way in, port security, the way out, its copies.
    Binding(PortKey),
    /// A destination MAC address.
    Mac(Mac),
    /// A known IP address.
    Host(IpAddr),
    /// The way to a port from elsewhere, by one encapsulation.
    Remote(PortKey, Encap),
    /// A peer that tunnel frames of the datapath are let in from and copies go to, by one encapsulation.
    Peer(NodeNumber, Encap),
}

impl FragmentKey {
    /// Goes into the cookie of each flow: tells in a dump whose a flow is. The datapath in the upper 24 bits, a hash
    /// of the part in the others; never 0, which is the cookie of flows that somebody else made.
    pub fn cookie(&self) -> u64 {
        // FNV-1a, 64 bits: stable across releases and machines, which a `Hasher` is not.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = |kind: u8, parts: [&[u8]; 2]| {
            let bytes = std::iter::once(&kind).chain(parts.into_iter().flatten());
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| step(hash, *byte))
        };
        let hash = match self.part {
            Part::Base => hash(0, [&[], &[]]),
            Part::Datapath => hash(1, [&[], &[]]),
            Part::Binding(port) => hash(2, [&port.0.to_be_bytes(), &[]]),
            Part::Mac(mac) => hash(3, [&mac.0, &[]]),
            Part::Host(IpAddr::V4(address)) => hash(4, [&address.octets(), &[]]),
            Part::Host(IpAddr::V6(address)) => hash(5, [&address.octets(), &[]]),
            Part::Remote(port, encap) => hash(6, [&port.0.to_be_bytes(), &[encap as u8]]),
            Part::Peer(node, encap) => hash(7, [&node.0.to_be_bytes(), &[encap as u8]]),
        };
        let (datapath, mask) = cookies_of(self.datapath);
        datapath | (hash & !mask) | 1
    }
}

/// Which nodes hold a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Every node.
    All,
    /// The nodes that have a port of the datapath.
    Span,
    /// One node.
    Node(NodeNumber),
    /// The nodes of the span, other than `end`, that share a path of `encap` with it.
    Via { end: NodeNumber, encap: Encap },
}

/// Flows, groups and buckets that are computed, compared and sent together.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub audience: Audience,
    pub content: Arc<Content>,
}

/// What a fragment consists of, each list in order. All nodes that hold it share it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub flows: Box<[Flow]>,
    /// Groups that exist because of it; their buckets may come from other fragments.
    pub groups: Box<[GroupId]>,
    pub buckets: Box<[(GroupId, BucketId, Actions)]>,
}

/// Makes a fragment.
pub(super) struct Builder {
    cookie: u64,
    audience: Audience,
    flows: Vec<Flow>,
    groups: Vec<GroupId>,
    buckets: Vec<(GroupId, BucketId, Actions)>,
}

impl Builder {
    pub fn new(key: FragmentKey, audience: Audience) -> Builder {
        let cookie = key.cookie();
        Builder { cookie, audience, flows: Vec::new(), groups: Vec::new(), buckets: Vec::new() }
    }

    pub fn flow(&mut self, stage: Stage, priority: u16, matching: Match, actions: impl Into<Actions>) {
        let key = Arc::new(FlowKey { table: stage.table(), priority, matching });
        let body = FlowBody { cookie: self.cookie, actions: actions.into() };
        // Many flows of a port do the same few things: they share one body.
        let twin = self.flows.iter().rev().find(|flow| *flow.body == body);
        let body = twin.map_or_else(|| Arc::new(body), |twin| twin.body.clone());
        self.flows.push(Flow { key, body });
    }

    pub fn group(&mut self, id: GroupId) {
        self.groups.push(id);
    }

    pub fn bucket(&mut self, group: GroupId, bucket: BucketId, actions: impl Into<Actions>) {
        self.buckets.push((group, bucket, actions.into()));
    }

    pub fn done(self) -> Fragment {
        let Builder { audience, mut flows, mut groups, mut buckets, .. } = self;
        flows.sort_unstable();
        // Pairs that overlap may ask for one flow twice; they never disagree on what it does.
        flows.dedup();
        let twice = flows.windows(2).find(|pair| pair[0].key == pair[1].key);
        assert!(twice.is_none(), "{twice:?}: one flow does two things");
        groups.sort_unstable();
        buckets.sort_unstable();
        let content = Content { flows: flows.into(), groups: groups.into(), buckets: buckets.into() };
        Fragment { audience, content: Arc::new(content) }
    }
}
