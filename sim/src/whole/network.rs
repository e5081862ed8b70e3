//! Links between the nodes: reliable and in order while they last, and they may break at any
//! moment and lose a tail. Datagrams are lost, doubled and late.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use quorate_membership::{Beat, GroupId, Member, NodeId, Time, ViewId};
use quorate_protocols::{
    Message, RequestId,
    bus::{Announcement, Carried, Marks, Subject},
};
use rand::RngExt;

use super::{
    World,
    client::{Ask, Tell},
    publication::Publication,
};
use crate::Fault;

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum What {
    Frame {
        from: Member,
        to: Member,
        session: u64,
        frame: Frame,
    },
    Datagram {
        from: Member,
        to: NodeId,
        datagram: Datagram,
    },
    Linked {
        at: Member,
        peer: Member,
        session: u64,
    },
    Unlinked {
        at: Member,
        peer: Member,
        session: u64,
    },
    GroupWake(Member, GroupId, Time),
    DetectorWake(Member, Time),
    ClusterWake(Member, Time),
    /// The applications of a node do something.
    Application(NodeId),
    /// A reader of a bound subject reads on.
    Read(Member, GroupId),
    TimedOut(Member, u64),
    /// A client does something.
    Client(usize),
    /// What a client has asked comes to the node that it uses.
    Ask {
        to: Member,
        client: usize,
        session: u64,
        ask: Ask,
    },
    /// What a node has told comes to a client.
    Tell {
        client: usize,
        session: u64,
        tell: Tell,
    },
    /// A node reads on for a client.
    Serve {
        at: Member,
        client: usize,
        session: u64,
    },
    /// The link of a client to its node is gone.
    Gone {
        at: Member,
        client: usize,
        session: u64,
    },
    /// A publication is handed to a node.
    HandIn(Member, Publication),
    /// A publication has arrived, and whether it passed is looked at.
    Settle(Member, Publication),
    /// A node leaves its groups.
    Leave(Member),
    /// It joins them again.
    Join(Member),
    /// A node stops in order.
    Stop(Member),
    /// A node that stops is gone.
    Quit(Member),
    /// A newcomer asks for the marks of publishers.
    AskMarks(Member, GroupId),
    /// A newcomer to whom nobody can tell them leaves.
    GiveUp(Member, GroupId),
    Answer {
        by: Member,
        to: Subject,
        payload: u64,
    },
    /// A member answers a request of its group.
    Reply {
        by: Member,
        group: GroupId,
        request: RequestId,
        payload: Bytes,
    },
    /// An application hands over its state.
    Snapshot {
        by: Member,
        group: GroupId,
        view: ViewId,
        state: Bytes,
    },
    /// A process that shares its machine has a turn.
    Turn(NodeId),
    /// Whether two nodes are linked is looked at.
    Check(NodeId, NodeId),
    Begin(usize),
    End(usize),
    /// What an aimed fault has struck heals.
    Heal(usize),
}

/// Who of a node takes something in, each in the order in which it came to that one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Mailbox {
    /// Membership and the bus, which both hear of links before they hear what comes over them.
    Node,
    Group(GroupId),
    Applications,
}

impl What {
    pub(super) const fn mailbox(&self) -> Mailbox {
        match self {
            Self::Frame {
                frame: Frame::Group(group, _) | Frame::MarksWanted(group, _) | Frame::Marks(group, ..),
                ..
            }
            | Self::GroupWake(_, group, _)
            | Self::AskMarks(_, group)
            | Self::Reply { group, .. }
            | Self::Snapshot { group, .. }
            | Self::Read(_, group) => Mailbox::Group(*group),
            Self::Application(_) | Self::TimedOut(..) | Self::Answer { .. } => Mailbox::Applications,
            _ => Mailbox::Node,
        }
    }

    pub(super) const fn is_timer(&self) -> bool {
        matches!(self, Self::GroupWake(..) | Self::DetectorWake(..) | Self::ClusterWake(..))
    }
}

/// What travels over a lane of a link.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Group(GroupId, Arc<Message>),
    Announce(u64, Announcement),
    Heard(u64),
    Carries(Vec<Carried>),
    MarksWanted(GroupId, ViewId),
    Marks(GroupId, ViewId, Marks),
    Message { subject: Subject, reply_to: Option<Subject>, payload: u64, plain: bool, queues: Vec<String> },
}

#[derive(Clone, Debug)]
pub(super) enum Datagram {
    Beat(Beat),
    Swim(Bytes),
}

/// The link of two nodes.
#[derive(Debug, Default)]
pub(super) struct Link {
    session: u64,
    /// The two lives that are linked.
    between: Option<(Member, Member)>,
    /// Something was lost: it ends when that is noticed.
    broken: bool,
    /// When the latest frame arrives, by lane and sender: frames of a lane do not overtake.
    arrived: BTreeMap<(NodeId, Lane), Time>,
}

