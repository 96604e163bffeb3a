//! The unit of computation: flows that have one smallest owner. Start at [`Fragment`].

use crate::addr::Mac;
use crate::flow::{Actions, Buckets, Flow, FlowBody, FlowKey, GroupId, Match};
use crate::ids::{NodeNumber, PortKey, TunnelKey};
use crate::nib::Encap;
use crate::pipeline::Stage;
use std::collections::BTreeMap;
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
    /// A port where it is: the way in, port security, the way out.
    Binding(PortKey),
    /// A destination MAC address.
    Mac(Mac),
    /// A known IP address.
    Host(IpAddr),
    /// The way to a port from elsewhere, by one encapsulation.
    Remote(PortKey, Encap),
    /// A peer whose tunnel frames of the datapath are let in from, by one encapsulation.
    Peer(NodeNumber, Encap),
    /// The groups of the datapath on one node.
    Groups(NodeNumber),
}

impl FragmentKey {
    /// Goes into the cookie of each flow: tells in a dump whose a flow is. The datapath in the upper 24 bits, a hash
    /// of the part in the others; never 0, which is the cookie of flows that somebody else made.
    pub fn cookie(&self) -> u64 {
        // FNV-1a, 64 bits: stable across releases and machines, which a `Hasher` is not.
        let text = format!("{:?}", self.part);
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        u64::from(self.datapath.0) << 40 | (hash & 0xff_ffff_ffff) | 1
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

/// Flows and groups that are computed, compared and sent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub audience: Audience,
    pub flows: BTreeMap<Arc<FlowKey>, Arc<FlowBody>>,
    pub groups: BTreeMap<GroupId, Buckets>,
}

/// Makes a fragment.
pub(super) struct Builder {
    cookie: u64,
    fragment: Fragment,
}

impl Builder {
    pub fn new(key: FragmentKey, audience: Audience) -> Builder {
        let fragment = Fragment { audience, flows: BTreeMap::new(), groups: BTreeMap::new() };
        Builder { cookie: key.cookie(), fragment }
    }

    pub fn flow(&mut self, stage: Stage, priority: u16, matching: Match, actions: impl Into<Actions>) {
        let key = FlowKey { table: stage.table(), priority, matching };
        let body = FlowBody { cookie: self.cookie, actions: actions.into() };
        let flow = Flow { key: Arc::new(key), body: Arc::new(body) };
        // Pairs that overlap may ask for one flow twice; they never disagree on what it does.
        if let Some(twin) = self.fragment.flows.insert(flow.key.clone(), flow.body.clone()) {
            assert_eq!(twin, flow.body, "{:?} in {} does two things", flow.key.matching, stage.name());
        }
    }

    pub fn group(&mut self, id: GroupId, buckets: Buckets) {
        self.fragment.groups.insert(id, buckets);
    }

    pub fn done(self) -> Fragment {
        self.fragment
    }
}
