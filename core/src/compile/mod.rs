//! From the NIB to flows: the universal flows of logical networks, and who holds them. This page explains the engine.
//!
//! **Facts** ([facts]) are what flows follow from, distilled from the NIB: a port with its place and its addresses, a
//! switch with its ports and the nodes that have them, a node with the ends of its tunnels.
//!
//! **Fragments** ([fragment]) are the unit of computation. Each has one smallest owner and an *audience*, the nodes that
//! hold it; its flows are the same on all of them, and are in memory once.
//!
//! | part | of | audience |
//! | --- | --- | --- |
//! | `Base` | the pipeline's frame | all nodes |
//! | `Datapath` | a switch: its groups, where frames go that nobody is known for | its span: the nodes with ports of it |
//! | `Binding` | a port where it is: the way in, port security, the way out, its copies | its node |
//! | `Mac`, `Host` | an address: where frames to it go, who answers for it | the span |
//! | `Remote` | the way to a port from elsewhere, by one encapsulation | the span, as far as it shares a path of that encapsulation with the port's node |
//! | `Peer` | a node of the span, by one encapsulation: tunnel frames from it, copies to it | likewise |
//!
//! Nothing is a list of members: a bucket of a group belongs to the port or the peer that it is a copy for. So a member
//! that comes to a switch of thousands is one small fragment, not thousands of lists. The members of a switch beyond
//! 512 are spread over several groups, since no switch can describe a group of thousands ([groups]).
//!
//! **A change** ([`Engine::update`]) goes through four steps.
//!
//! 1. Distil the facts that changed, and name the fragments that read them ([touched]): those that read the old facts,
//!    and, after the facts were replaced, those that read the new ones.
//! 2. Note, before, who holds these fragments. Nodes whose *relation* to a datapath changes (they join it, leave it, or
//!    their tunnels end elsewhere) are noted with all that they hold of it. Who leaves it is noted as that: all flows of a
//!    datapath go by one message, since their cookies begin alike.
//! 3. Replace the facts and compute the named fragments again.
//! 4. See who lost, gained or kept what ([spread]). Nodes to which the same happens get one difference together; it is
//!    encoded once, too, and only the numbers of a bundle are filled in for each switch.
//!
//! What a change costs follows from what it touches, not from what there is; [`Engine::work`] counts it. A switch is
//! never given flows of a datapath that it has no ports of, and a controller never holds the flows of a node: what one
//! should hold ([`Engine::desired`]) is put together when it is asked for, as when a switch connects.
//!
//! **The oracle** is the same engine fed with everything at once ([`Engine::from_nib`]): incremental equals full, always.
//! A property test holds the two against each other, and so does every simulated run.
//!
//! Start at [`Engine`]; what flows a stage has is in [`stages`].

mod crossing;
mod engine;
mod facts;
mod fragment;
mod groups;
mod spread;
mod stages;
mod touched;

pub use engine::{Engine, Work};
pub use fragment::{FragmentKey, Part};
pub use groups::{GroupKind, GroupName};
pub use spread::Difference;
pub use stages::tunnel_port;
