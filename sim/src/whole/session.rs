//! Serving clients at a node that carries their group.

use quorate_membership::Member;
use quorate_protocols::bus::{Cursor, PublisherId, Read, Stamp};
use rand::RngExt;

use super::{
    World,
    client::{Ask, Tell},
    network::What,
    publication::Publication,
};

/// A client at the node that it uses, for as long as its link lasts.
#[derive(Debug)]
pub(super) struct Session {
    /// Names the link.
    number: u64,
    publisher: PublisherId,
    /// The number of the client's publication before.
    trail: u64,
    /// In which stay of the node in the group its reader reads.
    stay: u64,
    cursor: Cursor,
    /// Whether its reader missed something of which it was not told yet.
    missed: bool,
}

/// Who waits for a publication to arrive: a client, and by which link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) client: usize,
    pub(super) session: u64,
}

impl World {
    fn session(&mut self, life: Member, client: usize, number: u64) -> Option<&mut Session> {
        let parts = self.nodes.get_mut(&life.node)?.parts.as_mut()?;
        parts.sessions.get_mut(&client).filter(|session| session.number == number)
    }

    /// What a client has asked comes to its node.
    pub(super) fn on_ask(&mut self, life: Member, client: usize, number: u64, ask: Ask) {
        if !self.comes_through(client, number) {
            return;
        }
        match ask {
            Ask::Begin { publisher, after } => {
                let group = self.published_group();
                if !self.carries(life, group) {
                    return self.close_clients(life); // it has left meanwhile
                }
                let Some(bound) = self.bound(life, group) else { return };
                let (cursor, stay) = (bound.core.begin(after), bound.stay);
                let from = cursor.seen();
                let session = Session { number, publisher, trail: 0, stay, cursor, missed: false };
                if let Some(parts) = self.nodes.get_mut(&life.node).and_then(|it| it.parts.as_mut()) {
                    parts.sessions.insert(client, session);
                }
                if let Some(from) = from {
                    self.tell(client, number, Tell::Reads(from));
                }
                self.serve(life, client, number);
            }
            Ask::Publish { number: publication, settled, content } => {
                let group = self.published_group();
                let Some(session) = self.session(life, client, number) else { return };
                let (publisher, stay) = (session.publisher, session.stay);
                let previous = std::mem::replace(&mut session.trail, publication);
                let stamp = Stamp { publisher, number: publication, previous, settled };
                let asker = Some(Asker { client, session: number });
                let subject = String::new();
                self.submit_published(life, Publication { group, stamp, content, subject, stay, asker });
            }
        }
    }

    /// A node hands on to a client what its group has delivered, and will hand on more.
    pub(super) fn serve(&mut self, life: Member, client: usize, number: u64) {
        let (group, count) = (self.published_group(), self.rng.random_range(1..20));
        for _ in 0..count {
            let Some(parts) = self.nodes.get_mut(&life.node).and_then(|it| it.parts.as_mut()) else { return };
            let session = parts.sessions.get_mut(&client).filter(|session| session.number == number);
            let (Some(session), Some(bound)) = (session, parts.bound.get_mut(&group)) else { return };
            if bound.stay != session.stay {
                return;
            }
            match bound.core.read(&mut session.cursor) {
                Read::Missed { .. } => session.missed = true,
                Read::Nothing => break,
                Read::Entry(position, _) => {
                    session.cursor.pass(position);
                    let missed = std::mem::take(&mut session.missed);
                    self.tell(client, number, Tell::Entry(position, missed));
                }
            }
        }
        self.soon(1_000..80_000, What::Serve { at: life, client, session: number });
    }

    /// The link of a client is gone. What it has published goes on.
    pub(super) fn on_gone(&mut self, life: Member, client: usize, number: u64) {
        if self.session(life, client, number).is_some()
            && let Some(parts) = self.nodes.get_mut(&life.node).and_then(|it| it.parts.as_mut())
        {
            parts.sessions.remove(&client);
        }
    }
}
