//! One run of whole nodes from one seed.

use std::time::Duration;

use quorate_membership::{NodeId, Time, agreement::Breach};
use quorate_protocols::{SlowPolicy, bus::BusBreach};
use rand::{SeedableRng, rngs::SmallRng};

use super::{CARRIERS, CLIENTS, NODES, WITNESS, WholeTally, World, client::client_node};
use crate::{Fault, Schedule, Violation};

/// What a run is made of; everything else follows from the seed.
#[derive(Clone, Copy, Debug)]
pub struct WholeSettings {
    /// Decides everything.
    pub seed: u64,
    /// How long faults go on, in simulated time.
    pub faults_for: Duration,
    /// A rule of the bus to break on purpose.
    pub breach: Option<BusBreach>,
    /// A rule of groups to break on purpose.
    pub group_breach: Option<Breach>,
    /// Groups take in what queued up during a stall before they hear that there was one, on purpose.
    pub queue_before_stall: bool,
    /// Print views, faults and what the nodes notice.
    pub trace: bool,
}

impl WholeSettings {
    /// Six nodes under faults for 20 simulated seconds.
    pub const fn new(seed: u64) -> Self {
        let faults_for = Duration::from_secs(20);
        Self { seed, faults_for, breach: None, group_breach: None, queue_before_stall: false, trace: false }
    }

    /// The faults that the seed decides, of the kinds that concern whole nodes and their links.
    pub fn schedule(&self) -> Schedule {
        let nodes: Vec<NodeId> = (1..=WITNESS).map(NodeId::new).collect();
        let mut chance = SmallRng::seed_from_u64(self.seed ^ 0x3401e);
        let mut schedule = Schedule::random(&mut chance, &nodes, self.faults_for);
        schedule.0.retain(|(.., fault)| {
            matches!(
                fault,
                Fault::Crash(_)
                    | Fault::Pause(_)
                    | Fault::CutOneWay(..)
                    | Fault::Cut(..)
                    | Fault::Partition(_)
                    | Fault::Loss(_)
                    | Fault::Late(_)
                    | Fault::SlowClock(..)
                    | Fault::Aimed(_)
            )
        });
        schedule.slow_down(&mut SmallRng::seed_from_u64(self.seed ^ 0x510), &nodes, self.faults_for);
        let carriers = &nodes[..CARRIERS as usize];
        schedule.depart(&mut SmallRng::seed_from_u64(self.seed ^ 0x1ea7e), &nodes, self.faults_for);
        let clients: Vec<NodeId> = (0..CLIENTS).map(client_node).collect();
        let mut chance = SmallRng::seed_from_u64(self.seed ^ 0x11_4c5);
        schedule.unlink(&mut chance, &clients, carriers, self.faults_for);
        // At the end: no other fault has to give way for what befalls a node that no group needs.
        schedule.visit(
            &mut SmallRng::seed_from_u64(self.seed ^ 0x7_1517),
            NodeId::new(NODES),
            self.faults_for,
        );
        schedule
    }
}

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WholeOutcome {
    /// What did not hold.
    pub violation: Option<Violation>,
    /// When it was noticed, or the run's end.
    pub at: Time,
    /// What happened on the way.
    pub tally: WholeTally,
}

/// Runs the schedule, heals, and checks that every node knows every other, that the groups are
/// whole, that all agree who wants what, and that then all that is published arrives.
pub fn run_whole(settings: &WholeSettings, schedule: &Schedule) -> WholeOutcome {
    let healed = schedule.healed().max(Time::ZERO + settings.faults_for);
    let mut world = World::new(settings, schedule, healed);
    world.run_until(healed);
    let converged = await_none(&mut world, World::unfinished);
    let left = converged.or_else(|| {
        world.probe();
        await_none(&mut world, |world| world.bus.missing())
    });
    let stuck = left.map(|what| Violation { property: "I9 liveness after healing", what });
    let tally = world.tally;
    let happened = [tally.delivered, tally.handed, tally.acknowledged, tally.answered, tally.links];
    let disturbed = schedule.0.is_empty() || tally.faults > 0;
    let busy = disturbed && happened.iter().all(|count| *count > 0);
    let what = || format!("{tally:?}");
    let idle = (!busy).then(|| Violation { property: "a run in which something happens", what: what() });
    let violation = world.violation().cloned().or(stuck).or(idle);
    WholeOutcome { violation, at: world.now, tally }
}

/// Runs on until nothing is left to do, for at most 30 seconds, or a minute where those that were too slow come
/// back late; says what is left then.
fn await_none(world: &mut World, left: impl Fn(&World) -> Option<String>) -> Option<String> {
    let bars = world.configs.iter().any(|config| config.slow != SlowPolicy::Block);
    for _ in 0..if bars { 120 } else { 60 } {
        world.run_until(world.now + Duration::from_millis(500));
        if left(world).is_none() || world.violation().is_some() {
            return None;
        }
    }
    left(world)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_gone_is_neither_watched_nor_remembered() {
        let gone = NodeId::new(NODES);
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let schedule = Schedule(vec![(at(4), at(60), Fault::Crash(gone))]);
        let mut world = World::new(&WholeSettings::new(1), &schedule, at(30));
        let lives = |world: &World| -> Vec<(bool, Vec<usize>)> {
            // The witness has nothing to do, and looks again when it has.
            let carriers = world.nodes.values().filter(|it| it.life.node.get() <= CARRIERS);
            let parts = carriers.map(|it| it.parts.as_ref());
            let seen = parts.flatten().map(|parts| {
                let lives = parts.groups.values().map(quorate_protocols::Group::known_lives);
                (parts.presence.watched().any(|node| node == gone), lives.collect())
            });
            seen.collect()
        };
        world.run_until(at(4));
        let before = lives(&world);
        assert_eq!(before.len() as u64, CARRIERS);
        assert!(
            before.iter().all(|(watched, lives)| *watched && lives.iter().all(|it| *it == 7)),
            "{before:?}"
        );
        world.run_until(at(30));
        let after = lives(&world);
        assert!(
            after.iter().all(|(watched, lives)| !watched && lives.iter().all(|it| *it == 6)),
            "{after:?}"
        );
    }
}
