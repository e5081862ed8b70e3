//! A group, as an application holds it.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, View};
use quorate_protocols::{Batch, Input, bus::group_id};

use super::{
    EventOptions, GroupEvents, GroupStatus, SendAllError, SendError, Sent, SentAll, ViewRecord, Wait, events,
    intake::{Intake, Submission},
    replication::{Feed, Gathered, Read, Replication},
    sent::{Progress, Stage},
    status::{AskStatus, AskViews},
};

/// What is handed over of many messages at once: about what goes into a frame.
const PIECE_BYTES: usize = 64 << 10;
/// Messages of it at most, however short they are.
const PIECE_MESSAGES: usize = 1024;

/// The group was stopped at this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the group was stopped at this node; join it again")]
pub struct Stopped;

/// One group at this node. Clones speak to the same group.
///
/// None of the calls blocks the group, so all of them may be made while handling its events: what
/// is sent while the view changes goes out in the next one.
///
/// ```
/// use quorate::{EventOptions, GroupEvent, Node, protocols::Event};
///
/// # actix::System::new().block_on(async {
/// let node = Node::alone("demo").await?;
/// let group = node.group("local").await.ok_or("it runs here")?;
/// let mut events = group.events(EventOptions::default()).await?;
/// let sent = group.send("hello").await?;
/// sent.uniform().await?;
/// while let Some(event) = events.next().await {
///     if let GroupEvent::Event(Event::Message { payload, .. }) = event {
///         assert_eq!(payload, "hello");
///         break;
///     }
/// }
/// node.stop().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) addr: Addr<Replication>,
    pub(crate) intake: Intake,
    pub(crate) name: Arc<str>,
}

impl Group {
    /// The name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the group, made of its name.
    pub fn id(&self) -> GroupId {
        group_id(&self.name)
    }

    /// Multicasts a message; waits only while the window is full. What becomes of it is told by
    /// [`Sent`].
    ///
    /// # Errors
    /// [`SendError`]; the message was not sent then, unless it says otherwise.
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        self.submit(payload.into().into(), true).await
    }

    /// Multicasts messages in their order; waits while the window is full. Many short ones cost far less
    /// than one by one, since what goes into a frame together is handed on and accounted for together.
    ///
    /// # Errors
    /// [`SendAllError`] says how many were taken. None of the others is sent, unless its reason says otherwise.
    pub async fn send_all<T: Into<Bytes>>(
        &self,
        payloads: impl IntoIterator<Item = T>,
    ) -> Result<SentAll, SendAllError> {
        let mut payloads = payloads.into_iter().map(Into::into).peekable();
        let (mut taken, mut sent, longest) = (0, SentAll(Vec::new()), self.intake.payload_bytes_max);
        while let Some(first) = payloads.next() {
            let weight = |payload: &Bytes| payload.len().max(PIECE_BYTES / PIECE_MESSAGES);
            let (mut bytes, mut piece) = (weight(&first), vec![first]);
            // What is too long is refused with nothing else.
            let fits =
                |bytes: usize, next: &Bytes| bytes + weight(next) <= PIECE_BYTES && next.len() <= longest;
            while let Some(next) = payloads.next_if(|next| fits(bytes, next)) {
                bytes += weight(&next);
                piece.push(next);
            }
            let count = piece.len();
            match self.submit(piece.into(), true).await {
                Ok(part) => sent.0.push(part),
                Err(why) => return Err(SendAllError { taken, sent, why }),
            }
            taken += count;
        }
        Ok(sent)
    }

    /// Multicasts a message unless it would have to wait.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] if the window is full, and others as [`Self::send`].
    pub async fn try_send(&self, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        self.submit(payload.into().into(), false).await
    }

    /// Multicasts a message and waits until it survives any view change.
    ///
    /// # Errors
    /// [`SendError`] says whether others may have it.
    pub async fn multicast(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.send(payload).await?.uniform().await
    }

    async fn submit(&self, payloads: Batch, wait: bool) -> Result<Sent, SendError> {
        let sent = self.hand_over(payloads, wait)?;
        sent.0.wait(Stage::Accepted).await?;
        Ok(sent)
    }

    /// Hands the group messages that go out in one frame, in the order of these calls, as soon as its window
    /// allows, and does not wait for that.
    pub(crate) fn hand_over(&self, payloads: Batch, wait: bool) -> Result<Sent, SendError> {
        let progress = Progress::new();
        if self.intake.push(Submission { payloads, progress: Arc::clone(&progress), wait })? {
            self.addr.do_send(Gathered); // once for all that gather until it comes
        }
        Ok(Sent(progress))
    }

    /// Views and messages from now on, in the order of the group.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn events(&self, options: EventOptions) -> Result<GroupEvents, Stopped> {
        let (feed, events) = events::reader(options);
        self.addr.send(Read(feed)).await.map_err(|_| Stopped)?;
        Ok(events)
    }

    /// The present view; `None` while this node is outside the group.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn view(&self) -> Result<Option<View>, Stopped> {
        Ok(self.status().await?.view)
    }

    /// The views that were installed here of late, oldest first: who, when and why.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn history(&self) -> Result<Vec<ViewRecord>, Stopped> {
        self.addr.send(AskViews).await.map_err(|_| Stopped)
    }

    /// What the group looks like from here.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn status(&self) -> Result<GroupStatus, Stopped> {
        self.addr.send(AskStatus).await.ok().flatten().ok_or(Stopped)
    }

    /// Who or what the group waits for at this node.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn waits(&self) -> Result<Vec<Wait>, Stopped> {
        Ok(self.status().await?.waits)
    }

    /// Asks to leave; `Event::Left` tells when it is done.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.addr.send(Feed(Input::Leave)).await.map_err(|_| Stopped)
    }
}
