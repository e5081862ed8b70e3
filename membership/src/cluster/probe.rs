//! A probe without an answer is sent again: once alone, then while others probe, too.
//!
//! Textbook SWIM turns to others at the first silence, and three ways there and back suffice to find
//! out that a node is dead. But of datagrams that get lost they make a suspicion now and then, which all
//! nodes hear and pass on, and its refutation after it. As all nodes probe, there are the more of them
//! the more nodes there are, and what gossip costs each node would grow with the cluster. One more
//! datagram each time makes them so rare that it does not.

use bytes::Bytes;
use foca::{Header, Message, ProbeNumber};

use super::{Cluster, ClusterEffect, ClusterIdentity, alarms::Alarm, codec, config};
use crate::Time;

/// So often an unanswered probe is sent again, until the next one is due.
const TIMES: u8 = 3;

/// The latest probe, while it has no answer.
#[derive(Debug)]
pub(super) struct Probe {
    to: ClusterIdentity,
    number: ProbeNumber,
    bytes: Bytes,
    /// How often it may still be sent again.
    left: u8,
}

impl Cluster {
    /// Keeps what is sent in mind if it is a probe.
    pub(super) fn note_probe(&mut self, now: Time, to: ClusterIdentity, bytes: &Bytes) {
        if let Some(number) = codec::probe_number(bytes) {
            self.probe = Some(Probe { to, number, bytes: bytes.clone(), left: TIMES });
            self.alarms.set(now + config::answer_within(self.timing), Alarm::ProbeAgain(number));
        }
    }

    /// An answer, direct or forwarded, ends a probe.
    pub(super) fn note_answer(&mut self, header: &Header<ClusterIdentity>) {
        let (by, number) = match header.message {
            Message::Ack(number) => (header.src, number),
            Message::ForwardedAck { origin, probe_number } => (origin, probe_number),
            _ => return,
        };
        self.probe.take_if(|probe| (probe.to, probe.number) == (by, number));
    }

    /// Sends the probe of this number again if it is the latest, and has no answer.
    pub(super) fn probe_again(&mut self, now: Time, number: ProbeNumber, out: &mut Vec<ClusterEffect>) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number && probe.left > 0) else {
            return;
        };
        probe.left -= 1;
        let (to, bytes) = (probe.to, probe.bytes.clone());
        if self.up.get(&to.member.node) == Some(&to) {
            let bytes = self.tell_suspect(&to, bytes);
            out.push(ClusterEffect::Send { to, bytes });
            self.alarms.set(now + config::answer_within(self.timing), Alarm::ProbeAgain(number));
        }
    }
}
