//! What a member more costs: processor time per delivered message, and the time of a view change.

use std::{sync::Arc, time::Duration};

use quorate::protocols::Order;

use super::{
    Run,
    departures::{Going, depart},
};
use crate::{
    BenchError, OfRuns, Record, Unit,
    measure::{Load, Sample, Side, cpu_seconds},
    multicast::GroupFlow,
    places::Cluster,
    results::Named,
};

const MESSAGE_BYTES: usize = 1 << 10;
/// Batches that the sender has handed over and that are not accepted yet, as in the benchmark of groups.
const BATCHES: usize = 4;
/// Beside what members are measured. A machine may have fewer cores than there are members, which then take turns.
const FEWEST_IS: &str = "for members, the same with the first number of them";

/// The figures of one number of members, all in microseconds.
#[derive(Debug, Default)]
struct Rounds {
    per_delivery: Vec<f64>,
    leaves: Vec<f64>,
    dies: Vec<f64>,
}

/// Measures all numbers of members.
pub(super) async fn measure(run: &mut Run<'_>) -> Result<(), BenchError> {
    let mut first = None;
    for &members in &run.args.members {
        let mut rounds = Rounds::default();
        for _ in 0..run.args.schedule.rounds {
            let case = format!("{members} members");
            round(run, members, &mut rounds).await.map_err(|error| error.in_case(&case))?;
        }
        let fewest = first
            .get_or_insert_with(|| (rounds.per_delivery.clone(), rounds.leaves.clone(), rounds.dies.clone()));
        let figures = [
            ("processor time per delivered message of 1 KiB", rounds.per_delivery, &fewest.0),
            ("one leaves, until the others have the next view", rounds.leaves, &fewest.1),
            ("one dies, until the others have the next view", rounds.dies, &fewest.2),
        ];
        let record = |(what, ours, fewest): (&str, Vec<f64>, &Vec<f64>)| {
            let named = Named {
                bench: "scale",
                case: format!("{members} members: {what}"),
                unit: Unit::Microseconds,
                of_runs: OfRuns::Median,
                wanted: None,
                baseline_is: FEWEST_IS,
            };
            Record::beside(&named, ours, fewest.iter().copied())
        };
        run.keep(figures.into_iter().filter_map(record).collect::<Vec<_>>());
    }
    Ok(())
}

async fn round(run: &mut Run<'_>, members: usize, rounds: &mut Rounds) -> Result<(), BenchError> {
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    run.step(format!("{members} members, one sends"));
    rounds.per_delivery.extend(per_delivery(run, members).await?);
    run.step(format!("{members} members, one leaves"));
    rounds.leaves.push(micros(depart(members, Going::Leaves).await?));
    run.step(format!("{members} members, one dies"));
    rounds.dies.push(micros(depart(members, Going::Dies).await?));
    Ok(())
}

/// Microseconds of processor time per message and member that it is delivered to, the sender among them; nothing
/// where the system does not tell.
async fn per_delivery(run: &Run<'_>, members: usize) -> Result<Option<f64>, BenchError> {
    let schedule = run.args.schedule;
    let cluster = Arc::new(Cluster::start(members, Order::Uniform, None).await?);
    let measured = async {
        let mut flow = GroupFlow::new(&cluster, 1, Load::new(MESSAGE_BYTES), BATCHES);
        flow.round(schedule.warm_up).await?;
        let before = cpu_seconds("self");
        let sample = flow.round(schedule.round).await?;
        Ok::<_, BenchError>((before.zip(cpu_seconds("self")), sample))
    };
    let measured = measured.await;
    cluster.stop().await;
    let (cpu, sample) = measured?;
    let Sample::Flow { messages, .. } = sample else { return Ok(None) };
    Ok(cpu.map(|(before, after)| (after - before) * 1e6 / (messages * members as u64) as f64))
}
