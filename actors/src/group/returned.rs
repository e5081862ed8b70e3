//! What this node itself publishes to a group that it has left: other members take it, under the same stamps.

use actix::prelude::*;
use quorate_protocols::bus::Stamp;

use super::{Publication, replication::Replication};
use crate::bus::{Envelope, Forward, Opened, PublishError, open};

/// A publication of this node itself that its own member of the group did not bring about before it left.
/// The group drops it if it comes through another member and had come all the same.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Returned(pub(crate) Forward);

/// Gives back what has come to nothing here, and from now on whatever still comes. All that was
/// given to this member before it has been given back once this is answered.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct GiveBack(pub(crate) Recipient<Returned>);

/// Publications that come to nothing at a member that has left.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    waiting: Vec<Publication>,
    heir: Option<Recipient<Returned>>,
    /// Whether the actor stops as soon as they are given back.
    retires: bool,
}

/// Stops a member that has left, once it has given back what came to nothing.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

impl Handler<Retire> for Replication {
    type Result = ();
    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        // A witness takes no publications, so nobody asks it for any.
        let is_witness = self.spec.is_witness(self.group.me().node);
        if self.bound.is_none() || is_witness || self.orphans.heir.is_some() {
            return self.stop(ctx);
        }
        self.orphans.retires = true;
    }
}

impl Orphans {
    /// Nobody takes them.
    pub(crate) fn fail_all(&mut self) {
        self.waiting.drain(..).for_each(|it| it.done.tell(Err(PublishError::Stopped)));
    }
}

impl Replication {
    /// This member has left, or is about to, before a publication passed. What this node itself has published is kept until
    /// somebody takes it, and is not settled: later stamps must not say so. Publishers elsewhere are told, and go elsewhere by themselves.
    pub(crate) fn orphan(&mut self, publication: Publication, why: PublishError) {
        let Some(bound) = &mut self.bound else { return };
        let Stamp { publisher, number, .. } = publication.stamp;
        if !bound.core.is_own(publisher) {
            bound.core.give_up(publisher, number);
            publication.done.tell(Err(why));
        } else if let Some(heir) = self.orphans.heir.clone() {
            self.give_back(publication, &heir);
        } else {
            self.orphans.waiting.push(publication);
        }
    }

    fn give_back(&self, publication: Publication, heir: &Recipient<Returned>) {
        let Publication { head, payload, done, .. } = publication;
        match open(&head) {
            Some(Opened::Published(Envelope { stamp, subject, reply_to })) => {
                // It may come to a group that was founded anew and has not heard of what was acknowledged here.
                let stamp = Some(self.bound.as_ref().map_or(stamp, |bound| bound.core.renew(stamp)));
                // The publishers' room bounds how many there are.
                heir.do_send(Returned(Forward {
                    group: self.spec.id(),
                    stamp,
                    subject,
                    reply_to,
                    payload,
                    done,
                }));
            }
            _ => done.tell(Err(PublishError::Left)), // never: this node has written it
        }
    }
}

