//! The bus between machines, beside bare quinn to the same.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, try_join};
use quorate::{Bus, Subject, protocols::Order};

use super::{
    Peers,
    party::{Party, all_got},
    raw::{RawFarEcho, RawFarSpread, RawNear, near_all},
    words::Ask,
};
use crate::{
    BenchError, BusArgs, Machine, Progress, Record, Report, Target, bus,
    measure::{Case, Harness, Load, Reading, Sample, Side},
    places::{Stage, in_system},
    raw::RAW_QUINN,
    results::Size,
};

/// Measures the bus from a node here to one on each of the other machines, on which [`serve`](super::serve) runs, and
/// requests to the first, beside bare quinn to the same. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn bus_to(
    peers: &Peers,
    args: &BusArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    peers.check()?;
    if let Some(target) = args.targets.iter().find(|it| !matches!(it, Target::Remote | Target::Request)) {
        return Err(BenchError::Settings(format!(
            "what is published for {target} stays on its node: choose remote or request"
        )));
    }
    let machine = Machine::here();
    let settings = "a thread for the node here".into();
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stage = Arc::new(Stage::shared(1)?);
    let of =
        |target: &Target| if *target == Target::Remote { args.remote_sizes.len() } else { args.sizes.len() };
    let harness = Harness::new(args.schedule, args.targets.iter().map(of).sum(), observer)?;
    let records = in_system(|| measure(peers, args, &stage, harness))?;
    Ok(report.with(records))
}

async fn measure(
    peers: &Peers,
    args: &BusArgs,
    stage: &Arc<Stage>,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    let bare = near_all(stage, peers).await?;
    let party = Party::found(stage, peers, Order::Uniform).await?;
    let measured = measure_targets(args, &party, &bare, &mut harness).await;
    party.stop().await;
    measured.map(|()| harness.into_records())
}

async fn measure_targets(
    args: &BusArgs,
    party: &Party,
    bare: &[RawNear],
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for &target in &args.targets {
        let asks = target == Target::Request;
        for &bytes in if asks { &args.sizes } else { &args.remote_sizes } {
            let case = case(asks, bare.len(), bytes);
            let load = Load::new(bytes);
            let measured = async {
                let subject = format!("{target}.{bytes}").parse().map_err(BenchError::ours)?;
                let far = FarSubject::new(party, subject, load.clone(), asks).await?;
                if asks {
                    let mut ours = FarAsking(far);
                    let mut base = RawFarEcho::new(&bare[0], load, None).await?;
                    return harness.compare(&case, &mut ours, &mut base).await;
                }
                let mut ours = FarFan(far);
                let mut base = RawFarSpread::new(bare, load).await?;
                harness.compare(&case, &mut ours, &mut base).await
            };
            measured.await.map_err(|error: BenchError| error.in_case(&case.name))?;
        }
    }
    Ok(())
}

fn case(asks: bool, others: usize, bytes: usize) -> Case {
    let (name, readings) = if asks {
        let readings = vec![(Reading::Quantile(0.5), None), (Reading::Quantile(0.99), None)];
        (format!("request and answer between machines, {}", Size(bytes)), readings)
    } else {
        let machines = if others == 1 { "machine" } else { "machines" };
        let name = format!("to subscribers on {others} other {machines}, {}", Size(bytes));
        (name, vec![(Reading::Messages, None)])
    };
    Case { bench: "bus", name, baseline_is: RAW_QUINN, readings }
}

/// One subject on the bus here, to which others are subscribed.
#[derive(Debug)]
struct FarSubject<'a> {
    party: &'a Party,
    subject: Subject,
    load: Load,
}

impl<'a> FarSubject<'a> {
    /// The first of the others answers requests, or each of them counts what is published.
    async fn new(party: &'a Party, subject: Subject, load: Load, requests: bool) -> Result<Self, BenchError> {
        let words = Ask::Subscribe { subject: subject.to_string(), requests };
        let subscribers = if requests { 1 } else { party.others };
        for talk in party.talks.lock().await.iter_mut().take(subscribers) {
            talk.order(&words).await?;
        }
        Ok(Self { party, subject, load })
    }

    /// Runs a piece of the benchmark on the thread of the node here and waits for it.
    async fn at<T, F>(
        &self,
        work: impl FnOnce(Bus, Subject, Load) -> F + Send + 'static,
    ) -> Result<T, BenchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BenchError>> + 'static,
    {
        let place = &self.party.here.place;
        let (bus, subject, load) = (place.node().bus(), self.subject.clone(), self.load.clone());
        place.at(move |_| work(bus, subject, load)).await
    }
}

/// One publisher here, and a subscriber on each of the others.
#[derive(Debug)]
struct FarFan<'a>(FarSubject<'a>);

impl FarFan<'_> {
    async fn run(&self, length: Duration) -> Result<Sample, BenchError> {
        let FarSubject { party, load, .. } = &self.0;
        let started = Instant::now();
        let publishing =
            self.0.at(move |bus, subject, load| bus::publish_until(bus, subject, load, started + length));
        let (sent, counts) = try_join(publishing, party.count(&Ask::CountSubject)).await?;
        let elapsed = started.elapsed();
        all_got(sent, counts)?;
        Ok(Sample::Flow { messages: sent, message_bytes: load.message_bytes, elapsed })
    }
}

impl Side for FarFan<'_> {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        Box::pin(self.run(length))
    }
}

/// Requests to the first of the others, one after the other.
#[derive(Debug)]
struct FarAsking<'a>(FarSubject<'a>);

impl Side for FarAsking<'_> {
    fn round(&mut self, length: Duration) -> BoxFuture<'_, Result<Sample, BenchError>> {
        let deadline = Instant::now() + length;
        Box::pin(self.0.at(move |bus, subject, load| bus::ask_until(bus, subject, load, deadline)))
    }
}
