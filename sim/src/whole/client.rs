//! Clients, which publish into a group and read it: each through one node at a time, over a link that may
//! break at any moment. Then it goes on at another node, as those of the actors do: what is not
//! acknowledged it publishes again under the same number, and it reads on behind what it has got.
//!
//! Unlike those it uses only nodes that carry the group, and a node that leaves it closes their links.

use std::{collections::BTreeMap, time::Duration};

use quorate_membership::{GroupId, Incarnation, Member, NodeId, Time};
use quorate_protocols::bus::{Position, PublisherId};
use rand::{RngExt, seq::IndexedRandom};

use super::{World, network::What};

/// Publications of one client that are on their way at once.
const OPEN_MAX: usize = 8;
/// Names of clients begin behind those of nodes.
const FIRST_CLIENT: u64 = 100;

/// The name of a client.
pub(super) const fn client_node(index: u64) -> NodeId {
    NodeId::new(FIRST_CLIENT + index)
}

/// What a client says to the node that it uses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    /// It begins, and reads on behind a position, or from now on.
    Begin { publisher: PublisherId, after: Option<Position> },
    /// It publishes; all numbers up to `settled` are acknowledged.
    Publish { number: u64, settled: u64, content: u64 },
}

/// What a node says to a client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tell {
    /// Its reader begins behind this position.
    Reads(Position),
    /// Something was delivered at a position; whether others before it were missed.
    Entry(Position, bool),
    /// A publication has arrived.
    Arrived(u64),
}

/// The link to the node that is used.
#[derive(Clone, Copy, Debug)]
struct Link {
    to: Member,
    /// Something was lost, or the node has closed it: it ends when that is noticed.
    broken: bool,
    /// When the latest of what was asked and told arrives.
    arrives: (Time, Time),
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    id: PublisherId,
    link: Option<Link>,
    /// Counts the links that it ever had, and names the latest.
    session: u64,
    /// What came by links up to these is lost: what was asked, and what was told.
    lost: (u64, u64),
    last: u64,
    /// The last number that it has asked a node to publish.
    asked: u64,
    /// The numbers of what is not acknowledged, and what it is.
    pub(super) open: BTreeMap<u64, u64>,
    /// How far it has read.
    pub(super) seen: Option<Position>,
}

impl Client {
    pub(super) fn new(index: u64) -> Self {
        let id = PublisherId { member: Member::new(client_node(index), Incarnation::new(1)), session: 0 };
        let (link, open, seen) = (None, BTreeMap::new(), None);
        Self { id, link, session: 0, lost: (0, 0), last: 0, asked: 0, open, seen }
    }

    const fn node(&self) -> NodeId {
        self.id.member.node
    }

    /// All numbers up to this one are acknowledged.
    fn settled(&self) -> u64 {
        self.open.first_key_value().map_or(self.last, |(first, _)| first - 1)
    }

    /// Whether it takes what is told by a link, which it does until it has noticed its end.
    const fn listens(&self, session: u64) -> bool {
        self.link.is_some() && self.session == session && self.lost.1 < session
    }
}

impl World {
    /// The group that clients publish into and read.
    pub(super) fn published_group(&self) -> GroupId {
        self.configs[0].group
    }

    /// A client looks after its link, and publishes.
    pub(super) fn step_client(&mut self, index: usize) {
        self.soon(5_000..40_000, What::Client(index));
        // That a link is lost is noticed late, and what is asked until then goes with it.
        if self.rng.random_range(0..4) == 0 {
            self.check_client(index);
        }
        for _ in 0..self.rng.random_range(1..5) {
            self.publish_next(index);
        }
    }

    fn check_client(&mut self, index: usize) {
        let client = &self.clients[index];
        match client.link {
            Some(link) if self.is_lost(client.node(), link) => {
                self.clients[index].link = None;
                self.tally.unlinked += 1;
                let session = self.clients[index].session;
                self.push(self.now, What::Gone { at: link.to, client: index, session });
            }
            Some(_) => {}
            None => self.find_node(index),
        }
    }

    /// A client publishes something, unless too much is on its way.
    fn publish_next(&mut self, index: usize) {
        let (busy, content) = (self.now <= self.busy_until, self.payload());
        let client = &mut self.clients[index];
        if busy && client.open.len() < OPEN_MAX {
            client.last += 1;
            client.open.insert(client.last, content);
            let number = client.last;
            self.hand_in(index, number);
        }
    }

    fn is_lost(&self, client: NodeId, link: Link) -> bool {
        let there = self.alive(link.to.node) == Some(link.to);
        link.broken || !there || self.is_cut(client, link.to.node) || self.is_cut(link.to.node, client)
    }

