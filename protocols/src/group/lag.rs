//! Members that hold the others back, and what the group's policy does about them.
//!
//! A member lags while it lacks what a majority of the others has. The measure is relative: a
//! group that is slow as a whole has nobody to blame. Every data member measures, and reports; the
//! coordinator acts.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use quorate_membership::{Change, Member, NodeId, Seq, Time, View};

use super::{Effect, Effects, Event, Group};

/// Doublings of the back-off of a member that is too slow again and again.
const BACKOFF_DOUBLINGS_MAX: u32 = 6;

/// Data members with which one is compared, at least: a single one may be the sender of all that is lacking.
const OTHERS_MIN: usize = 2;

/// What a group does about a member that lags for longer than its limits allow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Nothing: the others wait for it.
    #[default]
    Block,
    /// It becomes a learner, for whom nobody waits, and a data member again once it has kept up
    /// until the end of a back-off.
    Demote,
    /// It is removed, and admitted again after a back-off.
    Evict,
}

impl SlowPolicy {
    /// All policies, the mildest first.
    pub const ALL: [Self; 3] = [Self::Block, Self::Demote, Self::Evict];
}

impl fmt::Display for SlowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "block",
            Self::Demote => "demote",
            Self::Evict => "evict",
        })
    }
}

/// A word that names no policy for slow members.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no policy for slow members: choose block, demote or evict")]
pub struct NotASlowPolicy(String);

impl FromStr for SlowPolicy {
    type Err = NotASlowPolicy;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|policy| policy.to_string() == word);
        named.ok_or_else(|| NotASlowPolicy(word.into()))
    }
}

/// How one member has been behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Lag {
    /// What it lacked at some moment and has not all received since.
    behind: Option<(Time, Vec<Seq>)>,
    /// Since when it has been more bytes behind than the limit allows.
    over: Option<Time>,
    bytes: usize,
    reported: bool,
}

impl Lag {
    fn measure(&mut self, now: Time, received: &[Seq], held: Vec<Seq>, (bytes, max): (usize, usize)) {
        let lacks = |target: &[Seq]| received.iter().zip(target).any(|(has, wants)| has < wants);
        if !self.behind.as_ref().is_some_and(|(_, target)| lacks(target)) {
            self.behind = lacks(&held).then_some((now, held));
        }
        self.over = if bytes > max { self.over.or(Some(now)) } else { None };
        self.bytes = bytes;
    }

    /// Since when it lags.
    pub(super) fn since(&self) -> Option<Time> {
        let behind = self.behind.as_ref().map(|(since, _)| *since);
        behind.into_iter().chain(self.over).min()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A member that was too slow stays out until the moment.
#[derive(Clone, Copy, Debug)]
struct Penalty {
    count: u32,
    until: Time,
}

/// Who lags, and who has to stay out for having lagged.
#[derive(Debug, Default)]
pub(super) struct Lags {
    lags: BTreeMap<Member, Lag>,
    penalties: BTreeMap<NodeId, Penalty>,
}

impl Lags {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Member, &Lag)> {
        self.lags.iter()
    }

    pub(super) fn get(&self, member: Member) -> Option<&Lag> {
        self.lags.get(&member)
    }

    /// A new view: everybody starts level, and those that it calls too slow get their back-off.
    pub(super) fn on_view(&mut self, now: Time, view: &View, lag_for: Duration) {
        self.lags.clear();
        for (member, _) in view.changes.iter().filter(|(_, change)| *change == Change::TooSlow) {
            let before = self.penalties.get(&member.node).map_or(0, |penalty| penalty.count);
            let until = now + lag_for * (1 << before.min(BACKOFF_DOUBLINGS_MAX));
            self.penalties.insert(member.node, Penalty { count: before + 1, until });
        }
    }

    /// Whether a member that was too slow has to wait still.
    pub(super) fn is_barred(&self, now: Time, node: NodeId) -> bool {
        self.penalties.get(&node).is_some_and(|penalty| now < penalty.until)
    }

    /// When it may come back.
    pub(super) fn barred_until(&self, node: NodeId) -> Option<Time> {
        self.penalties.get(&node).map(|penalty| penalty.until)
    }

    /// Good conduct for many times the longest back-off ends the record.
    fn forgive(&mut self, now: Time, lag_for: Duration) {
        self.penalties.retain(|_, penalty| now < penalty.until + lag_for * (2 << BACKOFF_DOUBLINGS_MAX));
    }
}

/// How far a member is, as its group knows here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frontier {
    /// The member, be it a data member or a learner.
    pub member: Member,
    /// Frames of the view, of all senders together, that it has received without a gap.
    pub received: u64,
    /// Bytes that it lacks of what a majority of the others has; `None` for this member itself, of which the
    /// others judge.
    pub behind_bytes: Option<usize>,
    /// Since when it lags.
    pub behind_since: Option<Time>,
}

