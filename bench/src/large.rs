//! Long messages to many: handed on from member to member, beside a copy to each from their sender.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use quorate::{
    membership::NodeId,
    transport::faults::{FaultTiming, Faults},
};

use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, Reading, check_sizes},
    multicast::GroupFlow,
    places::{Cluster, Trouble, in_system},
    results::Size,
};

/// What the benchmark of long messages measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LargeArgs {
    /// Members that receive. Default 4.
    pub receivers: usize,
    /// Bytes of the messages. Default 1 MiB and 64 MiB.
    pub sizes: Vec<usize>,
    /// Megabits per second that a node sends at most, to all others together; 0 is no bound. Default 1,000, then 0.
    pub megabits: Vec<u64>,
    /// How long and how often. Default 5 rounds of 2 s.
    pub schedule: Schedule,
}

impl Default for LargeArgs {
    fn default() -> Self {
        Self {
            receivers: 4,
            sizes: vec![1 << 20, 64 << 20],
            megabits: vec![1_000, 0],
            schedule: Schedule { round: Duration::from_secs(2), ..Schedule::default() },
        }
    }
}

const SIZES: std::ops::RangeInclusive<usize> = (64 << 10)..=(64 << 20);
const MEGABITS_MAX: u64 = 1_000_000;
const BASELINE_IS: &str = "a copy to each from the sender";

impl LargeArgs {
    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Settings(why));
        if !(3..=8).contains(&self.receivers) {
            return refuse(format!("to {} members nothing is handed on: choose 3 to 8", self.receivers));
        }
        check_sizes(&self.sizes, SIZES)?;
        if let Some(megabits) = self.megabits.iter().find(|it| (1..10).contains(*it) || **it > MEGABITS_MAX) {
            return refuse(format!("{megabits} Mbit/s are not measured: choose 10 to {MEGABITS_MAX}, or 0"));
        }
        Ok(())
    }
}

/// Measures long messages from one member of a group to all others over QUIC, handed on from member to member, beside
/// the same sent to each by the sender, where what a node sends is bounded and where it is not. All members are in
/// this process, each on a thread of its own. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn large(args: &LargeArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings =
        format!("a thread per member, one sends to {} others, a message at a time", args.receivers);
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let harness = Harness::new(args.schedule, args.sizes.len() * args.megabits.len(), observer)?;
    let records = in_system(|| measure(args, harness))?;
    Ok(report.with(records))
}

async fn measure(args: &LargeArgs, mut harness: Harness<'_>) -> Result<Vec<Record>, BenchError> {
    for &megabits in &args.megabits {
        let relaying = start(args, megabits, *SIZES.start()).await?;
        let copying = start(args, megabits, 0).await;
        let measured = match &copying {
            Ok(copying) => measure_sizes(args, megabits, [&relaying, copying], &mut harness).await,
            Err(_) => Ok(()),
        };
        relaying.stop().await;
        copying?.stop().await;
        measured?;
    }
    Ok(harness.into_records())
}

/// A group whose messages of so many bytes are handed on, if not 0; its nodes send no more than that.
async fn start(args: &LargeArgs, megabits: u64, relay_bytes: usize) -> Result<Arc<Cluster>, BenchError> {
    let members = args.receivers + 1;
    let faults = Faults::new(1, FaultTiming::default());
    for node in 1..=members as u64 {
        faults.limit_sender(NodeId::new(node), NonZeroU64::new(megabits * 1_000_000 / 8));
    }
    let cluster =
        Cluster::start_with(members, Trouble::Faults(faults), |group| group.relay(relay_bytes)).await?;
    Ok(Arc::new(cluster))
}

async fn measure_sizes(
    args: &LargeArgs,
    megabits: u64,
    [relaying, copying]: [&Arc<Cluster>; 2],
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for &bytes in &args.sizes {
        let case = case(args.receivers, bytes, megabits);
        let measured = async {
            let mut relayed = GroupFlow::new(relaying, 1, Load::new(bytes), 1);
            let mut copied = GroupFlow::new(copying, 1, Load::new(bytes), 1);
            harness.compare(&case, &mut relayed, &mut copied).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

fn case(receivers: usize, bytes: usize, megabits: u64) -> Case {
    let (bound, wanted) = match megabits {
        0 => ("senders not bounded".to_owned(), None),
        _ => (format!("senders bound to {megabits} Mbit/s"), Some(Bound::AtLeast(1.5))),
    };
    Case {
        bench: "large",
        name: format!("{} to {receivers} members, {bound}", Size(bytes)),
        baseline_is: BASELINE_IS,
        readings: vec![(Reading::Bytes, wanted)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief() -> LargeArgs {
        let (warm_up, round) = (Duration::from_millis(100), Duration::from_millis(400));
        LargeArgs {
            sizes: vec![1 << 20],
            megabits: vec![200],
            schedule: Schedule { warm_up, round, rounds: 3 },
            ..LargeArgs::default()
        }
    }

    /// How much each carries is the bound's doing, not the machine's.
    #[test]
    fn where_senders_are_bounded_more_goes_through_if_members_hand_it_on() {
        let report = large(&brief(), &mut |_| ()).expect("both groups work");
        let [record] = &report.records[..] else { panic!("{:?}", report.records) };
        assert_eq!(record.case, "1 MiB to 4 members, senders bound to 200 Mbit/s throughput");
        assert!(record.ratio > 1.0, "{record:?}");
        // Of 25 MB/s a sender has a quarter for each copy.
        assert!(record.baseline < 25e6 / 3.0, "{record:?}");
    }

    #[test]
    fn half_as_much_again_is_wanted_where_senders_are_bounded() {
        let readings = |megabits| case(4, 1 << 20, megabits).readings;
        assert_eq!(readings(1_000), [(Reading::Bytes, Some(Bound::AtLeast(1.5)))]);
        assert_eq!(readings(0), [(Reading::Bytes, None)]);
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        for refused in [
            LargeArgs { receivers: 2, ..brief() },
            LargeArgs { sizes: vec![1 << 10], ..brief() },
            LargeArgs { megabits: vec![9], ..brief() },
        ] {
            assert!(matches!(large(&refused, &mut |_| ()), Err(BenchError::Settings(_))), "{refused:?}");
        }
    }
}
