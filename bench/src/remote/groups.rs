//! Groups over several machines, beside bare quinn to the same.

use std::sync::Arc;

use quorate::protocols::Order;

use super::{
    Peers,
    party::{FarGroupFlow, FarGroupLatency, Party},
    raw::{RawFarEcho, RawFarSpread, RawNear, near_all},
};
use crate::{
    BenchError, Machine, MulticastArgs, Progress, Record, Report, Senders,
    measure::{Case, Harness, Load},
    multicast::{self, Following},
    places::{Stage, in_system},
};

/// Measures groups of a node here and one on each of the other machines, on which [`serve`](super::serve) runs, beside
/// bare quinn to the same. The node here sends. A latency is until the sender itself delivers, beside a bare round
/// trip to the first peer. Who else is said to be a member, or to send, is not looked at. Blocks the calling thread
/// until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn multicast_to(
    peers: &Peers,
    args: &MulticastArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    peers.check()?;
    let machine = Machine::here();
    let settings = format!(
        "a thread for the node here, {} batches handed over at a time; latency with a message every {:?}, until it \
         is delivered here",
        args.batches, args.pace
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stage = Arc::new(Stage::shared(1)?);
    let cases = args.orders.len() * (args.sizes.len() + args.latency_sizes.len());
    let harness = Harness::new(args.schedule, cases, observer)?;
    let records = in_system(|| measure(peers, args, &stage, harness))?;
    Ok(report.with(records))
}

async fn measure(
    peers: &Peers,
    args: &MulticastArgs,
    stage: &Arc<Stage>,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    let bare = near_all(stage, peers).await?;
    for &order in &args.orders {
        let party = Party::found(stage, peers, order).await?;
        let measured = measure_group(args, order, &party, &bare, &mut harness).await;
        party.stop().await;
        measured?;
    }
    Ok(harness.into_records())
}

async fn measure_group(
    args: &MulticastArgs,
    order: Order,
    party: &Party,
    bare: &[RawNear],
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let members = bare.len() + 1;
    let far = |case: Case| Case { name: format!("{} between machines,", case.name), ..case };
    for &bytes in &args.sizes {
        let case = far(multicast::throughput_case(members, order, Senders::One, bytes));
        let load = Load::new(bytes);
        let measured = async {
            let mut base = RawFarSpread::new(bare, load.clone()).await?;
            let reader = Some(party.here.place.events().await?);
            let mut ours = FarGroupFlow { party, load, batches: args.batches, reader };
            harness.compare(&case, &mut ours, &mut base).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    for &bytes in &args.latency_sizes {
        let case = far(multicast::latency_case(members, order, bytes, Following::AtAPace));
        let load = Load::new(bytes);
        let measured = async {
            let mut base = RawFarEcho::new(&bare[0], load.clone(), Some(args.pace)).await?;
            let reader = Some(party.here.place.events().await?);
            let mut ours = FarGroupLatency { party, load, every: args.pace, reader };
            harness.compare(&case, &mut ours, &mut base).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}
