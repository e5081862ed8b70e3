//! The one place where what a group decided is carried out.

use actix::prelude::*;
use quorate_protocols::{Effect, Effects, Event, Fate, Input, Ticket};
use tokio::sync::mpsc;

use crate::{
    codec,
    replication::{Outgoing, Replication, SendError},
};

impl Replication {
    /// Carries out effects in the order in which they were pushed.
    pub(crate) fn perform(&mut self, effects: Effects, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => match codec::encode(message) {
                    // A full outlet is a lossy link: the core asks again for what is missing.
                    Ok(packet) => {
                        if self.outlet.try_send(Outgoing { to, packet }).is_err() {
                            metrics::counter!("quorate_outgoing_lost_total").increment(1);
                        }
                    }
                    Err(error) => tracing::error!(%error, "a message was not sent"),
                },
                Effect::Deliver(event) => self.tell(&event),
                Effect::Fate { ticket, fate } => self.settle(ticket, fate),
                Effect::WakeAt(at) => {
                    let wait = at.since(self.clock.now());
                    ctx.run_later(wait, |actor, ctx| actor.drive(Input::Wake, ctx));
                }
                other => tracing::error!(?other, "an effect that this version does not know"),
            }
        }
    }

    fn tell(&mut self, event: &Event) {
        self.readers.retain(|reader| match reader.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("quorate_readers_overrun_total").increment(1);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
        let Some(asker) = self.askers.remove(&ticket) else { return };
        // The asker may have stopped waiting; the fate stands all the same.
        let _ = asker.send(match fate {
            Fate::Uniform | Fate::Everywhere => Ok(()),
            Fate::Lost => Err(SendError::Lost),
            _ => Err(SendError::Unknown),
        });
    }
}
