//! Reading the lanes of peers: each frame goes to the actor that it is for.

use std::{collections::BTreeMap, mem::take, rc::Rc, sync::Arc};

use actix::{Addr, prelude::Request};
use quorate_membership::{GroupId, Member};
use quorate_protocols::{Message, bus::LinkId};
use quorate_transport::{CloseReason, Frame, Lane, LaneReceiver, LinkError, Mesh, Peer};

use super::{Directory, Signs};
use crate::{
    bus::{BusActor, PeerFrames},
    group::{Marked, MarksWanted, Outgoing, Outlet, Received, Replication, decode},
    wire::{self, BUS_LANE, Malformed, Said},
};

/// Groups that get what has come on a shared lane at one time. Waiting for each by itself would take a turn of everybody
/// on the arbiter for each; with all of thousands at once, heartbeats and timers would have to wait for all of them.
const GROUPS_AT_ONCE: usize = 64;

/// What a reader needs to hand frames on.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) groups: Directory,
    pub(crate) bus: Addr<BusActor>,
    pub(crate) mesh: Mesh,
    pub(crate) signs: Signs,
}

/// Reads a lane of a node until it ends. While an actor has too much to do, the lane is not read,
/// which holds its sender back.
pub(crate) async fn read(
    desk: Desk,
    peer: Rc<Peer>,
    link: LinkId,
    lane: Lane,
    mut receiver: Box<dyn LaneReceiver>,
) {
    let from = peer.info().member;
    let mut frames = Vec::new();
    loop {
        match next_batch(&mut *receiver, &mut frames).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::debug!(%from, %lane, %error, "a lane ended"),
        }
        desk.signs.note(from);
        let batch = take(&mut frames);
        let handed_on = match lane {
            BUS_LANE => match desk.bus.send(PeerFrames(from.node, link, batch)).await {
                Ok(read) => read,
                Err(_) => return,
            },
            Lane::Data(group) => desk.to_group(from, GroupId::new(group), batch).await,
            _ => desk.dispatch(from, batch).await,
        };
        if let Err(error) = handed_on {
            metrics::counter!("quorate_malformed_frames_total").increment(1);
            tracing::warn!(%from, %lane, %error, "the link is closed");
            return peer.close(CloseReason::Violation(error.to_string()));
        }
    }
}

/// Waits for more frames of a lane; `false` once it has ended. Everybody else on the arbiter has a turn
/// before: a lane on which there is always more would leave none to heartbeats and timers.
async fn next_batch(receiver: &mut dyn LaneReceiver, frames: &mut Vec<Frame>) -> Result<bool, LinkError> {
    tokio::task::yield_now().await;
    receiver.recv(frames).await
}

impl Desk {
    async fn to_group(&self, from: Member, group: GroupId, frames: Vec<Frame>) -> Result<(), Malformed> {
        let messages = frames.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
        let Some(taken) = self.hand_to(from, group, messages) else { return Ok(()) };
        taken.await.unwrap_or(Ok(()))
    }

    /// Hands messages to a group, which has taken them once the answer is there.
    fn hand_to(
        &self,
        from: Member,
        group: GroupId,
        messages: Vec<Message>,
    ) -> Option<Request<Replication, Received>> {
        // Not joined yet, or left: the peer asks or sends again.
        Some(self.groups.addr(group)?.send(Received(from, messages)))
    }

    async fn dispatch(&self, from: Member, frames: Vec<Frame>) -> Result<(), Malformed> {
        let mut groups: BTreeMap<GroupId, Vec<Message>> = BTreeMap::new();
        for frame in frames {
            match wire::understand(frame)? {
                Said::Group(group, inner) => {
                    groups.entry(group).or_default().push(message(inner)?);
                    if groups.len() >= GROUPS_AT_ONCE {
                        self.hand_to_all(from, take(&mut groups)).await?;
                    }
                }
                said => self.on_marks(from, said).await,
            }
        }
        self.hand_to_all(from, groups).await
    }

    /// Hands each group its messages, and waits until all have taken theirs.
    async fn hand_to_all(
        &self,
        from: Member,
        groups: BTreeMap<GroupId, Vec<Message>>,
    ) -> Result<(), Malformed> {
        let handed: Vec<_> =
            groups.into_iter().filter_map(|(group, messages)| self.hand_to(from, group, messages)).collect();
        for taken in handed {
            taken.await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    async fn on_marks(&self, from: Member, said: Said) {
        match said {
            Said::MarksWanted(group, view) => {
                let Some(addr) = self.groups.addr(group) else { return };
                // None: not in that view yet; the newcomer asks again.
                let Ok(Some(marks)) = addr.send(MarksWanted(view)).await else { return };
                if let Some((lane, frame)) = wire::marks(group, view, &marks) {
                    Outlet::send(
                        &self.mesh,
                        Outgoing { to: Arc::from([from.node]), lane, frame, is_bounded: false },
                    );
                }
            }
            Said::Marks(group, view, marks) => {
                let Some(addr) = self.groups.addr(group) else { return };
                let _ = addr.send(Marked(from, view, marks)).await;
            }
            Said::Group(..) => {}
        }
    }
}

fn message(frame: Frame) -> Result<Message, Malformed> {
    let header = frame.header.clone();
    decode(&header, frame.into_body()).map_err(|error| {
        tracing::debug!(%error, "a malformed message of a group");
        Malformed("group")
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::BoxFuture;

    use super::*;

    /// A lane on which there is always more.
    #[derive(Debug)]
    struct Endless;

    impl LaneReceiver for Endless {
        fn recv<'a>(&'a mut self, _: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>> {
            Box::pin(async { Ok(true) })
        }
    }

    #[actix::test]
    async fn a_lane_on_which_there_is_always_more_leaves_a_turn_to_others_after_each_batch() {
        let turns = Rc::new(Cell::new(0));
        let others = Rc::clone(&turns);
        actix::spawn(async move {
            loop {
                others.set(others.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        for batch in 1..100 {
            assert!(matches!(next_batch(&mut Endless, &mut Vec::new()).await, Ok(true)));
            assert!(turns.get() >= batch, "{} turns beside {batch} batches", turns.get());
        }
    }
}
