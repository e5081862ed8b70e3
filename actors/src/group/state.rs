//! The state of an application, for newcomers: asked for exactly at a cut, handed over complete.

use std::{
    collections::BTreeSet,
    fmt, io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use quorate_membership::{Member, ViewId};
use quorate_protocols::{Input, Refusal, Restore};

use super::{
    GroupEvent, GroupEvents,
    events::{Shown, stream},
    replication::Replication,
};
use crate::queue::{Feed, Offer, queue};

/// What an event counts for at least while it waits.
const EVENT_BYTES_MIN: usize = 64;

/// How an application keeps state in a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateOptions {
    /// Time within which a [`SnapshotRequest`] has to be answered. Afterwards newcomers turn to other
    /// members. Default 30 s; they turn to others in the meantime, too, if those are faster.
    pub answer_within: Duration,
    /// Bytes of events that may wait for the application. Default 512 MiB: a newcomer gets at once all
    /// that it held back while its state came, up to 256 MiB. An application that is further behind
    /// has lost touch: it is told so by [`GroupEvent::Missed`], its stream ends, and the node leaves
    /// the group.
    pub waiting_bytes_max: usize,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { answer_within: Duration::from_secs(30), waiting_bytes_max: 512 << 20 }
    }
}

/// Why a snapshot was not taken. The newcomers get it from another member, if there is one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is too long.
    #[error(
        "a state of {bytes} bytes exceeds the {limit} bytes that the group carries; raise `state_bytes_max`"
    )]
    TooLarge {
        /// Its bytes, as far as they were counted.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// It was given before, or refused, or its time is over.
    #[error("the snapshot at {0} is not waited for: it was answered already, or too late")]
    NotWanted(ViewId),
    /// The source of the chunks failed.
    #[error("the state could not be read: {0}")]
    Source(String),
    /// The group was stopped.
    #[error("the group was stopped at this node; nobody waits for the snapshot")]
    Stopped,
}

struct Asked {
    view: ViewId,
    learners: Vec<Member>,
    limit: usize,
    answered: AtomicBool,
    group: actix::WeakAddr<Replication>,
}

/// Newcomers need the state: hand over what it is at this place in the stream of events.
///
/// Every data member is asked at the same place, so what they hand over should be the same bytes:
/// then a newcomer goes on from another member where the first one stopped. Events that follow may be
/// handled before the answer, as long as the answer is the state before them. If all clones are
/// dropped without an answer that is a refusal, and newcomers turn to other members at once.
#[derive(Clone)]
pub struct SnapshotRequest(Arc<Asked>);

impl SnapshotRequest {
    /// The view that begins after the state that is asked for.
    pub fn view(&self) -> ViewId {
        self.0.view
    }

    /// For whom.
    pub fn learners(&self) -> &[Member] {
        &self.0.learners
    }

    /// Hands over the state. It is shared, not copied, until the newcomers have it.
    ///
    /// # Errors
    /// [`SnapshotError`]; newcomers turn to other members then.
    pub async fn give(&self, state: impl Into<Bytes>) -> Result<(), SnapshotError> {
        self.0.answered.store(true, Ordering::Relaxed);
        let answer = Answer { view: self.0.view, state: Some(state.into()) };
        let group = self.0.group.upgrade().ok_or(SnapshotError::Stopped)?;
        group.send(answer).await.map_err(|_| SnapshotError::Stopped)?
    }

    /// Hands over the state in chunks, which are put together here.
    ///
    /// # Errors
    /// [`SnapshotError`]; newcomers turn to other members then.
    pub async fn give_chunks(
        &self,
        chunks: impl Stream<Item = io::Result<Bytes>>,
    ) -> Result<(), SnapshotError> {
        let mut chunks = pin!(chunks);
        let mut state = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| SnapshotError::Source(error.to_string()))?;
            let (bytes, limit) = (state.len().saturating_add(chunk.len()), self.0.limit);
            if bytes > limit {
                return Err(SnapshotError::TooLarge { bytes, limit });
            }
            state.extend_from_slice(&chunk);
        }
        self.give(state).await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !*self.answered.get_mut()
            && let Some(group) = self.group.upgrade()
        {
            group.do_send(Answer { view: self.view, state: None }); // once per request
        }
    }
}

impl fmt::Debug for SnapshotRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotRequest").field("view", &self.0.view).finish_non_exhaustive()
    }
}

impl PartialEq for SnapshotRequest {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The state of the group as it was at the beginning of a view, complete and intact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupState {
    view: ViewId,
    chunks: Vec<Bytes>,
}

impl GroupState {
    /// The view at whose beginning it was taken; the events that follow begin with that view.
    pub const fn view(&self) -> ViewId {
        self.view
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in order, as they came, without a copy.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The bytes in one piece.
    pub fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            1 => self.chunks.remove(0),
            _ => self.chunks.concat().into(),
        }
    }
}

