//! How a group says what it looks like from here.

use std::time::Duration;

use actix::prelude::*;
use quorate_membership::{Member, Time, View};
use quorate_protocols as protocols;

use super::{GroupStatus, MemberFrontier, ViewRecord, Wait, replication::Replication};

impl Replication {
    fn waits(&self) -> Vec<Wait> {
        let now = self.clock.now();
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (since, until) = (|at: Time| ms(now.since(at)), |at: Time| ms(at.since(now)));
        let standing = since(self.standing_since);
        let unreachable = || self.group.view().map(|view| self.unreachable(view)).unwrap_or_default();
        let broken_link = self.spec.config().timing.broken_link();
        let said = |wait| {
            Some(match wait {
                protocols::Wait::Founders { until: at, .. } => {
                    Wait::Founders { missing: unreachable(), for_ms: standing, majority_in_ms: until(at) }
                }
                protocols::Wait::Admission { .. } => Wait::Admission { for_ms: standing },
                protocols::Wait::Majority { .. } => {
                    let voters = self.group.view().map_or(0, |view| view.acceptors().count());
                    Wait::Majority { unreachable: unreachable(), voters, for_ms: standing }
                }
                protocols::Wait::ViewChange { since: at, coordinator, .. } => {
                    Wait::NextView { coordinator, for_ms: since(at) }
                }
                protocols::Wait::Cut { since: at, .. } => {
                    Wait::NextView { coordinator: None, for_ms: since(at) }
                }
                protocols::Wait::Member { node, since: at } => {
                    Wait::Member { node, for_ms: since(at), broken_link_in_ms: until(at + broken_link) }
                }
                protocols::Wait::Slow { member, bytes, since: at, policy, acts_at } => Wait::Slow {
                    member,
                    bytes,
                    for_ms: since(at),
                    policy: policy.to_string(),
                    acts_in_ms: acts_at.map(until),
                },
                protocols::Wait::State {
                    received,
                    length,
                    donor,
                    since: at,
                    silent,
                    refused,
                    asks_at,
                    ..
                } => Wait::State {
                    donor,
                    received_bytes: received,
                    length_bytes: length,
                    for_ms: since(at),
                    silent,
                    refused,
                    asks_in_ms: asks_at.map(until),
                },
                protocols::Wait::Stranger { node, differs } => Wait::Stranger { node, differs },
                protocols::Wait::Learner { member, bytes, since: at, barred_until } => {
                    Wait::Learner { member, bytes, for_ms: since(at), barred_for_ms: barred_until.map(until) }
                }
                _ => return None,
            })
        };
        let mut waits: Vec<Wait> = self.group.waits().into_iter().filter_map(said).collect();
        if !self.waiting.is_empty() {
            let for_ms = self.full_since.map_or(0, since);
            waits.push(Wait::Window { submissions: self.waiting.len(), for_ms });
        }
        waits
    }

    fn frontiers(&self) -> Vec<MemberFrontier> {
        let now = self.clock.now();
        let ms = |since: Time| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let said = |frontier: protocols::Frontier| MemberFrontier {
            member: frontier.member,
            received_frames: frontier.received,
            behind_bytes: frontier.behind_bytes,
            behind_for_ms: frontier.behind_since.map(ms),
        };
        self.group.frontiers().into_iter().map(said).collect()
    }

    fn unreachable(&self, view: &View) -> Vec<Member> {
        let me = self.group.me().node;
        view.acceptors().filter(|m| m.node != me && !self.group.hears(m.node)).collect()
    }

    fn status(&self) -> GroupStatus {
        let config = self.spec.config();
        GroupStatus {
            name: self.spec.name().to_owned(),
            order: config.order.to_string(),
            partitionable: config.partitionable,
            slow: config.slow.to_string(),
            lag_for_ms: u64::try_from(config.lag_for.as_millis()).unwrap_or(u64::MAX),
            lag_bytes: config.lag_bytes_max,
            subjects: self.spec.subjects().iter().map(ToString::to_string).collect(),
            founders: config.founders.clone(),
            witnesses: config.witnesses.clone(),
            view: self.group.view().cloned(),
            rank: self.group.view().and_then(|view| view.rank(self.group.me())),
            wedged: self.group.is_wedged(),
            sealed: self.group.is_sealed(),
            room_bytes: self.group.room(),
            delivered_total: self.delivered,
            frontiers: self.frontiers(),
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
