//! How a group says what it looks like from here.

use actix::prelude::*;
use quorate_membership::{Member, View};
use quorate_protocols as protocols;

use super::{GroupStatus, ViewRecord, Wait, replication::Replication};

impl Replication {
    fn waits(&self) -> Vec<Wait> {
        let mut waits = Vec::new();
        match self.group.view() {
            None if !self.group.has_left() => waits.push(Wait::Admission),
            Some(view) if view.id.is_genesis() => {
                waits.push(Wait::Founders { missing: self.unreachable(view) });
            }
            Some(view) if self.group.is_wedged() => {
                waits.push(Wait::Majority { unreachable: self.unreachable(view) });
            }
            _ => {}
        }
        if self.group.is_sealed() {
            waits.push(Wait::NextView);
        }
        let since = |at| u64::try_from(self.clock.now().since(at).as_millis()).unwrap_or(u64::MAX);
        for wait in self.group.waits() {
            waits.extend(match wait {
                protocols::Wait::Member { node, since: at } => Some(Wait::Member { node, for_ms: since(at) }),
                protocols::Wait::Slow { member, bytes, since: at, acts_at, .. } => {
                    Some(Wait::Slow { member, bytes, for_ms: since(at), policy_acts: acts_at.is_some() })
                }
                protocols::Wait::State { received, length, donor, .. } => {
                    Some(Wait::State { donor, received_bytes: received, length_bytes: length })
                }
                protocols::Wait::Learner { member, bytes, .. } => Some(Wait::Learner { member, bytes }),
                _ => None, // said above in this node's words
            });
        }
        if !self.waiting.is_empty() {
            waits.push(Wait::Window { submissions: self.waiting.len() });
        }
        waits
    }

    fn unreachable(&self, view: &View) -> Vec<Member> {
        let me = self.group.me().node;
        view.acceptors().filter(|m| m.node != me && !self.group.hears(m.node)).collect()
    }

    fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.spec.name().to_owned(),
            order: self.spec.config().order.to_string(),
            partitionable: self.spec.config().partitionable,
            subjects: self.spec.subjects().iter().map(ToString::to_string).collect(),
            view: self.group.view().cloned(),
            rank: self.group.view().and_then(|view| view.rank(self.group.me())),
            wedged: self.group.is_wedged(),
            sealed: self.group.is_sealed(),
            room_bytes: self.group.room(),
            delivered_total: self.delivered,
            waits: self.waits(),
        }
    }
}

#[derive(actix::Message)]
#[rtype(result = "Vec<ViewRecord>")]
pub(crate) struct AskViews;

#[derive(actix::Message)]
#[rtype(result = "Option<GroupStatus>")]
pub(crate) struct AskStatus;

impl Handler<AskViews> for Replication {
    type Result = Vec<ViewRecord>;
    fn handle(&mut self, _: AskViews, _: &mut Self::Context) -> Vec<ViewRecord> {
        self.records.all()
    }
}

impl Handler<AskStatus> for Replication {
    type Result = Option<GroupStatus>;
    fn handle(&mut self, _: AskStatus, _: &mut Self::Context) -> Option<GroupStatus> {
        Some(self.status())
    }
}