impl Group {
    /// How far each data member and learner of the view is: what was heard of them last, and how much they
    /// lack as it was measured last. Empty outside, and at a witness, which hears of none of this.
    pub fn frontiers(&self) -> Vec<Frontier> {
        let (Some(view), Some(stream)) = (&self.view, &self.stream) else { return Vec::new() };
        let frontier = |member: Member, received: &[Seq]| {
            let lag = self.lags.get(member);
            Frontier {
                member,
                received: received.iter().map(|seq| seq.get()).sum(),
                behind_bytes: (member != self.me).then(|| lag.map_or(0, Lag::bytes)),
                behind_since: lag.and_then(Lag::since),
            }
        };
        let members = view.members.iter().enumerate();
        let members = members.map(|(rank, member)| (*member, &stream.row_of(rank).received[..]));
        let learners = view.learners.iter().enumerate();
        let learners = learners.map(|(index, member)| (*member, stream.learned(index).unwrap_or_default()));
        let all = members.chain(learners);
        all.map(|(member, received)| match member {
            me if me == self.me => frontier(me, &stream.holdings()),
            other => frontier(other, received),
        })
        .collect()
    }

    pub(super) fn tick_lags(&mut self, out: &mut Effects) {
        let lag_for = self.config.lag_for;
        self.lags.forgive(self.now, lag_for);
        let (Some(view), Some(stream)) = (&self.view, &self.stream) else { return };
        if !self.is_open() || self.wedged {
            // Nobody acknowledges now, so nobody is late.
            self.lags.lags.clear();
            return;
        }
        // Who comes last in the row of those that hand frames on is behind at every moment: then the time counts.
        let max = if self.is_relaying() { usize::MAX } else { self.config.lag_bytes_max };
        // So is the only receiver of one that sends.
        let max_of_member = if view.members.len() > OTHERS_MIN { max } else { usize::MAX };
        let ranks = view.members.iter().enumerate().filter(|(_, m)| **m != self.me);
        for (rank, member) in ranks {
            let (received, held) = (&stream.row_of(rank).received, stream.held_by_others(Some(rank)));
            let bytes = stream.bytes_between(received, &held);
            let lag = self.lags.lags.entry(*member).or_default();
            lag.measure(self.now, received, held, (bytes, max_of_member));
        }
        for (index, member) in view.learners.iter().enumerate() {
            let (Some(received), held) = (stream.learned(index), stream.held_by_others(None)) else {
                continue;
            };
            let bytes = stream.bytes_between(received, &held);
            self.lags.lags.entry(*member).or_default().measure(self.now, received, held, (bytes, max));
        }
        self.report_lags(out);
    }

    /// Says so once when half of the time is over, and once when it is made up for.
    fn report_lags(&mut self, out: &mut Effects) {
        let Some(view) = &self.view else { return };
        let (now, lag_for) = (self.now, self.config.lag_for);
        let acts = self.config.slow != SlowPolicy::Block;
        for (&member, lag) in &mut self.lags.lags {
            if view.learners.contains(&member) {
                continue; // nobody waits for it
            }
            let since = lag.since().filter(|since| now >= *since + lag_for / 2);
            match since {
                Some(since) if !lag.reported => {
                    lag.reported = true;
                    let policy_acts_at = acts.then_some(since + lag_for);
                    let bytes = lag.bytes;
                    out.push(Effect::Deliver(Event::Lagging { member, bytes, since, policy_acts_at }));
                }
                None if lag.reported => {
                    lag.reported = false;
                    out.push(Effect::Deliver(Event::CaughtUp { member }));
                }
                _ => {}
            }
        }
    }

    /// The member that the policy acts upon now. One at a time: when it is gone the others may be
    /// well again.
    pub(super) fn too_slow(&self) -> Option<Member> {
        self.too_slow_since(self.now - self.config.lag_for).next()
    }

    /// Reachable data members that lag since this moment or longer, if the policy minds.
    pub(super) fn too_slow_since(&self, limit: Time) -> impl Iterator<Item = Member> + '_ {
        let minds = self.config.slow != SlowPolicy::Block;
        let late = move |lag: &Lag| minds && lag.since().is_some_and(|since| since <= limit);
        let late = self.lags.lags.iter().filter(move |(_, lag)| late(lag)).map(|(member, _)| *member);
        late.filter(|member| {
            let counts = self.view.as_ref().is_some_and(|view| view.members.contains(member));
            counts && self.reachable.contains(&member.node)
        })
    }
}
