//! What a machine that serves others does in a group and for a subject: one conversation with one of them.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use quorate::{GroupEvents, GroupSettings, NodeSettings, SubscribeOptions, Subscription, protocols::Order};
use quorate_transport::{Credentials, Lane, LaneReceiver, Link};

use super::{
    talk::{hear, say},
    words::{Ask, RawAt, Said, decode},
};
use crate::{
    BenchError, bus,
    multicast::flow,
    places::{GROUP, Place, Trouble},
};

/// What all conversations share.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) credentials: Credentials,
    /// Where nodes listen that are members of groups.
    pub(super) listen: SocketAddr,
    pub(super) raw: Arc<RawAt>,
}

impl Served {
    /// Where nodes listen: two ports beside the links, behind the baseline; anywhere if those are anywhere.
    pub(super) fn beside(links: SocketAddr) -> Result<SocketAddr, BenchError> {
        let port = if links.port() == 0 { Some(0) } else { links.port().checked_add(2) };
        let port =
            port.ok_or_else(|| BenchError::Settings("there are no two ports beside: choose another".into()))?;
        Ok(SocketAddr::new(links.ip(), port))
    }

    /// Answers until the other machine ends the conversation. Within an actix system only.
    pub(super) async fn converse(
        &self,
        link: Arc<dyn Link>,
        mut asks: Box<dyn LaneReceiver>,
    ) -> Result<(), BenchError> {
        let mut answers = link.open(Lane::Control).await.map_err(BenchError::ours)?;
        let mut member = None;
        let ended = async {
            while let Some(body) = hear(&mut *asks).await? {
                let said = match decode(&body) {
                    Ok(ask) => self.answer(ask, &mut member).await,
                    Err(other) => Err(other),
                };
                say(&mut *answers, &said.unwrap_or_else(refusal)).await?;
            }
            Ok(())
        };
        // A machine that has gone is not waited for in the middle of a round.
        let ended = match select(pin!(ended), link.closed()).await {
            Either::Left((ended, _)) => ended,
            Either::Right((why, _)) => Err(BenchError::ours(why)),
        };
        if let Some(member) = member {
            member.stop().await;
        }
        ended
    }

    async fn answer(&self, ask: Ask, member: &mut Option<Member>) -> Result<Said, BenchError> {
        if let Ask::Baseline = ask {
            return Ok(Said::Baseline((*self.raw).clone()));
        }
        if let Ask::Leave = ask {
            if let Some(member) = member.take() {
                member.stop().await;
            }
            return Ok(Said::Done);
        }
        if let Ask::Join { members, seeds, order } = ask {
            let (credentials, listen) = (self.credentials.clone(), self.listen);
            let joined =
                Member::join(credentials, listen, (members, seeds), order).await.map_err(|error| {
                    BenchError::Ours(format!(
                        "no node starts: {error} (that of a measurement that was broken off goes within 20 s)"
                    ))
                })?;
            let port = joined.place.addr().port();
            *member = Some(joined);
            return Ok(Said::Joined { port });
        }
        let member = member.as_mut().ok_or_else(|| BenchError::ours("no node was asked for"))?;
        match ask {
            Ask::Await => member.founded().await.map(|()| Said::Done),
            Ask::Subscribe { subject, requests } => {
                member.subscribe(&subject, requests).await.map(|()| Said::Done)
            }
            Ask::CountGroup => member.count_group().await.map(Said::Counted),
            Ask::CountSubject => member.count_subject().await.map(Said::Counted),
            Ask::Baseline | Ask::Join { .. } | Ask::Leave => unreachable!("answered above"),
        }
    }
}

fn refusal(error: BenchError) -> Said {
    Said::Refused(match error {
        BenchError::Ours(why) => why,
        other => other.to_string(),
    })
}

/// A node, and what it reads.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    members: usize,
    reader: Option<GroupEvents>,
    subscribed: Option<Subscription>,
}

impl Member {
    /// Starts a node whose group these members found, with those that listen there.
    pub(super) async fn join(
        credentials: Credentials,
        listen: SocketAddr,
        (members, seeds): (Vec<u64>, Vec<SocketAddr>),
        order: Order,
    ) -> Result<Self, BenchError> {
        let identity = credentials.identity();
        let mut settings = NodeSettings::new(identity.node.get(), identity.cluster.as_str(), listen);
        settings.seeds = seeds;
        let count = members.len();
        settings.groups.push(GroupSettings::new(GROUP, members).order(order));
        let place = Place::start(settings, credentials, Trouble::Nothing).await?;
        Ok(Self { place, members: count, reader: None, subscribed: None })
    }

    /// Waits until all members are in one view, and reads what is delivered from then on.
    pub(super) async fn founded(&mut self) -> Result<(), BenchError> {
        self.place.founded(self.members).await?;
        self.reader = Some(self.place.events().await?);
        Ok(())
    }

    async fn subscribe(&mut self, subject: &str, requests: bool) -> Result<(), BenchError> {
        let bus = self.place.node().bus();
        if !requests {
            let subscribed = bus.subscribe(subject, bus::counting()).await.map_err(BenchError::ours)?;
            self.subscribed = Some(subscribed);
            return Ok(());
        }
        let asked = bus.subscribe(subject, SubscribeOptions::default()).await.map_err(BenchError::ours)?;
        // It ends with the node.
        let answering = move |_| async {
            actix_rt::spawn(bus::answer(bus, asked));
            Ok(())
        };
        self.place.at(answering).await
    }

    /// Stops the node.
    pub(super) async fn stop(self) {
        self.place.stop().await;
        self.place.end();
    }

    /// Counts what the group delivers until the last message of a round.
    pub(super) async fn count_group(&mut self) -> Result<u64, BenchError> {
        let reader = self.reader.take().ok_or_else(|| BenchError::ours("a round failed before"))?;
        let (reader, received, _) = self.place.at(move |_| flow::receive(reader, 1)).await?;
        self.reader = Some(reader);
        Ok(received)
    }

    async fn count_subject(&mut self) -> Result<u64, BenchError> {
        let reader = self.subscribed.take().ok_or_else(|| BenchError::ours("nothing was subscribed to"))?;
        let (reader, received) = self.place.at(move |_| bus::receive(Some(reader), 1)).await?;
        self.subscribed = reader;
        Ok(received)
    }
}
