//! Who at which node gets a message, as one state machine of a node's bus.
//!
//! The shell tells it which peers are linked, what they say and what is subscribed here, and
//! carries out its effects in order over one reliable lane per link.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use quorate_membership::{Member, NodeId};

use super::{
    Announcement, BusBreach, Interest, Pattern, Route, Subject, SubjectError, TooManyWants, Want,
    index::PatternIndex,
};

/// Names a subscription on this node.
pub type SubscriptionId = u64;

/// Names one link to a peer among all that this node ever has.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LinkId(u64);

impl LinkId {
    /// The link with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// What the bus of a node wants done, in the order pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouterEffect {
    /// Tell a peer what is wanted here; it answers that it has heard it.
    Announce {
        /// The peer.
        to: NodeId,
        /// Counts what was announced.
        number: u64,
        /// What is wanted.
        said: Announcement,
    },
    /// Tell a peer that all it announced up to this number was taken in.
    Heard {
        /// The peer.
        to: NodeId,
        /// The number.
        number: u64,
    },
    /// All linked peers know of this subscription.
    Stands(SubscriptionId),
}

/// To whom on this node a message goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection {
    /// The subscriptions that get it.
    pub subscriptions: Vec<SubscriptionId>,
    /// Queue groups that were to be served here, whose last subscriber here has gone.
    pub lost: usize,
}

/// The routing of one node's bus.
///
/// A subscription stands once every linked peer has heard of it: what is published anywhere in
/// reach from then on comes to it. Interest of a peer is forgotten with its link and told anew on
/// the next. What was read from a link may be taken in after news that it is gone, or that the next
/// one stands: then it does not count, since nobody would take it back.
///
/// Invariants: (I1) what peers want is kept of linked peers only; (I2) the index names the subscriptions of
/// which peers are told, and no others.
#[derive(Debug)]
pub struct Router {
    me: NodeId,
    interest: Interest,
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Those of which peers are told.
    told: PatternIndex<SubscriptionId>,
    next_subscription: SubscriptionId,
    /// Turns round the subscribers of a queue group on this node.
    turn: u64,
    linked: BTreeMap<NodeId, Linked>,
    /// The number of the latest announcement.
    announced: u64,
    /// Subscriptions that do not stand yet, and the announcement that each waits for.
    rising: BTreeMap<SubscriptionId, u64>,
    inbox: Pattern,
    requests: BTreeSet<u64>,
    next_request: u64,
    breach: Option<BusBreach>,
}

#[derive(Debug)]
struct Linked {
    link: LinkId,
    /// The latest announcement that the peer has heard; zero for none.
    heard: u64,
}

#[derive(Debug)]
struct Subscription {
    want: Want,
    /// Whether peers are told of it.
    told: bool,
}

impl Router {
    /// The routing of a node that nobody uses yet.
    ///
    /// # Errors
    /// [`SubjectError`] if the node has no proper inbox, which does not happen.
    pub fn new(me: Member) -> Result<Self, SubjectError> {
        let inbox: Pattern = format!("_inbox.{}.{}.>", me.node, me.incarnation).parse()?;
        let mut interest = Interest::new(me.node);
        let first = interest.subscribe(&Want { pattern: inbox.clone(), queue: None });
        debug_assert!(first.is_ok(), "one want fits");
        Ok(Self {
            me: me.node,
            interest,
            subscriptions: BTreeMap::new(),
            told: PatternIndex::default(),
            next_subscription: 0,
            turn: 0,
            linked: BTreeMap::new(),
            announced: 1,
            rising: BTreeMap::new(),
            inbox,
            requests: BTreeSet::new(),
            next_request: 0,
            breach: None,
        })
    }