/// The application that keeps the state, as its group sees it.
#[derive(Debug)]
pub(crate) struct Keeper {
    feed: Feed<Shown>,
    answer_within: Duration,
    /// Snapshots that were asked for and not answered.
    open: BTreeSet<ViewId>,
    /// The own state while it comes.
    filling: Option<GroupState>,
}

pub(crate) fn keeper(options: StateOptions) -> (Keeper, GroupEvents) {
    let (feed, reader) = queue(usize::MAX, options.waiting_bytes_max);
    let answer_within = options.answer_within;
    (Keeper { feed, answer_within, open: BTreeSet::new(), filling: None }, stream(reader))
}

impl Keeper {
    /// Has the group told when nobody reads any more.
    pub(crate) fn watch(&self, group: Addr<Replication>) {
        // Rare: at most once, since this reader is never told of room.
        self.feed.on_room(move || group.do_send(KeeperGone));
    }

    /// Returns whether the application goes on.
    fn tell(&self, event: GroupEvent) -> bool {
        let bytes = event.weight().max(EVENT_BYTES_MIN);
        match self.feed.offer(Shown::One(event), bytes) {
            Offer::Taken => true,
            Offer::Full(_) => {
                metrics::counter!("quorate_group_states_lost_total").increment(1);
                self.feed.skip(1);
                false
            }
            Offer::Abandoned => false,
        }
    }

    /// Puts the parts of a state together; returns it when it is complete.
    fn fill(&mut self, restore: Restore) -> Option<GroupState> {
        match restore {
            Restore::Begin { view, .. } => self.filling = Some(GroupState { view, chunks: Vec::new() }),
            Restore::Bytes(bytes) => self.filling.as_mut()?.chunks.push(bytes),
            Restore::End => return self.filling.take(),
        }
        None
    }
}

/// What the application answers: its state, or that it gives none.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), SnapshotError>")]
struct Answer {
    view: ViewId,
    state: Option<Bytes>,
}

/// The application does not read its events any more.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct KeeperGone;

impl Replication {
    /// Tells the application that keeps the state.
    pub(crate) fn tell_keeper(&self, event: GroupEvent, ctx: &mut Context<Self>) {
        if self.keeper.as_ref().is_some_and(|keeper| !keeper.tell(event)) {
            ctx.notify(KeeperGone);
        }
    }

    pub(crate) fn ask_for_state(&mut self, view: ViewId, learners: Vec<Member>, ctx: &mut Context<Self>) {
        let Some(keeper) = &mut self.keeper else {
            return ctx.notify(Answer { view, state: None });
        };
        keeper.open.insert(view);
        let (answered, limit) = (AtomicBool::new(false), self.spec.config().snapshot_bytes_max);
        ctx.run_later(keeper.answer_within, move |actor, ctx| {
            if actor.on_snapshot(view, None, ctx).is_ok() {
                tracing::warn!(%view, "the application gave no snapshot in time");
            }
        });
        let asked = Asked { view, learners, limit, answered, group: ctx.address().downgrade() };
        self.tell_keeper(GroupEvent::Snapshot(SnapshotRequest(Arc::new(asked))), ctx);
    }

    pub(crate) fn restore(&mut self, restore: Restore, ctx: &mut Context<Self>) {
        if let Some(state) = self.keeper.as_mut().and_then(|keeper| keeper.fill(restore)) {
            tracing::info!(view = %state.view, bytes = state.len(), "the state is here");
            // Its bytes were bounded already, as they came.
            self.tell_keeper(GroupEvent::Restore(state), ctx);
        }
    }

    fn on_snapshot(
        &mut self,
        view: ViewId,
        state: Option<Bytes>,
        ctx: &mut Context<Self>,
    ) -> Result<(), SnapshotError> {
        let is_open = self.keeper.as_mut().is_some_and(|keeper| keeper.open.remove(&view));
        if !is_open && state.is_some() {
            return Err(SnapshotError::NotWanted(view));
        }
        let refused = match state {
            Some(state) => match self.submit(Input::Snapshot { view, state }, ctx) {
                Ok(()) => return Ok(()),
                Err(Refusal::TooLarge { size, max }) => {
                    Err(SnapshotError::TooLarge { bytes: size, limit: max })
                }
                Err(_) => Err(SnapshotError::NotWanted(view)),
            },
            None if is_open || self.keeper.is_none() => Ok(()),
            None => return Err(SnapshotError::NotWanted(view)),
        };
        self.drive(Input::NoSnapshot { view }, ctx);
        refused
    }
}

impl Handler<Answer> for Replication {
    type Result = Result<(), SnapshotError>;
    fn handle(&mut self, Answer { view, state }: Answer, ctx: &mut Self::Context) -> Self::Result {
        self.on_snapshot(view, state, ctx)
    }
}

impl Handler<KeeperGone> for Replication {
    type Result = ();
    fn handle(&mut self, _: KeeperGone, ctx: &mut Self::Context) {
        // Without it this member would pass on what it does not have.
        if self.keeper.take().is_some() {
            tracing::warn!("the application keeps no state any more: leaving");
            self.drive(Input::Leave, ctx);
        }
    }
}
