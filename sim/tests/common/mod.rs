//! A small language for schedules that are played over several seeds.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use quorate_membership::{Member, NodeId, Seq, Time, View, ViewId, agreement::Breach};
use quorate_protocols::{Event, Order};
use quorate_sim::{Fault, History, Outcome, Schedule, Settings, observe, run};

pub(crate) const fn n(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(crate) fn ms(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

/// What goes wrong in which cluster.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    settings: Settings,
    schedule: Schedule,
    /// Messages that have to become uniform, or the run proves nothing.
    least: u64,
}

/// Five nodes in uniform order, for ten simulated seconds.
pub(crate) fn play() -> Play {
    let settings =
        Settings { order: Some(Order::Uniform), faults_for: Duration::from_secs(10), ..Settings::new(0) };
    Play { settings, schedule: Schedule::quiet(), least: 50 }
}

impl Play {
    pub(crate) fn nodes(mut self, nodes: u64) -> Self {
        self.settings.nodes = nodes;
        self
    }

    pub(crate) fn witness(mut self) -> Self {
        self.settings.witness = true;
        self
    }

    pub(crate) fn order(mut self, order: Order) -> Self {
        self.settings.order = Some(order);
        self
    }

    pub(crate) fn seconds(mut self, seconds: u64) -> Self {
        self.settings.faults_for = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn least(mut self, uniform: u64) -> Self {
        self.least = uniform;
        self
    }

    /// Something goes wrong from one millisecond to another.
    pub(crate) fn fault(mut self, begin: u64, end: u64, fault: Fault) -> Self {
        self.schedule = self.schedule.and(begin, end, fault);
        self
    }

    /// Plays it with these seeds; every promise has to hold, and each run is shown to `look`.
    pub(crate) fn hold(&self, seeds: impl IntoIterator<Item = u64>, look: impl Fn(&Run)) {
        for seed in seeds {
            let settings = Settings { seed, ..self.settings };
            let (outcome, history) = observe(&settings, &self.schedule);
            assert_eq!(outcome.violation, None, "seed {seed}");
            assert!(outcome.tally.uniform >= self.least, "seed {seed}: hardly anything happened");
            look(&Run { seed, outcome, history });
        }
    }

    /// Plays it with a rule broken: one of the seeds has to notice.
    pub(crate) fn notices(&self, breach: Breach, seeds: impl IntoIterator<Item = u64>) {
        let mut seeds = seeds.into_iter();
        let noticed = seeds.any(|seed| {
            let settings = Settings { seed, breach: Some(breach), ..self.settings };
            let found = catch_unwind(AssertUnwindSafe(|| run(&settings, &self.schedule).violation));
            found.is_err() || found.is_ok_and(|violation| violation.is_some())
        });
        assert!(noticed, "{breach:?} goes unnoticed: the schedule does not attack it");
    }

    /// Plays it with a rule broken: with one of the seeds a promise is broken, or `look`, which
    /// [`Self::hold`] is given as well, does not find what it asserts.
    pub(crate) fn fails(
        &self,
        breach: Breach,
        seeds: impl IntoIterator<Item = u64>,
        look: impl Fn(&Run) + Copy,
    ) {
        let broken = self.clone().with(|settings| settings.breach = Some(breach));
        let fails = |seed| catch_unwind(AssertUnwindSafe(|| broken.hold([seed], look))).is_err();
        assert!(seeds.into_iter().any(fails), "{breach:?} goes unnoticed: the schedule does not attack it");
    }
}

/// One run that kept every promise.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    pub(crate) history: History,
}

impl Run {
    /// The messages that a life delivered in a view: senders and frames.
    pub(crate) fn delivered(&self, node: NodeId, life: u64, epoch: u64) -> BTreeSet<(Member, Seq, u32)> {
        let all = self.history.of(node, Time::ZERO, ms(u64::MAX / 2_000_000));
        let of_life = all.filter(|seen| seen.by.incarnation.get() == life);
        let messages = of_life.filter_map(|seen| match &seen.event {
            Event::Message { view, sender, seq, index, .. } if view.epoch == epoch => {
                Some((*sender, *seq, *index))
            }
            _ => None,
        });
        messages.collect()
    }

    /// Those among them that were marked as uniform.
    pub(crate) fn delivered_as_uniform(
        &self,
        node: NodeId,
        life: u64,
        epoch: u64,
    ) -> BTreeSet<(Member, Seq, u32)> {
        let all = self.history.all().iter().filter(|seen| seen.by.node == node);
        let of_life = all.filter(|seen| seen.by.incarnation.get() == life);
        let marked = of_life.filter_map(|seen| match &seen.event {
            Event::Message { view, sender, seq, index, uniform: true, .. } if view.epoch == epoch => {
                Some((*sender, *seq, *index))
            }
            _ => None,
        });
        marked.collect()
    }

    /// The views that a node entered within these milliseconds.
    pub(crate) fn views(&self, node: u64, from: u64, to: u64) -> Vec<View> {
        self.history.views_of(n(node), ms(from), ms(to))
    }

    /// The first view with this number that anybody entered.
    pub(crate) fn view(&self, epoch: u64) -> View {
        let all = self.history.all().iter().find_map(|seen| match &seen.event {
            Event::View(view) if view.id.epoch == epoch => Some((**view).clone()),
            _ => None,
        });
        all.unwrap_or_else(|| panic!("seed {}: nobody entered v{epoch}", self.seed))
    }

    /// Messages that a node delivered within these milliseconds.
    pub(crate) fn count(&self, node: u64, from: u64, to: u64) -> usize {
        self.history.deliveries(n(node), ms(from), ms(to))
    }

    /// When a node first entered the view with this number.
    pub(crate) fn entered(&self, node: u64, epoch: u64) -> Option<Time> {
        let such = |event: &Event| matches!(event, Event::View(view) if view.id.epoch == epoch);
        self.history.first(n(node), Time::ZERO, such).map(|seen| seen.at)
    }

    /// Asserts that each life's events are views, each followed by messages of that view alone.
    pub(crate) fn assert_one_stream(&self) {
        let mut present: BTreeMap<Member, ViewId> = BTreeMap::new();
        for seen in self.history.all() {
            match &seen.event {
                Event::View(view) => {
                    present.insert(seen.by, view.id);
                }
                Event::Message { view, .. } => {
                    assert_eq!(present.get(&seen.by), Some(view), "seed {}: {seen:?}", self.seed);
                }
                _ => {}
            }
        }
    }
}

/// The nodes of a view.
pub(crate) fn nodes(view: &View) -> Vec<u64> {
    view.acceptors().map(|member| member.node.get()).collect()
}

/// The longest time from one moment to another in which a node delivered nothing.
pub(crate) fn longest_silence(history: &History, node: u64, from: Time, to: Time) -> Duration {
    let heard = history.of(n(node), from, to).filter(|seen| matches!(seen.event, Event::Message { .. }));
    let moments: Vec<Time> = [from].into_iter().chain(heard.map(|seen| seen.at)).chain([to]).collect();
    moments.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default()
}