    /// The same with a rule broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_breach(mut self, breach: Option<BusBreach>) -> Self {
        self.breach = breach;
        self
    }

    fn breaks(&self, breach: BusBreach) -> bool {
        self.breach == Some(breach)
    }

    /// A peer is linked: it is told all that is wanted here. A link that it had before is gone.
    pub fn on_link(&mut self, peer: NodeId, link: LinkId, out: &mut Vec<RouterEffect>) {
        if self.linked.insert(peer, Linked { link, heard: 0 }).is_some() {
            self.interest.forget(peer);
        }
        if self.breaks(BusBreach::SilentLink) {
            return;
        }
        out.push(RouterEffect::Announce { to: peer, number: self.announced, said: self.interest.whole() });
    }

    /// A link is gone, and with it what the peer wanted, unless it has another already.
    pub fn on_unlink(&mut self, peer: NodeId, link: LinkId, out: &mut Vec<RouterEffect>) {
        if !self.is_linked(peer, link) {
            return;
        }
        self.linked.remove(&peer);
        if !self.breaks(BusBreach::StaleInterest) {
            self.interest.forget(peer);
        }
        self.settle(out);
    }

    /// Whether this is the link of a peer, so that what it says on it counts.
    pub fn is_linked(&self, peer: NodeId, link: LinkId) -> bool {
        self.linked.get(&peer).is_some_and(|linked| linked.link == link)
    }

    /// A peer has said on a link what is wanted there.
    ///
    /// # Errors
    /// [`TooManyWants`]; what it said before stands.
    pub fn on_announcement(
        &mut self,
        from: NodeId,
        link: LinkId,
        number: u64,
        said: Announcement,
        out: &mut Vec<RouterEffect>,
    ) -> Result<(), TooManyWants> {
        if self.is_linked(from, link) {
            self.interest.on_announcement(from, said)?;
            out.push(RouterEffect::Heard { to: from, number });
        }
        Ok(())
    }

    /// A peer has said on a link that it has taken in all announcements up to this one.
    pub fn on_heard(&mut self, from: NodeId, link: LinkId, number: u64, out: &mut Vec<RouterEffect>) {
        if let Some(linked) = self.linked.get_mut(&from).filter(|linked| linked.link == link) {
            linked.heard = linked.heard.max(number.min(self.announced));
        }
        self.settle(out);
    }

    /// Adds a subscription. With `told` the peers are told, so that they send what they publish;
    /// without, it gets nothing from them.
    ///
    /// # Errors
    /// [`TooManyWants`] if no peer would keep it.
    pub fn subscribe(
        &mut self,
        want: Want,
        told: bool,
        out: &mut Vec<RouterEffect>,
    ) -> Result<SubscriptionId, TooManyWants> {
        if told && let Some(news) = self.interest.subscribe(&want)? {
            self.announce(&news, out);
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        if told {
            self.told.insert(want.pattern.clone(), id);
        }
        self.subscriptions.insert(id, Subscription { want, told });
        Ok(id)
    }

    /// Asks for [`RouterEffect::Stands`] once all linked peers know of what was subscribed so far.
    pub fn await_standing(&mut self, id: SubscriptionId, out: &mut Vec<RouterEffect>) {
        self.rising.insert(id, self.announced);
        self.settle(out);
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: SubscriptionId, out: &mut Vec<RouterEffect>) {
        self.rising.remove(&id);
        let Some(Subscription { want, told }) = self.subscriptions.remove(&id) else { return };
        if self.breaks(BusBreach::GhostSubscription) {
            self.subscriptions.insert(id, Subscription { want: want.clone(), told });
        } else {
            self.told.remove(&want.pattern, &id);
        }
        if told && let Some(news) = self.interest.unsubscribe(&want) {
            self.announce(&news, out);
        }
    }

    /// Whether anybody at all gets messages of a subject.
    pub fn is_wanted(&self, subject: &Subject) -> bool {
        self.interest.is_wanted(subject)
    }

    /// Decides to which nodes the next message of a subject goes, this one included.
    pub fn route(&mut self, subject: &Subject) -> Route {
        self.interest.route(subject)
    }

    /// The same for a message that its group has brought to all plain subscribers: only queue groups
    /// are still to be served.
    pub fn route_queues(&mut self, subject: &Subject) -> Route {
        let mut route = self.interest.route(subject);
        route.nodes.retain(|_, (plain, queues)| {
            *plain = false;
            !queues.is_empty()
        });
        route
    }

    /// The subscriptions on this node that get every message of a subject, until anybody subscribes or
    /// no longer does; `None` if others get some, so that each message needs [`Self::route`], or if it
    /// answers a request.
    pub fn plain_here(&self, subject: &Subject) -> Option<Vec<SubscriptionId>> {
        if self.inbox.matches(subject) || !self.interest.stays_here(subject) {
            return None;
        }
        let matching =
            self.subscriptions.iter().filter(|(_, it)| it.told && it.want.pattern.matches(subject));
        Some(matching.map(|(id, _)| *id).collect())
    }

    /// The nodes all of whose plain subscribers get every message of a subject, until anybody subscribes or
    /// no longer does; `None` if a queue group gets some, or if it answers a request.
    pub fn plain_nodes(&self, subject: &Subject) -> Option<BTreeSet<NodeId>> {
        if self.inbox.matches(subject) { None } else { self.interest.plain_nodes(subject) }
    }

    /// Decides who on this node gets a message that was routed here: all plain subscribers if
    /// `plain`, and one of each of the queue groups.
    pub fn select(&mut self, subject: &Subject, plain: bool, queues: &[String]) -> Selection {
        let mut selection = Selection::default();
        let ids: BTreeSet<SubscriptionId> = self.told.find(subject).copied().collect();
        let queue = |id| Some((id, self.subscriptions.get(&id)?.want.queue.as_deref()));
        let matching: Vec<_> = ids.into_iter().filter_map(queue).collect();
        if plain {
            selection.subscriptions.extend(matching.iter().filter(|(_, q)| q.is_none()).map(|(id, _)| *id));
            if self.breaks(BusBreach::PlainTwice) {
                selection.subscriptions.extend_from_within(..);
            }
        }
        for queue in queues {
            let served = matching.iter().filter(|(_, of)| *of == Some(queue.as_str()));
            let served: Vec<SubscriptionId> = served.map(|(id, _)| *id).collect();
            let turn = self.turn.checked_rem(served.len() as u64).unwrap_or(0) as usize;
            self.turn = self.turn.wrapping_add(1);
            match served.get(turn) {
                Some(id) if self.breaks(BusBreach::QueueTwice) => {
                    selection.subscriptions.extend([*id, *id]);
                }
                Some(id) => selection.subscriptions.push(*id),
                None => selection.lost += 1,
            }
        }
        selection
    }

    /// Begins a request: its number and where its answer goes; `None` if nobody subscribes.
    ///
    /// # Errors
    /// [`SubjectError`] if there is no name for the answer, which does not happen.
    pub fn request(&mut self, subject: &Subject) -> Result<Option<(u64, Subject)>, SubjectError> {
        if !self.is_wanted(subject) {
            return Ok(None);
        }
        let number = self.next_request + 1;
        let reply_to = format!("{}{number}", self.inbox.as_str().trim_end_matches('>')).parse()?;
        self.next_request = number;
        self.requests.insert(number);
        Ok(Some((number, reply_to)))
    }

    /// Whether a message is an answer to a request of this node; whose, if it is the first.
    pub fn on_answer(&mut self, subject: &Subject) -> Option<Option<u64>> {
        if !self.inbox.matches(subject) {
            return None;
        }
        let number = subject.as_str().rsplit('.').next().and_then(|word| word.parse().ok());
        let goes_on = self.breaks(BusBreach::EndlessRequest);
        Some(number.filter(|number| goes_on || self.requests.remove(number)))
    }

    /// Nobody waits for the answer any more.
    pub fn give_up(&mut self, request: u64) {
        self.requests.remove(&request);
    }

    /// The requests that wait for an answer.
    pub fn requests(&self) -> impl Iterator<Item = u64> + '_ {
        self.requests.iter().copied()
    }

    /// What is wanted at which node, this one included, as far as is known here.
    pub fn wants(&self) -> BTreeMap<NodeId, BTreeSet<Want>> {
        let mut all = self.interest.of_peers().clone();
        if let Announcement::Whole(own) = self.interest.whole() {
            all.insert(self.me, own.into_iter().collect());
        }
        all
    }

    fn announce(&mut self, said: &Announcement, out: &mut Vec<RouterEffect>) {
        self.announced += 1;
        for to in self.linked.keys() {
            out.push(RouterEffect::Announce { to: *to, number: self.announced, said: said.clone() });
        }
    }

    fn settle(&mut self, out: &mut Vec<RouterEffect>) {
        let heard = self.linked.values().map(|linked| linked.heard).min().unwrap_or(u64::MAX);
        let standing = self.rising.extract_if(.., |_, number| *number <= heard);
        out.extend(standing.map(|(id, _)| RouterEffect::Stands(id)));
    }
}

#[cfg(test)]
mod tests;
