//! What this node itself publishes to a group that it has left: other members take it, under the same stamps.

use actix::prelude::*;

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
}

impl Orphans {
    /// Nobody takes them.
    pub(crate) fn fail_all(&mut self) {
        self.waiting.drain(..).for_each(|it| it.done.tell(Err(PublishError::Stopped)));
    }
}

impl Replication {
    /// This member has left, or is about to, before a publication passed. What this node itself has published is kept until
    /// somebody takes it; publishers elsewhere are told, and go elsewhere by themselves.
    pub(crate) fn orphan(&mut self, publication: Publication, why: PublishError) {
        let Some(bound) = &mut self.bound else { return };
        let Publication { publisher, number, .. } = publication;
        bound.core.give_up(publisher, number);
        if !bound.core.is_own(publisher) {
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
                let stamp = Some(stamp);
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
        for publication in std::mem::take(&mut self.orphans.waiting) {
            self.give_back(publication, &heir);
        }
        self.orphans.heir = Some(heir);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quorate_membership::{Incarnation, Member, NodeId};
    use quorate_protocols::{
        Input,
        bus::{PublisherId, Stamp},
    };
    use tokio::sync::oneshot;

    use super::{
        super::{Done, Feed, PublishBound, alone},
        *,
    };
    use crate::config::{GroupSettings, GroupSpec};

    /// The subjects of what it got.
    #[derive(Default)]
    struct Heir(Vec<String>);

    impl Actor for Heir {
        type Context = Context<Self>;
    }

    impl Handler<Returned> for Heir {
        type Result = ();
        fn handle(&mut self, Returned(forward): Returned, _: &mut Self::Context) {
            self.0.push(forward.subject.to_string());
        }
    }

    #[derive(actix::Message)]
    #[rtype(result = "Vec<String>")]
    struct Got;

    impl Handler<Got> for Heir {
        type Result = Vec<String>;
        fn handle(&mut self, _: Got, _: &mut Self::Context) -> Vec<String> {
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
        assert_eq!(heir.send(Got).await.unwrap(), ["log.waits", "log.refused"]);
        outcomes.push(publish(&group, None, "log.late"));
        assert_eq!(waited.await.unwrap(), Err(PublishError::Stopped));
        assert_eq!(refused.await.unwrap(), Err(PublishError::Left));
        // Their publishers wait as long as the heir does, which here does not at all.
        for outcome in outcomes {
            assert!(outcome.await.is_err());
        }
        assert_eq!(heir.send(Got).await.unwrap().last().unwrap(), "log.late");
    }
}
