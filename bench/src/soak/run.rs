//! One long run: a member sends as fast as the group takes messages, and all look whether they get each of them.

use std::{
    convert::Infallible,
    future::pending,
    num::NonZeroU64,
    pin::pin,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use actix_rt::time::{interval, sleep_until};
use futures_util::future::{Either, select, try_join, try_join_all};
use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, GroupSettings,
    membership::{Change, NodeId, View},
    protocols::Event,
    transport::faults::{FaultTiming, Faults, Rule},
};
use tokio::sync::Barrier;

use super::{
    Disturbance, PIECES, counters,
    exported::Exported,
    numbered::{CALLS, Numbered, Turns},
    tally::{Present, Slices, Tally, Thirds},
};
use crate::{
    BenchError, Usage,
    measure::{Load, Meter, machine_cpu_seconds, resident_bytes},
    places::{Cluster, Trouble},
};

/// Of a hundred packets so many are lost.
pub(super) const LOST_PERCENT: u8 = 1;
const EVENTS: EventOptions = EventOptions { capacity: 1 << 20, bytes: 64 << 20, behind: Behind::Skip };

/// What a run gave.
#[derive(Debug)]
pub(super) struct Run {
    /// What came at each of the members that stay.
    pub(super) thirds: Vec<Thirds>,
    /// The resident memory of the process at the end of each piece, where the system tells.
    pub(super) resident: Vec<u64>,
    /// How often a member was taken for dead.
    pub(super) suspicions: u64,
    /// How often one left or was set aside for being slow.
    pub(super) departures: u64,
    /// Of a hundred packets that members sent so many had to be sent again.
    pub(super) lost_percent: f64,
    /// Messages that were sent, and what each counter of each member that stayed says of them.
    pub(super) sent: u64,
    pub(super) counted: Vec<u64>,
    /// What the load cost this process, and how many cores all that ran on the machine kept busy meanwhile.
    pub(super) usage: Usage,
    pub(super) machine_cores: Option<f64>,
    /// Cores that this process may use.
    pub(super) cores: usize,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) settings: GroupSettings,
    pub(super) members: usize,
    pub(super) disturbance: Disturbance,
    pub(super) load: Load,
    /// What a slow member gets in a second, of all that is sent.
    pub(super) slow_bytes_per_s: NonZeroU64,
    pub(super) window: Duration,
    /// From one change to the next, where a member leaves and joins.
    pub(super) churn_every: Duration,
}

/// Runs a plan from its beginning to its end.
pub(super) async fn run(plan: &Plan, tick: impl FnMut(usize)) -> Result<Run, BenchError> {
    let trouble = match plan.disturbance {
        Disturbance::Slow(_) => {
            let faults = Faults::new(1, FaultTiming::default());
            let last = NodeId::new(plan.members as u64);
            faults.set(
                None,
                Some(last),
                Rule { bytes_per_s: Some(plan.slow_bytes_per_s), ..Rule::default() },
            );
            Trouble::Faults(faults)
        }
        Disturbance::Loss => Trouble::LosesPercent(LOST_PERCENT),
        Disturbance::Nothing | Disturbance::Churn => Trouble::Nothing,
    };
    let settings = plan.settings.clone();
    let cluster = Arc::new(Cluster::start_with(plan.members, trouble, |_| settings.clone()).await?);
    let ran = run_in(plan, &cluster, tick).await;
    cluster.stop().await;
    ran
}