    /// Links a client to one of the nodes that it reaches, and asks of it all that stands.
    fn find_node(&mut self, index: usize) {
        let (client, group) = (self.clients[index].node(), self.published_group());
        let lives = self.nodes.values().map(|node| node.life).filter(|life| self.carries(*life, group));
        let cut = |life: &Member| self.is_cut(client, life.node) || self.is_cut(life.node, client);
        let reached: Vec<Member> = lives.filter(|life| !cut(life)).collect();
        let Some(to) = reached.choose(&mut self.rng).copied() else { return };
        let client = &mut self.clients[index];
        client.session += 1;
        client.link = Some(Link { to, broken: false, arrives: (self.now, self.now) });
        let (publisher, after) = (client.id, client.seen);
        let open: Vec<u64> = client.open.keys().copied().collect();
        self.tally.repeated += open.iter().filter(|number| **number <= client.asked).count() as u64;
        if after.is_none() {
            self.bus.clients.on_gap(index); // it begins now
        }
        self.say(|| format!("client {index} uses {to}, and is at {after:?}"));
        self.ask_node(index, Ask::Begin { publisher, after });
        for number in open {
            self.hand_in(index, number);
        }
    }

    /// Asks the node that is used to publish something.
    fn hand_in(&mut self, index: usize, number: u64) {
        let client = &mut self.clients[index];
        let (settled, content) = (client.settled(), client.open.get(&number).copied());
        if let Some(content) = content.filter(|_| client.link.is_some()) {
            client.asked = client.asked.max(number);
            self.ask_node(index, Ask::Publish { number, settled, content });
        }
    }

    fn ask_node(&mut self, index: usize, ask: Ask) {
        let session = self.clients[index].session;
        if let Some((to, at)) = self.carry_over(index, true) {
            self.push(at, What::Ask { to, client: index, session, ask });
        }
    }

    /// A node says something to a client by a link that it once had.
    pub(super) fn tell(&mut self, index: usize, session: u64, tell: Tell) {
        if self.clients[index].session == session
            && let Some((_, at)) = self.carry_over(index, false)
        {
            self.push(at, What::Tell { client: index, session, tell });
        }
    }

    /// What is said now arrives at this moment, behind what was said before; unless it is lost, and the link
    /// with it.
    fn carry_over(&mut self, index: usize, is_asked: bool) -> Option<(Member, Time)> {
        let (client, link) = (self.clients[index].node(), self.clients[index].link?);
        let cut =
            if is_asked { self.is_cut(client, link.to.node) } else { self.is_cut(link.to.node, client) };
        let delay = Duration::from_micros(self.rng.random_range(50..10_000));
        let (now, link) = (self.now, self.clients[index].link.as_mut()?);
        link.broken |= cut;
        if link.broken {
            return None;
        }
        let arrives = if is_asked { &mut link.arrives.0 } else { &mut link.arrives.1 };
        *arrives = (*arrives).max(now + delay);
        Some((link.to, *arrives))
    }

    /// Whether what a client has asked by a link comes through.
    pub(super) fn comes_through(&self, index: usize, session: u64) -> bool {
        self.clients[index].lost.0 < session
    }

    /// What a node has told comes to a client.
    pub(super) fn on_tell(&mut self, index: usize, session: u64, tell: Tell) {
        let client = &mut self.clients[index];
        if !client.listens(session) {
            return;
        }
        match tell {
            Tell::Reads(position) => client.seen = client.seen.or(Some(position)),
            Tell::Arrived(number) => {
                self.tally.acknowledged += u64::from(client.open.remove(&number).is_some());
            }
            Tell::Entry(position, missed) => {
                if missed {
                    self.bus.clients.on_gap(index);
                }
                client.seen = Some(position);
                self.tally.read_afar += 1;
                let group = self.published_group();
                self.bus.clients.on_read_afar(index, group, position);
            }
        }
    }

    /// The link of a client breaks, and perhaps what is on its way is lost, in one direction or both.
    pub(super) fn unlink(&mut self, node: NodeId) {
        let (asked, told) = (self.rng.random(), self.rng.random());
        let Some(client) = self.clients.iter_mut().find(|client| client.node() == node) else { return };
        let Some(link) = &mut client.link else { return };
        link.broken = true;
        if asked {
            client.lost.0 = client.session;
        }
        if told {
            client.lost.1 = client.session;
        }
    }

    /// A node has left the group: it closes the links of the clients that use it.
    pub(super) fn close_clients(&mut self, life: Member) {
        for link in self.clients.iter_mut().filter_map(|client| client.link.as_mut()) {
            link.broken |= link.to == life;
        }
    }

    /// Why a client has not finished its work in the healed cluster.
    pub(super) fn unserved(&self) -> Option<String> {
        let last = self.bus.clients.last(self.published_group());
        self.clients.iter().enumerate().find_map(|(index, client)| {
            if !client.open.is_empty() {
                return Some(format!("client {index} waits for acknowledgements"));
            }
            (client.seen != last).then(|| format!("client {index} is at {:?} of {last:?}", client.seen))
        })
    }
}
