//! Every promise of [`Transport`] and [`Link`], as checks to run against an implementation.
//!
//! ```
//! # use std::sync::Arc;
//! # use futures_util::future::{BoxFuture, ready};
//! # use quorate_transport::{MemoryConfig, MemoryNetwork, MemoryTransport, Transport};
//! use quorate_transport::conformance::{self, Factory, Profile};
//!
//! struct Memory(MemoryNetwork);
//!
//! impl Factory for Memory {
//!     fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>> {
//!         let Profile { node, role, hello, frames, .. } = profile;
//!         let config = MemoryConfig { frames, ..MemoryConfig::default() };
//!         let transport = MemoryTransport::new(&self.0, node, role, hello, config);
//!         Box::pin(ready(Arc::new(transport.expect("any port")) as _))
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! conformance::run(&Memory(MemoryNetwork::default())).await;
//! # });
//! ```

mod closing;
mod connecting;
mod datagrams;
mod lanes;
mod limits;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use quorate_membership::{Incarnation, NodeId};

use crate::{Endpoint, Frame, FrameConfig, FrameSettings, Hello, Lane, LaneReceiver, Link, Role, Transport};

/// Makes the transports that are checked.
pub trait Factory: Sync {
    /// Makes a transport for this node. All transports of one factory reach each other; those with
    /// the same name of a cluster trust each other, and no others.
    fn transport(&self, profile: Profile) -> BoxFuture<'_, Arc<dyn Transport>>;
}

/// What a transport is made for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// The node.
    pub node: NodeId,
    /// What its certificate entitles it to.
    pub role: Role,
    /// What it says of itself. It listens on a free port of the loopback interface, or not at all.
    pub hello: Hello,
    /// The limits of its frames.
    pub frames: FrameConfig,
}

impl Profile {
    fn node(number: u64) -> Self {
        let frames = FrameSettings {
            header_bytes_max: 4 << 10,
            frame_bytes_max: 256 << 10,
            payload_bytes_max: 4 << 20,
            reassembly_bytes_max: 8 << 20,
        };
        let hello = Hello {
            versions: (3, 5),
            features: 0b0110,
            cluster: "conformance".to_owned(),
            incarnation: Incarnation::new(10 + number),
            listens: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let frames = frames.try_into().expect("these limits make sense");
        Self { node: NodeId::new(number), role: Role::Node, hello, frames }
    }

    fn client(number: u64) -> Self {
        let mut profile = Self::node(number);
        profile.role = Role::Client;
        profile.hello.listens = None;
        profile
    }
}

/// Longer than any check takes on a busy machine.
const CHECK_AT_MOST: Duration = Duration::from_secs(30);

/// For what never happens: how long its absence is watched.
const LOOKED_FOR: Duration = Duration::from_millis(100);

type Check = for<'a> fn(&'a dyn Factory) -> BoxFuture<'a, ()>;

/// The checks by name, for tests that report each on its own.
pub const CHECKS: &[(&str, Check)] = &[
    ("both ends know each other", |f| Box::pin(connecting::both_ends_know_each_other(f))),
    ("a client is told from a node", |f| Box::pin(connecting::a_client_is_told_from_a_node(f))),
    ("any node is taken if none is named", |f| Box::pin(connecting::any_node_is_taken_if_none_is_named(f))),
    ("another node is not taken", |f| Box::pin(connecting::another_node_is_not_taken(f))),
    ("versions that do not meet are refused", |f| {
        Box::pin(connecting::versions_that_do_not_meet_are_refused(f))
    }),
    ("another cluster is refused", |f| Box::pin(connecting::another_cluster_is_refused(f))),
    ("nobody is there", |f| Box::pin(connecting::nobody_is_there(f))),
    ("two links of a pair are two", |f| Box::pin(connecting::two_links_of_a_pair_are_two(f))),
    ("frames of a lane keep their order", |f| Box::pin(lanes::frames_of_a_lane_keep_their_order(f))),
    ("both directions of a lane are two", |f| Box::pin(lanes::both_directions_of_a_lane_are_two(f))),
    ("lanes that nobody reads hold up no other", |f| {
        Box::pin(lanes::lanes_that_nobody_reads_hold_up_no_other(f))
    }),
    ("finish gives all, then the end", |f| Box::pin(lanes::finish_gives_all_then_the_end(f))),
    ("a dropped sender ends its lane", |f| Box::pin(lanes::a_dropped_sender_ends_its_lane(f))),
    ("a dropped receiver stops its sender", |f| Box::pin(lanes::a_dropped_receiver_stops_its_sender(f))),
    ("a lane opened again continues", |f| Box::pin(lanes::a_lane_opened_again_continues(f))),
    ("a cancelled receive loses nothing", |f| Box::pin(lanes::a_cancelled_receive_loses_nothing(f))),
    ("a large payload arrives as it was", |f| Box::pin(limits::a_large_payload_arrives_as_it_was(f))),
    ("a frame too large is refused alone", |f| Box::pin(limits::a_frame_too_large_is_refused_alone(f))),
    ("large payloads beyond the budget all arrive", |f| {
        Box::pin(limits::large_payloads_beyond_the_budget_all_arrive(f))
    }),
    ("datagrams arrive as they were", |f| Box::pin(datagrams::datagrams_arrive_as_they_were(f))),
    ("a datagram too large is refused", |f| Box::pin(datagrams::a_datagram_too_large_is_refused(f))),
    ("datagrams that nobody takes make room", |f| {
        Box::pin(datagrams::datagrams_that_nobody_takes_make_room(f))
    }),
    ("both ends learn why a link is closed", |f| Box::pin(closing::both_ends_learn_why(f))),
    ("closing twice changes nothing", |f| Box::pin(closing::closing_twice_changes_nothing(f))),
    ("whoever waits learns of the end", |f| Box::pin(closing::whoever_waits_learns_of_the_end(f))),
    ("dropping the last handle closes a link", |f| Box::pin(closing::dropping_the_last_handle_closes(f))),
    ("what was sent before a transport closes arrives", |f| {
        Box::pin(closing::what_was_sent_before_a_transport_closes_arrives(f))
    }),
    ("a closed transport closes its links", |f| Box::pin(closing::a_closed_transport_closes_its_links(f))),
    ("dropping a transport closes it", |f| Box::pin(closing::dropping_a_transport_closes_it(f))),
];

