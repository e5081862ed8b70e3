use std::{collections::BTreeMap, time::Duration};

use foca::{ProbeNumber, Timer};

use super::ClusterIdentity;
use crate::{NodeId, Time};

/// What is to happen at a later moment.
#[derive(Clone, Debug)]
pub(super) enum Alarm {
    Swim(Timer<ClusterIdentity>),
    /// To declare a suspect down, put off once.
    LateVerdict(Timer<ClusterIdentity>),
    /// Look for somebody to talk to.
    Seek,
    /// Read on in the roll call.
    Read,
    /// Send the probe of this number again if it has no answer.
    ProbeAgain(ProbeNumber),
}

impl Alarm {
    fn is_verdict(&self) -> bool {
        matches!(self, Self::LateVerdict(_) | Self::Swim(Timer::ChangeSuspectToDown { .. }))
    }
}

/// Alarms in the order of their time, then of their setting.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    set: BTreeMap<(Time, u64), Alarm>,
    counter: u64,
    /// The one alarm per node that forgets it; a node that comes and goes must not pile them up.
    forgetting: BTreeMap<NodeId, (Time, u64)>,
}

impl Alarms {
    pub(super) fn set(&mut self, at: Time, alarm: Alarm) {
        self.counter += 1;
        let key = (at, self.counter);
        if let Alarm::Swim(Timer::RemoveDown(id)) = &alarm
            && let Some(former) = self.forgetting.insert(id.member.node, key)
        {
            self.set.remove(&former);
        }
        self.set.insert(key, alarm);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.set.keys().next().map(|key| key.0)
    }

    pub(super) fn pop_due(&mut self, now: Time) -> Option<Alarm> {
        let entry = self.set.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (key, alarm) = entry.remove_entry();
        if let Alarm::Swim(Timer::RemoveDown(id)) = &alarm
            && self.forgetting.get(&id.member.node) == Some(&key)
        {
            self.forgetting.remove(&id.member.node);
        }
        Some(alarm)
    }

    /// Drops what SWIM no longer waits for since it lost its standing in the cluster. It would ignore
    /// those alarms anyway, but a peer that keeps declaring this node down must not pile them up.
    pub(super) fn drop_probing(&mut self) {
        self.set.retain(|_, alarm| matches!(alarm, Alarm::Seek | Alarm::Swim(Timer::RemoveDown(_))));
    }

    /// Puts everything off by `span`, in the same order.
    pub(super) fn postpone(&mut self, span: Duration) {
        let all = std::mem::take(&mut self.set);
        self.set = all.into_iter().map(|((at, number), alarm)| ((at + span, number), alarm)).collect();
        for key in self.forgetting.values_mut() {
            key.0 = key.0 + span;
        }
    }

    /// Puts off what would declare suspects down by `span`.
    pub(super) fn postpone_verdicts(&mut self, span: Duration) {
        let (verdicts, rest) = std::mem::take(&mut self.set).into_iter().partition(|(_, it)| it.is_verdict());
        self.set = rest;
        let verdicts: BTreeMap<(Time, u64), Alarm> = verdicts;
        self.set.extend(verdicts.into_iter().map(|((at, number), alarm)| ((at + span, number), alarm)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
