//! Reading the lanes of peers: each frame goes to the actor that it is for.

use std::{collections::BTreeMap, mem::take, rc::Rc, sync::Arc};

use actix::{Actor, Addr, Context, Handler};
use quorate_membership::{GroupId, Member};
use quorate_protocols::{Message, bus::LinkId};
use quorate_transport::{CloseReason, Frame, Lane, LaneReceiver, LinkError, Mesh, Peer};

use super::{Directory, Signs};
use crate::{
    bus::{BusActor, PeerFrames},
    group::{Marked, MarksWanted, Outgoing, Outlet, Received, decode},
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

/// Whoever takes a group's messages.
trait Ear: Actor<Context = Context<Self>> + Handler<Received> {}

impl<A: Actor<Context = Context<A>> + Handler<Received>> Ear for A {}

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
        // Not joined yet, or left: the peer asks or sends again.
        let Some(addr) = self.groups.addr(group) else { return Ok(()) };
        addr.send(Received(from, messages)).await.unwrap_or(Ok(()))
    }

    async fn dispatch(&self, from: Member, frames: Vec<Frame>) -> Result<(), Malformed> {
        let mut frames = frames.into_iter();
        while let Some(said) = deal(from, &mut frames, |group| self.groups.addr(group)).await? {
            self.on_marks(from, said).await;
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

/// Hands on what is for groups, to some of them at a time, until something else comes, which is returned, or nothing
/// more does. The groups have taken it by then.
async fn deal<A: Ear>(
    from: Member,
    frames: &mut impl Iterator<Item = Frame>,
    addr: impl Fn(GroupId) -> Option<Addr<A>>,
) -> Result<Option<Said>, Malformed> {
    let (mut groups, mut other) = (BTreeMap::<GroupId, Vec<Message>>::new(), None);
    for frame in frames {
        match wire::understand(frame)? {
            Said::Group(group, inner) => {
                groups.entry(group).or_default().push(message(inner)?);
                if groups.len() >= GROUPS_AT_ONCE {
                    hand_to_all(from, take(&mut groups), &addr).await?;
                }
            }
            said => {
                other = Some(said);
                break;
            }
        }
    }
    hand_to_all(from, groups, &addr).await?;
    Ok(other)
}

/// Hands each group its messages, and waits until all have taken theirs.
async fn hand_to_all<A: Ear>(
    from: Member,
    groups: BTreeMap<GroupId, Vec<Message>>,
    addr: impl Fn(GroupId) -> Option<Addr<A>>,
) -> Result<(), Malformed> {
    // Not joined yet, or left: the peer asks or sends again.
    let running = groups.into_iter().filter_map(|(group, messages)| Some((addr(group)?, messages)));
    let handed: Vec<_> = running.map(|(addr, messages)| addr.send(Received(from, messages))).collect();
    for taken in handed {
        taken.await.unwrap_or(Ok(()))?;
    }
    Ok(())
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
    use std::cell::{Cell, RefCell};

    use futures_util::future::BoxFuture;
    use quorate_membership::{Incarnation, NodeId, Seq, ViewId};
    use quorate_protocols::Body;

    use super::*;
    use crate::group::encode;

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
    /// What each group has taken, in its order.
    type Taken = Rc<RefCell<BTreeMap<u64, Vec<u64>>>>;

    /// A group that only keeps what it takes.
    struct Keeping(u64, Taken);

    impl Actor for Keeping {
        type Context = Context<Self>;
    }

    impl Handler<Received> for Keeping {
        type Result = Result<(), Malformed>;
        fn handle(&mut self, Received(from, messages): Received, _: &mut Self::Context) -> Self::Result {
            assert_eq!(from, peer());
            for message in messages {
                let Body::DirectDelivered { through } = message.body else { panic!("never sent") };
                self.1.borrow_mut().entry(self.0).or_default().push(through.get());
            }
            Ok(())
        }
    }

    fn peer() -> Member {
        Member::new(NodeId::new(7), Incarnation::new(1))
    }

    const VIEW: ViewId = ViewId { lineage: 1, epoch: 1 };

    fn frame(group: u64, number: u64) -> Frame {
        let body = Body::DirectDelivered { through: Seq::new(number) };
        let packet = encode(Message { view: VIEW, body }).expect("short");
        wire::group_frame(GroupId::new(group), Lane::Control, packet)
    }

    #[actix::test]
    async fn of_one_batch_each_group_gets_all_that_is_for_it_in_its_order() {
        let (count, taken) = (GROUPS_AT_ONCE as u64 * 2 + 5, Taken::default());
        let addrs: BTreeMap<u64, _> =
            (0..count).map(|group| (group, Keeping(group, Rc::clone(&taken)).start())).collect();
        // There and back through the groups, so that some have several messages at one time and others are apart.
        let round = |number: u64| {
            let turn = move |at| if number.is_multiple_of(2) { at } else { count - 1 - at };
            (0..count).map(move |at| frame(turn(at), number))
        };
        let marks = wire::marks_wanted(GroupId::new(3), VIEW).1;
        let nobody = frame(count, 0);
        let batch = (0..3).flat_map(round).chain([nobody, marks]).chain((3..6).flat_map(round));
        let mut frames = batch.collect::<Vec<_>>().into_iter();
        let addr = |group: GroupId| addrs.get(&group.get()).cloned();
        let all =
            |through| (0..count).map(|group| (group, (0..through).collect())).collect::<BTreeMap<_, _>>();
        let other = deal(peer(), &mut frames, addr).await;
        assert_eq!(other, Ok(Some(Said::MarksWanted(GroupId::new(3), VIEW))));
        assert_eq!(*taken.borrow(), all(3), "what came before it has been taken, and nothing else");
        assert_eq!(deal(peer(), &mut frames, addr).await, Ok(None));
        assert_eq!(*taken.borrow(), all(6));
    }
}