/// Runs all checks, one after the other.
///
/// # Panics
/// If a promise is not kept.
pub async fn run(factory: &dyn Factory) {
    for (name, check) in CHECKS {
        let done = tokio::time::timeout(CHECK_AT_MOST, check(factory)).await;
        assert!(done.is_ok(), "`{name}` took longer than {CHECK_AT_MOST:?}");
    }
}

/// Two nodes and a link between them.
struct Pair {
    dialer: Arc<dyn Transport>,
    listener: Arc<dyn Transport>,
    /// The dialer's end.
    ours: Arc<dyn Link>,
    /// The listener's end.
    theirs: Arc<dyn Link>,
}

impl Pair {
    async fn new(factory: &dyn Factory) -> Self {
        let dialer = factory.transport(Profile::node(1)).await;
        let listener = factory.transport(Profile::node(2)).await;
        let (ours, theirs) = link(&dialer, &listener, 2).await;
        Self { dialer, listener, ours, theirs }
    }

    /// Opens a lane with a frame, and gives both halves once that frame has come.
    async fn lane(&self, lane: Lane) -> (Box<dyn crate::LaneSender>, Box<dyn LaneReceiver>) {
        let mut sender = self.ours.open(lane).await.expect("the link stands");
        sender.send(&mut [frame("first")].into()).await.expect("the link stands");
        let (name, mut receiver) = self.theirs.accept().await.expect("the link stands");
        assert_eq!(name, lane);
        assert_eq!(receive(&mut *receiver, 1).await, [frame("first")]);
        (sender, receiver)
    }
}

async fn link(
    dialer: &Arc<dyn Transport>,
    listener: &Arc<dyn Transport>,
    node: u64,
) -> (Arc<dyn Link>, Arc<dyn Link>) {
    let to = Endpoint { node: Some(NodeId::new(node)), addr: listener.local_addr() };
    let (ours, theirs) = tokio::join!(dialer.connect(&to), listener.accept());
    (ours.expect("it listens"), theirs.expect("it is not closed"))
}

/// A frame with a payload and no header.
fn frame(payload: &'static str) -> Frame {
    Frame { header: Bytes::new(), body: vec![payload.into()].into() }
}

/// A frame that can be told from others of its kind, and compared.
fn numbered(number: usize, payload_bytes: usize) -> Frame {
    let body = if payload_bytes == 0 { vec![] } else { vec![pattern(number, payload_bytes)] };
    Frame { header: number.to_string().into(), body: body.into() }
}

/// Bytes that differ by number and position, so that a swapped or shifted piece is noticed.
fn pattern(number: usize, bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at ^ (at >> 8) ^ (at >> 16) ^ number) as u8).collect()
}

/// Receives exactly so many frames.
async fn receive(receiver: &mut dyn LaneReceiver, frames: usize) -> Vec<Frame> {
    let mut got = Vec::new();
    while got.len() < frames {
        let before = got.len();
        assert!(receiver.recv(&mut got).await.expect("the link stands"), "the lane ended too early");
        assert!(got.len() > before, "nothing was received, and it was not the end");
    }
    assert_eq!(got.len(), frames, "more frames than were sent");
    got
}

/// Receives until the end.
async fn receive_all(receiver: &mut dyn LaneReceiver) -> Vec<Frame> {
    let mut got = Vec::new();
    while receiver.recv(&mut got).await.expect("the link stands") {}
    got
}

/// Sends frames and expects that they are taken.
async fn send(sender: &mut dyn crate::LaneSender, frames: impl IntoIterator<Item = Frame>) {
    let mut queue: VecDeque<_> = frames.into_iter().collect();
    sender.send(&mut queue).await.expect("the link stands");
    assert!(queue.is_empty(), "a send that is done leaves nothing behind");
}
