//! Telling other nodes for whom here publishers are to wait, as [`Holders`] says.
//!
//! [`Holders`]: quorate_protocols::bus::Holders

use quorate_protocols::bus::{SubscriptionId, Want};

use super::{BusActor, Overflow, talk::Talk};

impl BusActor {
    /// A subscriber here got what another node has passed on: if it waits, publishers there are to wait, too.
    pub(super) fn hold_back(&mut self, id: SubscriptionId) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        let waits = local.overflow == Overflow::Backpressure && local.has_backlog();
        if waits && !std::mem::replace(&mut local.holds, true) && self.holders.hold(local.want.clone()) {
            self.peers.say_all(&Talk::Hold(local.want.clone()));
        }
    }

    /// A subscriber here that held publishers back has room again, or is gone.
    pub(super) fn let_go(&mut self, want: Want) {
        if self.holders.let_go(&want) {
            self.peers.say_all(&Talk::Go(want));
        }
    }
}