async fn run_in(plan: &Plan, cluster: &Arc<Cluster>, tick: impl FnMut(usize)) -> Result<Run, BenchError> {
    let epoch = Instant::now();
    let (length, load) = (plan.window * PIECES as u32, plan.load.clone());
    let changes = plan.disturbance.changes_views();
    let staying = plan.members - usize::from(changes);
    // Nothing is sent before all that stay count.
    let counting = Arc::new(Barrier::new(staying + 1));
    let begins = Arc::clone(&counting);
    let sending = cluster.at(0, async move |group| {
        begins.wait().await;
        send_until(group, load, epoch, length).await
    });
    let readers = try_join_all((0..staying).map(|index| cluster.events(index))).await?;
    let (slices, whole) = (Slices::of(plan.window), Present::all(plan.members));
    let receiving = readers.into_iter().enumerate().map(|(index, events)| {
        let tally = Tally::new(slices, whole.clone());
        let counting = Arc::clone(&counting);
        cluster.at(index, async move |_| {
            let exported = Exported::default();
            let recording = metrics::set_default_local_recorder(&exported);
            counting.wait().await;
            let mut received = receive(events, node_of(index), epoch, (tally, changes)).await?;
            drop(recording);
            received.exported = exported;
            Ok(received)
        })
    });
    let work = try_join(sending, try_join(try_join_all(receiving), watch(plan, epoch, tick)));
    let coming_and_going = come_and_go(plan, cluster, epoch + length);
    let (sent, (received, watched)) = match select(pin!(work), pin!(coming_and_going)).await {
        Either::Left((done, _)) => done?,
        Either::Right((error, _)) => match error? {},
    };
    let counted = counters::compare(cluster, &received, sent, plan.load.message_bytes).await?;
    let traffic = cluster.traffic();
    let lost_percent = 100.0 * traffic.lost as f64 / traffic.packets.max(1) as f64;
    let Watched { resident, usage, machine_cores } = watched;
    let most = |of: fn(&Received) -> u64| received.iter().map(of).max().unwrap_or(0);
    Ok(Run {
        resident,
        suspicions: most(|it| it.suspicions),
        departures: most(|it| it.departures),
        lost_percent,
        sent,
        counted,
        usage,
        machine_cores,
        cores: available_parallelism().map_or(1, usize::from),
        thirds: received.into_iter().map(|it| it.thirds).collect(),
    })
}

pub(super) fn node_of(index: usize) -> NodeId {
    NodeId::new(index as u64 + 1)
}

/// What was seen of the process and the machine meanwhile.
struct Watched {
    resident: Vec<u64>,
    usage: Usage,
    machine_cores: Option<f64>,
}

/// Notes the memory at the end of each piece, and what the processor did in all of them.
async fn watch(plan: &Plan, epoch: Instant, mut tick: impl FnMut(usize)) -> Result<Watched, BenchError> {
    let (meter, before) = (Meter::start_of(["self".to_owned()]), machine_cpu_seconds());
    let mut resident = Vec::new();
    for number in 0..PIECES {
        tick(number);
        sleep_until((epoch + plan.window * (number as u32 + 1)).into()).await;
        resident.extend(resident_bytes("self"));
    }
    let (usage, after) = (meter.stop(), machine_cpu_seconds());
    let machine_cores = after.zip(before).map(|(after, before)| (after - before) / usage.seconds);
    Ok(Watched { resident, usage, machine_cores })
}

/// Follows the last member, where it is not to stay, for as long as the load lasts: it lacks what was sent without
/// it, and gets nothing twice or out of turn. Ends only with an error.
async fn come_and_go(
    plan: &Plan,
    cluster: &Arc<Cluster>,
    deadline: Instant,
) -> Result<Infallible, BenchError> {
    match plan.disturbance {
        Disturbance::Churn => churn(plan, cluster, deadline).await?,
        disturbance if disturbance.changes_views() => {
            let last = plan.members - 1;
            let (events, turns) = (cluster.events(last).await?, Turns::lacking());
            cluster.at(last, move |_| follow(events, node_of(last), turns)).await?;
        }
        _ => {}
    }
    pending().await
}

/// Lets the last member leave and join until the time is over.
async fn churn(plan: &Plan, cluster: &Arc<Cluster>, deadline: Instant) -> Result<(), BenchError> {
    let last = plan.members - 1;
    let node = cluster.node(last);
    let (mut times, mut turns) = (interval(plan.churn_every), Turns::lacking());
    times.tick().await;
    while Instant::now() + plan.churn_every * 2 < deadline {
        let group = node.group(&plan.settings.name).await.ok_or_else(|| BenchError::ours("it has left"))?;
        let events = group.events(EVENTS).await.map_err(BenchError::ours)?;
        let leaving = async {
            times.tick().await;
            group.leave().await.map_err(BenchError::ours)
        };
        (turns, ()) =
            try_join(cluster.at(last, move |_| follow(events, node_of(last), turns)), leaving).await?;
        turns.may_lack();
        times.tick().await;
        node.join(plan.settings.clone()).await.map_err(BenchError::ours)?;
    }
    Ok(())
}