/// The lanes of a link, as the nodes use them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Lane {
    Control,
    Bus,
    Group(GroupId),
    Bulk,
}

impl Lane {
    fn of(frame: &Frame) -> Self {
        match frame {
            Frame::Group(_, message) if message.is_bulk() => Self::Bulk,
            Frame::Group(_, message) if message.is_urgent() => Self::Control,
            Frame::Group(group, _) => Self::Group(*group),
            Frame::MarksWanted(..) => Self::Control,
            Frame::Marks(..) => Self::Bulk,
            Frame::Announce(..) | Frame::Heard(_) | Frame::Carries(_) | Frame::Message { .. } => Self::Bus,
        }
    }
}

const fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    if a.get() < b.get() { (a, b) } else { (b, a) }
}

impl World {
    pub(super) fn send(&mut self, from: Member, to: NodeId, frame: Frame) {
        let Some(known) = self.nodes[&from.node].links_to(to) else { return };
        let cut = self.is_cut(from.node, to);
        let delay = Duration::from_micros(self.rng.random_range(50..1500));
        let Some(link) = self.links.get_mut(&pair(from.node, to)) else { return };
        let Some((a, b)) = link.between.filter(|_| link.session == known) else { return };
        let to = if a.node == to { a } else { b };
        link.broken |= cut;
        if link.broken {
            return;
        }
        let lane = Lane::of(&frame);
        let slow = |index: &usize| self.schedule.0[*index].2 == Fault::Slow(to.node);
        let late = matches!(lane, Lane::Group(_)) && self.active.iter().any(slow);
        let delay = if late { Duration::from_secs(1) } else { delay };
        let arrived = link.arrived.entry((from.node, lane)).or_default();
        *arrived = (*arrived).max(self.now + delay);
        let at = *arrived;
        self.push(at, What::Frame { from, to, session: known, frame });
    }

    pub(super) fn send_datagram(&mut self, from: Member, to: NodeId, datagram: &Datagram) {
        // Datagrams go over links, which prove their sender.
        if self.nodes[&from.node].links_to(to).is_none() || self.is_cut(from.node, to) {
            return;
        }
        let loss = self.strength(|fault| if let Fault::Loss(percent) = fault { *percent } else { 0 });
        let late = self.strength(|fault| if let Fault::Late(percent) = fault { *percent } else { 0 });
        if self.rng.random_range(0..100) < late {
            self.soon(50_000..5_000_000, What::Datagram { from, to, datagram: datagram.clone() });
        }
        for _ in 0..2 {
            // The second round doubles a few.
            let passes = self.rng.random_range(0..100) >= loss;
            if passes {
                self.soon(50..1500, What::Datagram { from, to, datagram: datagram.clone() });
            }
            if self.rng.random_range(0..100) >= loss {
                break;
            }
        }
    }

    fn strength(&self, of: impl Fn(&Fault) -> u32) -> u32 {
        self.active.iter().map(|index| of(&self.schedule.0[*index].2)).max().unwrap_or(0)
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let cut = |index: &usize| match &self.schedule.0[*index].2 {
            Fault::CutOneWay(a, b) => from == *a && to == *b,
            Fault::Cut(a, b) => pair(*a, *b) == pair(from, to),
            Fault::Partition(side) => side.contains(&from) != side.contains(&to),
            _ => false,
        };
        self.active.iter().any(cut) || self.armed.part(from, to)
    }

    /// What was just sent from one to the other is lost, and the link with it.
    pub(super) fn break_link(&mut self, from: NodeId, to: NodeId) {
        if let Some(link) = self.links.get_mut(&pair(from, to)) {
            link.broken = true;
        }
    }

    /// Ends the link of two nodes if one of them died or it broke, and makes one if either wants it.
    pub(super) fn check_link(&mut self, a: NodeId, b: NodeId) {
        self.soon(20_000..120_000, What::Check(a, b));
        let cut = self.is_cut(a, b) || self.is_cut(b, a);
        let (x, y) = (&self.nodes[&a], &self.nodes[&b]);
        let alive = (x.parts.is_some() && y.parts.is_some()).then_some((x.life, y.life));
        let wanted = x.wants_link(b) || y.wants_link(a);
        let (from, to) = (x.life, y.life);
        let Some(link) = self.links.get_mut(&(a, b)) else { return };
        if let Some((one, two)) = link.between {
            if alive == Some((one, two)) && !link.broken && !cut {
                return;
            }
            let session = link.session;
            link.between = None;
            self.push(self.now, What::Unlinked { at: one, peer: two, session });
            self.push(self.now, What::Unlinked { at: two, peer: one, session });
        } else if alive.is_some() && wanted && !cut {
            *link = Link { session: link.session + 1, between: alive, ..Link::default() };
            let session = link.session;
            self.tally.links += 1;
            self.push(self.now, What::Linked { at: from, peer: to, session });
            self.push(self.now, What::Linked { at: to, peer: from, session });
        }
    }
}
