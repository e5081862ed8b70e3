//! A group that has a member at the very node that uses others for it: what is not acknowledged is published
//! through that member, too, since perhaps no other is left. It bears the same stamps, so the group drops
//! what comes twice.

use actix::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::{talk::Ask, uplink::Uplink};
use crate::{
    bus::PublishError,
    group::{Done, Outcome, PublishBound, Replication},
    start::spawn,
};

/// The group has a member at this node from now on.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct OwnMember(pub(crate) Addr<Replication>);

/// Asks to be told once all that was published until now is acknowledged.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct AwaitSettled;

/// The member has told how a publication ended.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Ended(u64, Result<(), PublishError>);

impl Uplink {
    /// Tells whoever asked that all is acknowledged.
    pub(super) fn tell_settled(&mut self) {
        let settled = self.pendings.settled();
        self.settled.retain(|(last, _)| *last > settled); // they hear of it by that
    }
}

impl Handler<OwnMember> for Uplink {
    type Result = ();
    fn handle(&mut self, OwnMember(group): OwnMember, ctx: &mut Self::Context) {
        let (outcomes, mut ended) = mpsc::unbounded_channel::<Outcome>(); // one for each that is open
        for number in self.pendings.numbers() {
            if let Some((Ask::Forward { stamp, subject, reply_to, .. }, payload)) =
                self.pendings.ask(number, true)
            {
                let (stamp, done) = (Some(stamp), Done::Many(number, outcomes.clone(), None));
                group.do_send(PublishBound { stamp, subject, reply_to, payload, done });
            }
        }
        let uplink = ctx.address();
        spawn(async move {
            while let Some((number, outcome, _)) = ended.recv().await {
                uplink.do_send(Ended(number, outcome));
            }
        });
    }
}

impl Handler<Ended> for Uplink {
    type Result = ();
    fn handle(&mut self, Ended(number, outcome): Ended, _: &mut Self::Context) {
        // Of one that failed here the other node tells the outcome, or the next one.
        if outcome.is_ok() {
            self.settle(number, outcome);
        }
    }
}

impl Handler<AwaitSettled> for Uplink {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: AwaitSettled, _: &mut Self::Context) -> Self::Result {
        let (asker, settled) = oneshot::channel::<()>();
        self.settled.push((self.pendings.last(), asker));
        self.tell_settled();
        Box::pin(async move { drop(settled.await) })
    }
}