/// Looks at the messages of a member that comes and goes, until it leaves or the run is over.
async fn follow(mut events: GroupEvents, node: NodeId, mut turns: Turns) -> Result<Turns, BenchError> {
    while let Some(event) = events.next().await {
        match event {
            GroupEvent::Event(Event::Message { payload, .. }) => {
                take(&mut turns, node, &payload)?;
                if Load::ends(&payload) {
                    break;
                }
            }
            GroupEvent::Event(Event::Left) => break,
            // It is in another view, or was in none.
            _ => turns.may_lack(),
        }
    }
    Ok(turns)
}

fn take(turns: &mut Turns, member: NodeId, payload: &[u8]) -> Result<(), BenchError> {
    turns.on_message(payload).map_err(|it| BenchError::OutOfTurn { member, next: it.next, came: it.came })
}

/// Sends batches whose first message is stamped, and after the time is over one message, the last.
async fn send_until(group: Group, load: Load, epoch: Instant, length: Duration) -> Result<u64, BenchError> {
    let calls = (0..CALLS).map(|call| {
        let (mut numbered, group, load) = (Numbered::new(&load, call), &group, &load);
        async move {
            let mut sent = 0;
            while epoch.elapsed() < length {
                group.send_all(numbered.batch(epoch.elapsed())).await.map_err(BenchError::ours)?;
                sent += load.per_batch() as u64;
            }
            Ok::<_, BenchError>((numbered, sent))
        }
    });
    let mut calls = try_join_all(calls).await?;
    let sent: u64 = calls.iter().map(|(_, sent)| sent).sum();
    group.send(calls[0].0.last()).await.map_err(BenchError::ours)?;
    Ok(sent + 1)
}

/// What one member has received.
pub(super) struct Received {
    thirds: Thirds,
    pub(super) messages: u64,
    pub(super) exported: Exported,
    suspicions: u64,
    departures: u64,
}

/// Looks at messages until the last, and times those that are stamped.
async fn receive(
    mut events: GroupEvents,
    node: NodeId,
    epoch: Instant,
    (mut tally, changes_views): (Tally, bool),
) -> Result<Received, BenchError> {
    let (mut turns, mut suspicions, mut departures) = (Turns::new(), 0, 0);
    loop {
        match events.next().await {
            Some(GroupEvent::Event(Event::Message { payload, .. })) => {
                take(&mut turns, node, &payload)?;
                let now = epoch.elapsed();
                // Those that are not stamped seem to be from a distant future.
                let stamp = Load::stamp(&payload).filter(|stamp| *stamp <= now);
                tally.on_message(now, stamp.map(|stamp| now.saturating_sub(stamp)));
                if Load::ends(&payload) {
                    let (thirds, messages) = (tally.into_thirds(), turns.messages());
                    let exported = Exported::default();
                    return Ok(Received { thirds, messages, exported, suspicions, departures });
                }
            }
            // It misses what follows, maybe the last message.
            Some(GroupEvent::Event(Event::Removed { view, reason })) => {
                return Err(BenchError::ours(format!(
                    "{view} is without {node}, which is to stay: {reason:?}"
                )));
            }
            Some(GroupEvent::Event(Event::View(view))) => {
                // A view that nobody has asked for belongs to what is measured.
                if changes_views {
                    tally.on_view(epoch.elapsed(), Present::of(&view));
                }
                suspicions += changes(&view, &[Change::Unreachable]);
                departures += changes(&view, &[Change::Left, Change::TooSlow]);
            }
            Some(GroupEvent::Missed(count)) => {
                return Err(BenchError::ours(format!("a reader missed {count} events")));
            }
            Some(_) => {}
            None => return Err(BenchError::ours("the group ended")),
        }
    }
}

/// How many members a view has lost for one of these reasons.
fn changes(view: &View, of: &[Change]) -> u64 {
    view.changes.iter().filter(|(_, change)| of.contains(change)).count() as u64
}
