//! Messages to one member, and requests to a group that collect answers.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::Member;
use quorate_protocols::{Audience, Batch, Collect, Collected, Input, RequestId, Ticket};
use tokio::sync::mpsc;

use super::{
    Asker, Group, SendError, Sent, Stopped,
    replication::Replication,
    sent::{Progress, Stage},
};
use crate::start::spawn;

/// What has come back for a request to a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answers {
    /// Who answered what, in the order of arrival.
    pub answers: Vec<(Member, Bytes)>,
    /// Members that were asked and have left the view: they will not answer.
    pub absent: Vec<Member>,
    /// How the collection ended.
    pub ended: Ended,
}

/// How a collection of answers ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ended {
    /// As many answers as wanted have come.
    Enough,
    /// All who still can have answered; the others are gone.
    Short,
    /// The time is over; members may answer later, unheard.
    TimedOut,
    /// This member had to leave the group: no further answer will come.
    Lost,
}

/// One step of a collection.
#[derive(Debug)]
pub(crate) enum Step {
    Answer(Member, Bytes),
    Absent(Member),
    Collected(Collected),
    Refused(SendError),
}

impl Group {
    /// Sends a message to one member of the present view. [`Sent::everywhere`] tells that it was
    /// delivered there; it has no order with multicasts.
    ///
    /// # Errors
    /// [`SendError::Refused`] if the addressee is no data member of the present view.
    pub async fn send_to(&self, to: Member, payload: impl Into<Bytes>) -> Result<Sent, SendError> {
        let progress = Progress::new();
        let letter = SendTo { to, payload: payload.into(), progress: progress.clone() };
        self.addr.send(letter).await.map_err(|_| SendError::Stopped)?;
        progress.wait(Stage::Accepted).await?;
        Ok(Sent(progress))
    }

    /// Asks all data members, this one included, in the order of the group, and collects answers.
    /// The view is the roll-call: who leaves it is not waited for.
    ///
    /// # Errors
    /// [`SendError`] if the request was not sent.
    pub async fn request(
        &self,
        payload: impl Into<Bytes>,
        collect: Collect,
        within: Duration,
    ) -> Result<Answers, SendError> {
        self.collect(Audience::Group, payload.into(), collect, within, |_| false).await
    }

    /// Asks one data member of the present view, point-to-point: in no order with what is multicast.
    /// The answer is `None` with the reason if none came.
    ///
    /// # Errors
    /// [`SendError::Refused`] if the addressee is no data member of the present view, and others if the
    /// request was not sent.
    pub async fn request_to(
        &self,
        to: Member,
        payload: impl Into<Bytes>,
        within: Duration,
    ) -> Result<(Option<Bytes>, Ended), SendError> {
        let audience = Audience::One(to);
        let Answers { answers, ended, .. } =
            self.collect(audience, payload.into(), Collect::First, within, |_| false).await?;
        Ok((answers.into_iter().next().map(|(_, payload)| payload), ended))
    }

    /// As [`Self::request`], until what has come suffices.
    ///
    /// # Errors
    /// [`SendError`] if the request was not sent.
    pub async fn request_until(
        &self,
        payload: impl Into<Bytes>,
        within: Duration,
        suffices: impl FnMut(&[(Member, Bytes)]) -> bool,
    ) -> Result<Answers, SendError> {
        self.collect(Audience::Group, payload.into(), Collect::All, within, suffices).await
    }

    /// Answers a request that came as an event, at any time while its asker is in the view.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn answer(&self, request: RequestId, payload: impl Into<Bytes>) -> Result<(), Stopped> {
        let answer = Input::Answer { request, payload: payload.into() };
        self.addr.send(super::Feed(answer)).await.map_err(|_| Stopped)
    }

    async fn collect(
        &self,
        to: Audience,
        payload: Bytes,
        collect: Collect,
        within: Duration,
        mut suffices: impl FnMut(&[(Member, Bytes)]) -> bool,
    ) -> Result<Answers, SendError> {
        // Bounded by the members: each answers once or is told absent once.
        let (steps, mut coming) = mpsc::unbounded_channel();
        self.addr.send(Ask { to, payload, collect, steps }).await.map_err(|_| SendError::Stopped)?;
        let mut answers = Answers { answers: Vec::new(), absent: Vec::new(), ended: Ended::Lost };
        let collecting = async {
            while let Some(step) = coming.recv().await {
                match step {
                    Step::Answer(from, payload) => {
                        answers.answers.push((from, payload));
                        if suffices(&answers.answers) {
                            return Ok(Ended::Enough);
                        }
                    }
                    Step::Absent(member) => answers.absent.push(member),
                    Step::Collected(Collected::Enough) => return Ok(Ended::Enough),
                    Step::Collected(Collected::Short) => return Ok(Ended::Short),
                    Step::Collected(_) => return Ok(Ended::Lost),
                    Step::Refused(error) => return Err(error),
                }
            }
            Ok(Ended::Lost)
        };
        let ended = tokio::time::timeout(within, collecting).await.unwrap_or(Ok(Ended::TimedOut))?;
        answers.ended = ended;
        Ok(answers)
    }
}

#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct SendTo {
    to: Member,
    payload: Bytes,
    progress: std::sync::Arc<Progress>,
}

#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Ask {
    to: Audience,
    payload: Bytes,
    collect: Collect,
    steps: mpsc::UnboundedSender<Step>,
}

/// Nobody collects the answers to a request any more.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct GiveUp(Ticket);

impl Handler<SendTo> for Replication {
    type Result = ();
    fn handle(&mut self, SendTo { to, payload, progress }: SendTo, ctx: &mut Self::Context) {
        let ticket = self.ticket();
        let input = Input::SendTo { ticket, to, payload };
        match self.submit(input, ctx) {
            Ok(()) => {
                progress.reach(Stage::Accepted);
                self.askers.insert(ticket, Asker::Sender(Batch::default(), progress));
            }
            Err(refusal) => progress.fail(refusal.into()),
        }
    }
}

impl Handler<Ask> for Replication {
    type Result = ();
    fn handle(&mut self, Ask { to, payload, collect, steps }: Ask, ctx: &mut Self::Context) {
        let ticket = self.ticket();
        let (collector, group) = (steps.clone(), ctx.address());
        // However the collection ends: its caller may drop it at any time.
        spawn(async move {
            collector.closed().await;
            group.do_send(GiveUp(ticket));
        });
        // Answers may come while the request is handled: this member is asked, too.
        self.collecting.insert(ticket, steps);
        let input = Input::Ask { ticket, to, payload, collect };
        if let Err(refusal) = self.submit(input, ctx) {
            self.step(ticket, Step::Refused(refusal.into()), true);
        }
    }
}

impl Handler<GiveUp> for Replication {
    type Result = ();
    fn handle(&mut self, GiveUp(ticket): GiveUp, ctx: &mut Self::Context) {
        if self.collecting.remove(&ticket).is_some() {
            self.drive(Input::GiveUp { ticket }, ctx);
        }
    }
}

impl Replication {
    /// Hands one step of a collection to whoever collects.
    pub(crate) fn step(&mut self, ticket: Ticket, step: Step, is_last: bool) {
        if let Some(steps) = self.collecting.get(&ticket) {
            // Whoever no longer collects gives up in a moment.
            let _ = steps.send(step);
        }
        if is_last {
            self.collecting.remove(&ticket);
        }
    }
}
