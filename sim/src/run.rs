//! One run from one seed.

use std::time::Duration;

use quorate_membership::{GroupId, NodeId, Time, agreement::Breach};
use quorate_protocols::{GroupConfig, Order, SlowPolicy};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{History, Rates, Schedule, Tally, Violation, World};

/// What a run is made of; everything else follows from the seed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Number of data members.
    pub nodes: u64,
    /// Whether a witness takes part.
    pub witness: bool,
    /// The order; `None` lets the seed choose.
    pub order: Option<Order>,
    /// How long faults go on, in simulated time.
    pub faults_for: Duration,
    /// Print what happens.
    pub trace: bool,
    /// A rule to break on purpose.
    pub breach: Option<Breach>,
    /// Every member sends a message on hearing of a view, and nothing else.
    pub greets: bool,
    /// What is lost is submitted again.
    pub retries: bool,
    /// Newcomers get the application's state, which is at least so many bytes long; `None`: they do
    /// not, unless the seed chooses it.
    pub state_bytes: Option<usize>,
    /// Whether each side of a partition goes on.
    pub partitionable: bool,
    /// Whether the seed also chooses policies and state transfer, and slows nodes down.
    pub varied: bool,
    /// Whether links carry only as much as the seed chooses, and less at times.
    pub narrow: bool,
}

impl Settings {
    /// The same, and the seed also chooses the group's policies and state transfer, and slows nodes down.
    pub const fn varied(seed: u64) -> Self {
        Self { varied: true, ..Self::new(seed) }
    }

    /// The same, and links carry only as much as the seed chooses, and less at times: everything that a
    /// random run can be.
    pub const fn campaign(seed: u64) -> Self {
        Self { narrow: true, ..Self::varied(seed) }
    }

    /// Five nodes under faults for 30 simulated seconds, in an order that the seed chooses.
    pub const fn new(seed: u64) -> Self {
        let faults_for = Duration::from_secs(30);
        let (order, breach, state_bytes) = (None, None, None);
        let (witness, trace, greets, retries) = (false, false, false, false);
        let (partitionable, varied, narrow) = (false, false, false);
        Self {
            seed,
            nodes: 5,
            witness,
            order,
            faults_for,
            trace,
            breach,
            greets,
            retries,
            state_bytes,
            partitionable,
            varied,
            narrow,
        }
    }

    /// The fault schedule that the seed decides.
    pub fn schedule(&self) -> Schedule {
        let config = self.config();
        let nodes: Vec<NodeId> = config.founders.iter().chain(&config.witnesses).copied().collect();
        let mut schedule =
            Schedule::random(&mut SmallRng::seed_from_u64(self.seed ^ 0x5eed), &nodes, self.faults_for);
        if self.varied {
            schedule.slow_down(&mut SmallRng::seed_from_u64(self.seed ^ 0x510), &nodes, self.faults_for);
        }
        if self.partitionable {
            schedule.part(&mut SmallRng::seed_from_u64(self.seed ^ 0x9a27), &nodes, self.faults_for);
        }
        if self.narrow {
            schedule.throttle(&mut SmallRng::seed_from_u64(self.seed ^ 0x7a22), &nodes, self.faults_for);
        }
        schedule
    }

    /// What links carry: always enough for what the applications send.
    fn rates(&self) -> Rates {
        let mut chance = SmallRng::seed_from_u64(self.seed ^ 0x2a7e5);
        let mut one_of = |rates: [u64; 3]| rates[chance.random_range(0..rates.len())];
        let (data, bulk) = (one_of([200_000, 500_000, 2_000_000]), one_of([50_000, 500_000, 2_000_000]));
        Rates { control: one_of([20_000, 100_000, 1_000_000]), ..Rates::new(data, bulk) }
    }

    fn config(&self) -> GroupConfig {
        let founders = (1..=self.nodes).map(NodeId::new).collect();
        let mut config = GroupConfig::new(GroupId::new(7), founders);
        let drawn = SmallRng::seed_from_u64(self.seed ^ 0x0_4de4).random_range(0..Order::ALL.len());
        config.order = self.order.unwrap_or(Order::ALL[drawn]);
        config.witnesses = if self.witness { vec![NodeId::new(self.nodes + 1)] } else { Vec::new() };
        config.partitionable = self.partitionable;
        if self.varied && !self.partitionable {
            let policies = [SlowPolicy::Block, SlowPolicy::Demote, SlowPolicy::Evict];
            config.slow = policies[(self.seed % 3) as usize];
            config.lag_for = Duration::from_secs(1);
        }
        // Sides of a partition have states of their own, which nobody can be given.
        let drawn = self.varied && !self.partitionable && self.seed.is_multiple_of(2);
        config.state_transfer = self.state_bytes.is_some() || drawn;
        config.snapshot_chunk_bytes = 512; // so that even short states take several
        let mut chance = SmallRng::seed_from_u64(self.seed ^ 0x9a57);
        if self.varied && chance.random_bool(0.5) {
            config.part_bytes = chance.random_range(1..40); // and even short frames
        }
        if self.varied {
            config.relay_bytes = [None, Some(1), Some(200)][chance.random_range(0..3)];
        }
        if self.varied && chance.random_bool(0.5) {
            // A few messages are a frame, and others wait for it.
            (config.batch_bytes, config.frames_in_flight) = (300, [1, 8, 12][chance.random_range(0..3)]);
        }
        config.breach = self.breach;
        config
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What did not hold.
    pub violation: Option<Violation>,
    /// When it was noticed, or the run's end.
    pub at: Time,
    /// What happened on the way.
    pub tally: Tally,
}

/// Runs the seed's schedule, heals, and checks that all work gets finished.
pub fn run(settings: &Settings, schedule: &Schedule) -> Outcome {
    go(settings, schedule, false).0
}

/// The same, and keeps what the applications saw.
pub fn observe(settings: &Settings, schedule: &Schedule) -> (Outcome, History) {
    go(settings, schedule, true)
}

fn go(settings: &Settings, schedule: &Schedule, record: bool) -> (Outcome, History) {
    let faults_end = Time::ZERO + settings.faults_for;
    let healed = schedule.healed().max(faults_end);
    let mut world = World::new(settings.seed, settings.config(), schedule.clone(), healed);
    world.behave(settings.greets, settings.retries);
    world.pad_states(settings.state_bytes.unwrap_or_default());
    if settings.narrow {
        world.limit(settings.rates());
    }
    if settings.trace {
        world.trace();
    }
    if record {
        world.record();
    }
    world.run_until(healed);
    let (mut at, mut left) = (healed, None);
    // Twenty seconds are forty detection times: whatever is not done then is stuck. Back-offs of
    // members that were too slow take longer.
    for _ in 0..if settings.varied { 120 } else { 40 } {
        at = at + Duration::from_millis(500);
        world.run_until(at);
        left = world.unfinished();
        if left.is_none() || world.checker().violation().is_some() {
            break;
        }
    }
    let stuck = left.map(|what| Violation { property: "I9 liveness after healing", what });
    let tally = world.tally();
    let idle = tally.delivered == 0 || tally.uniform == 0 || tally.faults < schedule.0.len() as u64;
    let what = || format!("{tally:?} of {} faults", schedule.0.len());
    let idle = (idle || settings.partitionable && tally.merges == 0)
        .then(|| Violation { property: "a run in which something happens", what: what() });
    let violation = world.checker().violation().cloned().or(stuck).or(idle);
    let outcome = Outcome { violation, at, tally: world.tally() };
    (outcome, world.into_history())
}
