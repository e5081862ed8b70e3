//! The bus actor's side of what publishers leave for it.

use std::{mem, sync::Arc};

use actix::prelude::*;
use bytes::Bytes;
use quorate_protocols::bus::{Subject, SubscriptionId, Want};
use quorate_transport::{Bundle, Crowd, Frame};

use super::{
    BusActor, Overflow, Publish,
    commands::unheard,
    post::Parcel,
    routes::{Remainder, Target, is_inbox, offer},
    talk::Talk,
};
use crate::wire::Malformed;

/// Something waits in the [`Post`](super::post::Post).
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(super) struct Collect;

impl Handler<Collect> for BusActor {
    type Result = ();
    fn handle(&mut self, _: Collect, ctx: &mut Self::Context) {
        self.collect();
        // An actor whose mailbox never empties would leave nobody else on its thread a turn.
        ctx.wait(tokio::task::yield_now().into_actor(self));
    }
}

impl BusActor {
    /// Sees to what waits, in its order.
    fn collect(&mut self) {
        let mut parcels = mem::take(&mut self.spare);
        let bus = self.addr.clone();
        self.routes.post().take(&mut parcels, || bus.iter().for_each(|bus| bus.do_send(Collect)));
        let count = parcels.len();
        let mut letters: Option<(Subject, Vec<Bytes>)> = None;
        for parcel in parcels.drain(..) {
            if let Parcel::Letter(subject, payload) = parcel {
                match &mut letters {
                    Some((same, payloads)) if *same == subject => payloads.push(payload),
                    other => {
                        if let Some((subject, payloads)) = other.replace((subject, vec![payload])) {
                            self.pass_on_letters(&subject, &payloads);
                        }
                    }
                }
                continue;
            }
            if let Some((subject, payloads)) = letters.take() {
                self.pass_on_letters(&subject, &payloads);
            }
            match parcel {
                Parcel::Letter(..) => {}
                Parcel::Hosted(hosted) => self.on_hosted(hosted),
                Parcel::Publish(publish) => self.on_publish(*publish),
                Parcel::Request(request) => self.request(*request),
                Parcel::Remainder(remainder) => self.give_remainder(*remainder),
            }
        }
        if let Some((subject, payloads)) = letters.take() {
            self.pass_on_letters(&subject, &payloads);
        }
        self.spare = parcels;
        self.routes.post().settle(count);
    }

    /// Sees to all that waits, and lets nothing more be left.
    pub(super) fn collect_last(&mut self) {
        self.routes.forget();
        self.routes.post().shut();
        while !self.routes.post().is_settled() {
            self.collect();
        }
    }

    /// What would have needed no actor if nothing had waited for it goes as fast from here.
    fn on_publish(&mut self, message: Publish) {
        let target = self.routes.read().target(&message.subject, &message.payload);
        if let Some(Target::Subscribers(subscribers)) = target.as_deref() {
            let lacking = offer(subscribers, &message.subject, message.reply_to.as_ref(), &message.payload);
            return if lacking.is_empty() {
                message.done.tell(Ok(()));
            } else {
                self.give_remainder(Remainder { message, lacking });
            };
        }
        self.learn(&message.subject);
        self.publish_now(message);
    }

    /// Passes on what was acknowledged when it was left here.
    fn pass_on_letters(&mut self, subject: &Subject, payloads: &[Bytes]) {
        let Some(nodes) = self.router.plain_nodes(subject) else {
            // A queue group wants some of it since it was left: each message needs a decision.
            for payload in payloads {
                self.pass_on(subject, None, payload, None, unheard(None));
            }
            return;
        };
        let is_wanted_elsewhere = nodes.iter().any(|node| *node != self.me.node);
        let frames = if is_wanted_elsewhere { frames(subject, payloads) } else { Vec::new() };
        for node in nodes {
            if node == self.me.node {
                self.give_letters(subject, payloads);
                continue;
            }
            for frame in &frames {
                if let Err(error) = self.peers.send_frame(node, frame.clone()) {
                    tracing::error!(%node, %subject, %error, "letters were not sent");
                }
            }
        }
    }

    /// Messages from another node.
    pub(super) fn on_letters(&mut self, subject: &Subject, body: Bytes) -> Result<(), Malformed> {
        // Answers come one by one.
        if is_inbox(subject) {
            return Err(Malformed("bus"));
        }
        let bundle = Bundle::read(body).map_err(|_| Malformed("bus"))?;
        let payloads: Vec<Bytes> = bundle.payloads().collect();
        for id in self.give_letters(subject, &payloads) {
            self.hold_back(id);
        }
        Ok(())
    }

    fn give_letters(&mut self, subject: &Subject, payloads: &[Bytes]) -> Vec<SubscriptionId> {
        let subscriptions = self.router.select(subject, true, &[]).subscriptions;
        for id in &subscriptions {
            if let Some(local) = self.locals.get_mut(id) {
                local.give_all(subject, payloads);
            }
        }
        subscriptions
    }

    /// The lanes of the linked nodes on which further messages of a subject go out, if its publishers need
    /// not wait to be told what became of each.
    pub(super) fn lanes_of_letters(&self, subject: &Subject) -> Option<Vec<Arc<Crowd>>> {
        let nodes = self.router.plain_nodes(subject)?;
        let mut lanes = Vec::new();
        for node in nodes {
            let holds = if node == self.me.node {
                let wants = |want: &Want| want.queue.is_none() && want.pattern.matches(subject);
                self.locals.values().any(|it| it.overflow == Overflow::Backpressure && wants(&it.want))
            } else {
                self.holders.holds(node, subject)
            };
            if holds {
                return None;
            }
            lanes.extend(self.peers.lane(node).map(|lane| Arc::clone(lane.crowd())));
        }
        Some(lanes)
    }
}

fn frames(subject: &Subject, payloads: &[Bytes]) -> Vec<Frame> {
    let talk = Talk::Letters { subject: subject.clone() };
    let framed = Bundle::runs(payloads).filter_map(|run| talk.frame(Bundle::join(run)).ok());
    framed.collect()
}