impl Handler<GiveBack> for Replication {
    type Result = ();
    fn handle(&mut self, GiveBack(heir): GiveBack, ctx: &mut Self::Context) {
        self.admit(ctx); // what still waits is refused
        let mut waiting = std::mem::take(&mut self.orphans.waiting);
        // What was under way has become one later than what was refused.
        waiting.sort_by_key(|publication| publication.stamp.number);
        for publication in waiting {
            self.give_back(publication, &heir);
        }
        self.orphans.heir = Some(heir);
        if self.orphans.retires {
            self.stop(ctx);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate_membership::{Incarnation, Member, NodeId};
    use quorate_protocols::{Input, bus::PublisherId};
    use tokio::sync::oneshot;

    use super::{
        super::{Done, Feed, PublishBound, alone},
        *,
    };
    use crate::config::{GroupSettings, GroupSpec};

    /// The subjects of what it got, and what the stamps say is settled.
    #[derive(Default)]
    struct Heir(Vec<(String, u64)>);

    impl Actor for Heir {
        type Context = Context<Self>;
    }

    impl Handler<Returned> for Heir {
        type Result = ();
        fn handle(&mut self, Returned(forward): Returned, _: &mut Self::Context) {
            self.0.push((forward.subject.to_string(), forward.stamp.expect("it has one").settled));
        }
    }

    #[derive(actix::Message)]
    #[rtype(result = "Vec<(String, u64)>")]
    struct Got;

    impl Handler<Got> for Heir {
        type Result = Vec<(String, u64)>;
        fn handle(&mut self, _: Got, _: &mut Self::Context) -> Vec<(String, u64)> {
            self.0.clone()
        }
    }

    fn publisher(session: u64) -> PublisherId {
        PublisherId { member: Member::new(NodeId::new(4), Incarnation::new(1)), session }
    }

    fn publish(
        group: &Addr<Replication>,
        stamp: Option<Stamp>,
        subject: &str,
    ) -> oneshot::Receiver<Result<(), PublishError>> {
        let (asker, outcome) = oneshot::channel();
        let (subject, payload, done) = (subject.parse().unwrap(), "it".into(), Done::Once(asker, None));
        group.do_send(PublishBound { stamp, subject, reply_to: None, payload, done });
        outcome
    }

    #[actix::test]
    async fn the_heir_has_all_that_came_before_it_in_order_and_publishers_elsewhere_are_told() {
        let spec = GroupSpec::try_from(GroupSettings::new("log", [1, 2]).bind("log.>")).unwrap();
        let (group, _) = alone::start(Arc::new(spec), publisher(1));
        let heir = Heir::default().start();
        let elsewhere = Stamp { publisher: publisher(2), number: 1, previous: 0, settled: 0 };
        let mut outcomes = vec![publish(&group, None, "log.waits")];
        let waited = publish(&group, Some(elsewhere), "log.elsewhere");
        group.send(Feed(Input::Wake)).await.unwrap(); // until the group has taken them
        group.send(Feed(Input::Leave)).await.unwrap();
        outcomes.push(publish(&group, None, "log.refused"));
        let refused = publish(&group, Some(Stamp { number: 2, previous: 1, ..elsewhere }), "log.elsewhere");
        group.send(GiveBack(heir.clone().recipient())).await.unwrap();
        assert_eq!(
            heir.send(Got).await.unwrap(),
            [("log.waits".to_owned(), 0), ("log.refused".to_owned(), 0)]
        );
        outcomes.push(publish(&group, None, "log.late"));
        assert_eq!(waited.await.unwrap(), Err(PublishError::Stopped));
        assert_eq!(refused.await.unwrap(), Err(PublishError::Left));
        // Their publishers wait as long as the heir does, which here does not at all.
        for outcome in outcomes {
            assert!(outcome.await.is_err());
        }
        assert_eq!(
            heir.send(Got).await.unwrap().last().unwrap(),
            &("log.late".to_owned(), 0),
            "nothing is settled"
        );
        group.send(Retire).await.unwrap();
        assert!(group.send(Retire).await.is_err(), "it is not needed any more");
    }

    #[actix::test]
    async fn a_member_that_retires_gives_back_first() {
        let spec = GroupSpec::try_from(GroupSettings::new("log", [1, 2]).bind("log.>")).unwrap();
        let (group, _) = alone::start(Arc::new(spec), publisher(1));
        let heir = Heir::default().start();
        group.send(Feed(Input::Leave)).await.unwrap();
        let _outcome = publish(&group, None, "log.refused");
        group.do_send(Retire);
        group.send(GiveBack(heir.clone().recipient())).await.unwrap();
        assert_eq!(heir.send(Got).await.unwrap(), [("log.refused".to_owned(), 0)]);
        assert!(group.send(Feed(Input::Wake)).await.is_err(), "it has stopped");
    }
}
