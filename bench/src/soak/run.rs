//! One long run: a member sends as fast as the group takes messages, and all that stay count them.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::time::{interval, sleep_until};
use futures_util::future::{try_join, try_join_all};
use quorate::{
    Behind, EventOptions, Group, GroupEvent, GroupEvents, GroupSettings,
    membership::{Change, NodeId, View},
    protocols::Event,
    transport::faults::{FaultTiming, Faults, Rule},
};

use super::{
    Disturbance, PIECES,
    tally::{Present, Slices, Tally, Thirds},
};
use crate::{BenchError, cluster::Cluster, load::Load, machine::resident_bytes, place::Trouble};

/// Of a hundred packets so many are lost.
pub(super) const LOST_PERCENT: u8 = 1;
/// Batches that the sender has handed over and that are not accepted yet, at most.
const BATCHES: usize = 4;
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
    let sending = cluster.at(0, move |group| send_until(group, load, epoch, length));
    let changes = plan.disturbance.changes_views();
    let staying = plan.members - usize::from(changes);
    let readers = try_join_all((0..staying).map(|index| cluster.events(index))).await?;
    let (slices, whole) = (Slices::of(plan.window), Present::all(plan.members));
    let receiving = readers.into_iter().enumerate().map(|(index, events)| {
        let tally = Tally::new(slices, whole.clone());
        cluster.at(index, move |_| receive(events, NodeId::new(index as u64 + 1), epoch, (tally, changes)))
    });
    let beside = async {
        let churning = async {
            if plan.disturbance == Disturbance::Churn {
                churn(plan, cluster, epoch + length).await
            } else {
                Ok(())
            }
        };
        let (resident, ()) = try_join(watch(plan, epoch, tick), churning).await?;
        Ok(resident)
    };
    let (sent, (received, resident)) = try_join(sending, try_join(try_join_all(receiving), beside)).await?;
    let traffic = cluster.traffic();
    let lost_percent = 100.0 * traffic.lost as f64 / traffic.packets.max(1) as f64;
    let mut run = Run { thirds: Vec::new(), resident, suspicions: 0, departures: 0, lost_percent };
    for received in received {
        BenchError::unless_all_came(sent, received.messages)?;
        run.suspicions = run.suspicions.max(received.suspicions);
        run.departures = run.departures.max(received.departures);
        run.thirds.push(received.thirds);
    }
    Ok(run)
}

/// Notes the memory at the end of each piece.
async fn watch(plan: &Plan, epoch: Instant, mut tick: impl FnMut(usize)) -> Result<Vec<u64>, BenchError> {
    let mut resident = Vec::new();
    for number in 0..PIECES {
        tick(number);
        sleep_until((epoch + plan.window * (number as u32 + 1)).into()).await;
        resident.extend(resident_bytes("self"));
    }
    Ok(resident)
}

/// Lets the last member leave and join until the time is over.
async fn churn(plan: &Plan, cluster: &Arc<Cluster>, deadline: Instant) -> Result<(), BenchError> {
    let last = plan.members - 1;
    let node = cluster.node(last);
    let mut turns = interval(plan.churn_every);
    turns.tick().await;
    while Instant::now() + plan.churn_every * 2 < deadline {
        turns.tick().await;
        let group = node.group(&plan.settings.name).await.ok_or_else(|| BenchError::ours("it has left"))?;
        cluster.at(last, move |_| leave(group)).await?;
        turns.tick().await;
        node.join(plan.settings.clone()).await.map_err(BenchError::ours)?;
    }
    Ok(())
}

/// Leaves, and waits until the others have let it go.
async fn leave(group: Group) -> Result<(), BenchError> {
    let mut events = group.events(EVENTS).await.map_err(BenchError::ours)?;
    group.leave().await.map_err(BenchError::ours)?;
    while let Some(event) = events.next().await {
        if event == GroupEvent::Event(Event::Left) {
            break;
        }
    }
    Ok(())
}

/// Sends batches whose first message is stamped, and after the time is over one message, the last.
async fn send_until(group: Group, load: Load, epoch: Instant, length: Duration) -> Result<u64, BenchError> {
    let calls = (0..BATCHES).map(|_| async {
        let mut sent = 0;
        while epoch.elapsed() < length {
            let stamped = std::iter::once(load.stamped(epoch.elapsed(), false));
            let batch = stamped.chain(load.batch(false).skip(1).cloned());
            group.send_all(batch).await.map_err(BenchError::ours)?;
            sent += load.per_batch() as u64;
        }
        Ok::<_, BenchError>(sent)
    });
    let sent: u64 = try_join_all(calls).await?.into_iter().sum();
    group.send(load.message(true).clone()).await.map_err(BenchError::ours)?;
    Ok(sent + 1)
}

/// What one member has received.
struct Received {
    thirds: Thirds,
    messages: u64,
    suspicions: u64,
    departures: u64,
}

/// Counts messages until the last, and times those that are stamped.
async fn receive(
    mut events: GroupEvents,
    node: NodeId,
    epoch: Instant,
    (mut tally, changes_views): (Tally, bool),
) -> Result<Received, BenchError> {
    let (mut messages, mut suspicions, mut departures) = (0, 0, 0);
    loop {
        match events.next().await {
            Some(GroupEvent::Event(Event::Message { payload, .. })) => {
                messages += 1;
                let now = epoch.elapsed();
                // Those that are not stamped seem to be from a distant future.
                let stamp = Load::stamp(&payload).filter(|stamp| *stamp <= now);
                tally.on_message(now, stamp.map(|stamp| now.saturating_sub(stamp)));
                if Load::ends(&payload) {
                    return Ok(Received { thirds: tally.into_thirds(), messages, suspicions, departures });
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
