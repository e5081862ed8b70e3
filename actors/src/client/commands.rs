//! What the user's end is asked to do.

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::bus::Position;
use quorate_transport::{Frame, LaneReceiver};
use tokio::sync::oneshot;

use super::{
    reading::{Handed, Reading},
    talk::{self, Ask, Tell},
    uplink::Uplink,
};
use crate::{
    bus::{Forward, Publish, Request, Subscribe, Unsubscribe},
    wire::Malformed,
};

/// The linked nodes that may be used, the preferred one first.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Carriers(pub(crate) Vec<NodeId>);

/// Frames of answers of a node.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct Answers(pub(crate) NodeId, pub(crate) Vec<Frame>);

/// Stops at once.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct StopUplink;

/// Asks to be told once nothing is waited for, unless a node is named again before.
#[derive(Debug, actix::Message)]
#[rtype(result = "bool")]
pub(crate) struct AwaitIdle;

/// Ends a subscription once its reader has got all up to a position, or no node is in reach that could
/// bring it there, and says how far it has come.
#[derive(Debug, actix::Message)]
#[rtype(result = "Option<Handed>")]
pub(crate) struct HandOver {
    pub(crate) reader: u64,
    pub(crate) from: Position,
}

/// Asks the node that is used; nothing comes back if it is lost.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Question(pub(crate) Asked, pub(crate) oneshot::Sender<Option<Bytes>>);

/// What may be asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Status,
    Views(String),
}

/// Multicasts to a group of the node that is used.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Multicast {
    pub(crate) group: String,
    pub(crate) payload: Bytes,
    pub(crate) done: crate::group::Done,
}

/// A reader has made room.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Pump(pub(super) u64);

/// Reads the answers of a node.
#[derive(Debug)]
pub(crate) struct AnswersFrom(pub(crate) NodeId, pub(crate) Box<dyn LaneReceiver>);

impl AnswersFrom {
    /// Hands them on until the lane ends.
    pub(crate) async fn read(self, uplink: Addr<Uplink>) -> Result<(), Malformed> {
        let Self(node, mut receiver) = self;
        let mut frames = Vec::new();
        while let Ok(true) = receiver.recv(&mut frames).await {
            match uplink.send(Answers(node, std::mem::take(&mut frames))).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

impl Handler<Carriers> for Uplink {
    type Result = ();
    fn handle(&mut self, Carriers(nodes): Carriers, ctx: &mut Self::Context) {
        if !nodes.is_empty() {
            self.idle = None;
        }
        self.candidates = nodes;
        self.choose(ctx);
        if self.candidates.is_empty() {
            self.readings
                .keys()
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|id| self.hand_over_due(id));
        }
    }
}

impl Handler<Answers> for Uplink {
    type Result = Result<(), Malformed>;
    fn handle(&mut self, Answers(node, frames): Answers, ctx: &mut Self::Context) -> Result<(), Malformed> {
        for frame in frames {
            let (tell, payload) = talk::read(frame)?;
            if matches!(tell, Tell::Welcome { .. }) {
                self.silence.welcomes(node);
            } else if self.active == Some(node) && self.silence.is_welcome(node) {
                self.on_tell(tell, payload, ctx);
            }
        }
        if self.silence.ends(node) {
            self.choose(ctx);
        }
        Ok(())
    }
}

impl Handler<Publish> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Publish, _: &mut Self::Context) {
        self.publish_own(command);
    }
}

impl Handler<Forward> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Forward, _: &mut Self::Context) {
        // The node at which it was published has looked at its length.
        let Forward { stamp, subject, reply_to, payload, done, .. } = command;
        let number = self.pendings.add_stamped(stamp, subject, reply_to, payload, done);
        self.publish(number, false);
    }
}

impl Handler<Multicast> for Uplink {
    type Result = ();
    fn handle(&mut self, Multicast { group, payload, done }: Multicast, _: &mut Self::Context) {
        if let Err(error) = Self::check(&payload) {
            return done.tell(Err(error));
        }
        let number = self.pendings.add_multicast(group, payload, done);
        self.publish(number, false);
    }
}

impl Handler<Request> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Request, _: &mut Self::Context) {
        self.request(command);
    }
}

impl Handler<Subscribe> for Uplink {
    type Result = ();
    fn handle(&mut self, command: Subscribe, ctx: &mut Self::Context) {
        self.subscribe(command, ctx);
    }
}

impl Handler<Unsubscribe> for Uplink {
    type Result = ();
    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Self::Context) {
        if self.readings.remove(&id).is_some() {
            self.ask(&Ask::Unsubscribe { id });
        }
        self.tell_idle();
    }
}

impl Handler<Pump> for Uplink {
    type Result = ();
    fn handle(&mut self, Pump(id): Pump, _: &mut Self::Context) {
        if let Some(more) = self.readings.get_mut(&id).and_then(Reading::pump) {
            self.ask(&Ask::Credit { id, more });
        }
        self.hand_over_due(id);
    }
}

impl Handler<Question> for Uplink {
    type Result = ();
    fn handle(&mut self, Question(asked, asker): Question, _: &mut Self::Context) {
        self.question(asked, asker);
    }
}

impl Handler<HandOver> for Uplink {
    type Result = ResponseFuture<Option<Handed>>;
    fn handle(&mut self, HandOver { reader, from }: HandOver, _: &mut Self::Context) -> Self::Result {
        let (heir, handed) = oneshot::channel();
        if let Some(reading) = self.readings.get_mut(&reader) {
            reading.promise(from, heir);
        }
        self.hand_over_due(reader);
        Box::pin(async move { handed.await.ok() })
    }
}

impl Handler<AwaitIdle> for Uplink {
    type Result = ResponseFuture<bool>;
    fn handle(&mut self, _: AwaitIdle, _: &mut Self::Context) -> Self::Result {
        let (asker, idle) = oneshot::channel();
        self.idle = Some(asker);
        self.tell_idle();
        Box::pin(async move { idle.await.is_ok() })
    }
}

impl Handler<StopUplink> for Uplink {
    type Result = ();
    fn handle(&mut self, _: StopUplink, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
